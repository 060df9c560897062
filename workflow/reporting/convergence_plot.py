"""The picture of a convergence run: errors and cost against cutoff and spacing of k-points."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from workflow.convergence import Axis, Point
from workflow.reporting.plot_style import BLUE, GREY, ORANGE

_NAMES: dict[Axis, str] = {
    "wavefunction_cutoff_ry": "wavefunction cutoff, Ry",
    "cutoff_ry": "cutoff, Ry",
    "cutoff_ev": "cutoff, eV",
    "k_spacing_per_ang": "spacing of k-points, 1/Å",
}


def convergence_figure(
    sweeps: Sequence[Sequence[Point]], max_energy_mev_per_atom: float, max_force_ev_per_ang: float
) -> Figure:
    """Return a column for each setting: its errors against the finest value, and what a label costs."""
    with mpl.rc_context({"font.size": 9, "axes.grid": True, "grid.color": "#e8ebef"}):
        figure = Figure(figsize=(4.2 * len(sweeps), 6.0), layout="constrained")
        axes = figure.subplots(3, len(sweeps), squeeze=False)
        rows = (
            ("energy_error_mev_per_atom", "energy error, meV/atom", max_energy_mev_per_atom, BLUE),
            ("force_error_ev_per_ang", "force error, eV/Å", max_force_ev_per_ang, ORANGE),
            ("core_s", "core seconds per label", None, GREY),
        )
        for column, points in enumerate(sweeps):
            for row, (name, title, limit, colour) in enumerate(rows):
                shown = points if name == "core_s" else points[:-1]
                values = [getattr(point, name) for point in shown]
                axis = axes[row][column]
                axis.plot([point.value for point in shown], values, "o-", color=colour)
                axis.set_ylabel(title)
                if any(value > 0.0 for value in values):
                    axis.set_yscale("log")
                if limit is not None:
                    axis.axhline(limit, color=GREY, linestyle="--")
            if points[0].axis == "k_spacing_per_ang":
                for row in range(3):
                    axes[row][column].invert_xaxis()
            axes[2][column].set_xlabel(_NAMES[points[0].axis])
    return figure
