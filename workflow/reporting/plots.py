"""The report's pictures, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from validation.crystals import Crystal
from workflow.kpoint_noise import KpointNoise
from workflow.reporting.plot_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    STRUCTURE_COLOURS,
    STYLE,
    svg,
)
from workflow.reporting.properties import Crystals, Curves
from workflow.reporting.rounds import RoundRow
from workflow.survival import Survival

Floats = NDArray[np.float64]


def _panels(n: int, height: float = 3.0) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(9.0, height), layout="constrained")
    axes = figure.subplots(1, n, squeeze=False)[0]
    for ax in axes:
        ax.set_axisbelow(True)
    return figure, list(axes)


def learning_curves(rows: Sequence[RoundRow], noise: KpointNoise | None = None) -> str:
    """Draw held-out errors against the number of labels; ensembles not promoted are hollow.

    The ``noise`` that k-points leave in the labels is drawn as a dashed line.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _panels(2)
        for ax, name, factor, title, floor in (
            (
                axes[0],
                "energy_rmse_mev_per_atom",
                1.0,
                "energy, meV/atom",
                noise and noise.energy_rms_mev_per_atom,
            ),
            (axes[1], "force_rmse_ev_per_ang", 1000.0, "force, meV/Å", noise and noise.force_rms_ev_per_ang),
        ):
            if floor:
                ax.axhline(factor * floor, color=ORANGE, linestyle="--", linewidth=1, zorder=0)
            measured = [row for row in rows if getattr(row, name) is not None]
            for cycle in sorted({row.cycle for row in measured}):
                points = [(row.labels, factor * getattr(row, name)) for row in measured if row.cycle == cycle]
                ax.plot(*zip(*points, strict=True), color=GREY, linewidth=1, zorder=1)
            for row in measured:
                ax.scatter(
                    row.labels,
                    factor * getattr(row, name),
                    facecolor=BLUE if row.promoted else "white",
                    edgecolor=BLUE,
                    s=28,
                    zorder=2,
                )
                ax.annotate(
                    str(row.round),
                    (row.labels, factor * getattr(row, name)),
                    (0, 6),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                    color=GREY,
                )
            _log_axis(ax, "y")
            ax.set(title=title, xlabel="labels in the data set")
    return svg(figure)


def expected_against_error(held_out: Mapping[str, Floats], energy_factor: float, force_factor: float) -> str:
    """Draw the real error of every validation frame against the one expected from the disagreement."""
    with mpl.rc_context(STYLE):
        figure, axes = _panels(2, 3.6)
        for ax, kind, suffix, factor, unit, scale in (
            (axes[0], "energy", "ev_per_sqrt_atom", energy_factor, "energy / √atoms, meV", 1000.0),
            (axes[1], "force", "mean_ev_per_ang", force_factor, "mean force, meV/Å", 1000.0),
        ):
            expected = scale * factor * held_out[f"{kind}_spread_{suffix}"]
            real = scale * np.abs(held_out[f"{kind}_error_{suffix}"])
            shown = (expected > 0) & (real > 0)
            ax.scatter(expected[shown], real[shown], s=12, color=BLUE, alpha=0.5, linewidth=0)
            if shown.any():
                both = np.concatenate([expected[shown], real[shown]])
                ends = np.array([both.min() / 1.5, both.max() * 1.5])
                ax.plot(ends, ends, color=GREY, linewidth=1)
                ax.fill_between(ends, ends / 2, ends * 2, color=GREY, alpha=0.12, linewidth=0)
                ax.set(xlim=ends, ylim=ends)
            _log_axis(ax, "x")
            _log_axis(ax, "y")
            ax.set(title=unit, xlabel="expected from the disagreement", ylabel="real error")
    return svg(figure)


def survival_curves(curves: Mapping[str, Survival], goal_ps: float) -> str:
    """Draw the share of trajectories that still agree against time, one step curve per ensemble."""
    with mpl.rc_context(STYLE):
        figure, (ax,) = _panels(1, 3.2)
        colours = mpl.colormaps["viridis"](np.linspace(0.92, 0.1, max(len(curves), 2)))
        for colour, (name, curve) in zip(colours, curves.items(), strict=False):
            times = np.append(curve.times_fs, curve.followed_fs) / 1000.0
            alive = np.append(curve.alive, curve.alive[-1])
            ax.step(times, alive, where="post", color=colour, label=name, linewidth=1.6)
        if curves:
            last = list(curves.values())[-1]
            ax.fill_between(
                last.times_fs / 1000.0, last.lower, last.upper, step="post", color=colours[-1], alpha=0.12
            )
            ax.legend(ncols=2)
        ax.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
        ax.axvline(goal_ps, color=GREY, linewidth=1, linestyle=":")
        ax.text(goal_ps, 1.0, "goal ", ha="right", va="top", color=GREY)
        ax.set(xlabel="time, ps", ylabel="share without disagreement", ylim=(0, 1.03))
        ax.set_xscale("symlog", linthresh=0.1)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.set_xlim(left=0)
    return svg(figure)


def counts(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Draw counts by reason as horizontal bars, one colour per group."""
    with mpl.rc_context(STYLE):
        bars = [(group, reason, n) for group, reasons in groups.items() for reason, n in reasons.items()]
        figure, (ax,) = _panels(1, 0.8 + 0.26 * max(len(bars), 1))
        colours = dict(zip(groups, (BLUE, GREY, PURPLE, RED, ORANGE), strict=False))
        for i, (group, _, n) in enumerate(bars):
            ax.barh(i, n, color=colours[group], height=0.7)
            ax.annotate(f" {n:,}", (n, i), va="center", fontsize=8)
        ax.set_yticks(range(len(bars)), [f"{group}: {reason.replace('_', ' ')}" for group, reason, _ in bars])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.1)
        ax.set_xlabel("frames")
    return svg(figure)


_WORK = {
    "sampling": BLUE,
    "labelling": ORANGE,
    "training": GREEN,
    "failed": RED,
    "repeated": "#8c6bb1",
    "discarded": "#8a939e",
    "idle": "#dfe3e8",
}


def time_spent(hours: Mapping[str, Mapping[str, float]]) -> str:
    """Draw what each executor's workers did, in worker-hours: useful ones by role, then the other classes."""
    names = list(hours)
    with mpl.rc_context(STYLE):
        figure, (ax,) = _panels(1, 0.9 + 0.4 * max(len(names), 1))
        left = np.zeros(len(names))
        for kind, colour in _WORK.items():
            widths = np.array([hours[name].get(kind, 0.0) for name in names])
            if widths.any():
                ax.barh(names, widths, left=left, color=colour, label=kind, height=0.6)
            left += widths
        for i, name in enumerate(names):
            busy = 1.0 - hours[name].get("idle", 0.0) / left[i] if left[i] else 0.0
            ax.annotate(f" {busy:.0%} busy" if left[i] else "", (left[i], i), va="center", fontsize=8)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        ax.set_xlabel("worker-hours")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(ncols=7, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return svg(figure)


def cold_curves(crystals: Crystals) -> str:
    """Draw energies against volume: lines and bands by the ensemble, points by the label source.

    Each is drawn above its own energy of the crystal that is lowest by the label source, or by the ensemble
    where there is none; on the right the lowest crystals from near.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.0), layout="constrained")
        far, near = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
        lowest = _lowest(crystals.source or crystals.ensemble)
        of_ensemble, of_source = _energy_of(crystals.ensemble, lowest), _energy_of(crystals.source, lowest)
        for ax in (far, near):
            ax.set_axisbelow(True)
            for curves in crystals.curves:
                _draw_curves(ax, curves, of_ensemble, of_source)
            ax.set_xlabel("volume per atom, Å³")
        heights = sorted(row.above_lowest_mev for row in crystals.source or crystals.ensemble if row.found)
        volume = next(r.volume_ang3 for r in crystals.source or crystals.ensemble if r.structure == lowest)
        top = max(heights[-1] / 1000.0, 0.05)
        far.set(ylabel=f"energy above {lowest}, eV/atom", ylim=(-0.12 * top, 1.7 * top))
        zoom = max(2.0 * heights[min(2, len(heights) - 1)] / 1000.0, 0.03)
        near.set(xlim=(0.86 * volume, 1.18 * volume), ylim=(-0.25 * zoom, 1.15 * zoom))
        far.legend(ncols=3, loc="upper center")
    return svg(figure)


def _draw_curves(ax: Axes, curves: Curves, of_ensemble: float, of_source: float) -> None:
    colour, ensemble, source = STRUCTURE_COLOURS[curves.structure], curves.ensemble, curves.source
    energy, band = ensemble.energies_ev - of_ensemble, np.nan_to_num(ensemble.spreads_ev)
    ax.plot(ensemble.volumes_ang3, energy, color=colour, linewidth=1.8, label=curves.structure)
    shade: dict[str, Any] = {"color": colour, "alpha": 0.18, "linewidth": 0}
    ax.fill_between(ensemble.volumes_ang3, energy - band, energy + band, **shade)
    if source is not None:
        points: dict[str, Any] = {
            "linestyle": "",
            "marker": "o",
            "markersize": 3.5,
            "markerfacecolor": "white",
        }
        ax.plot(source.volumes_ang3, source.energies_ev - of_source, color=colour, **points)


def _lowest(rows: Sequence[Crystal]) -> str:
    return min((row for row in rows if row.found), key=lambda row: row.energy_ev).structure


def _energy_of(rows: Sequence[Crystal], structure: str) -> float:
    """Return the energy of a crystal, or of the lowest where it was not found."""
    found = {row.structure: row.energy_ev for row in rows if row.found}
    return found.get(structure, min(found.values(), default=0.0))


def _log_axis(ax: Axes, which: str) -> None:
    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    plain = FuncFormatter(lambda x, _: f"{x:g}")
    axis.set_major_formatter(plain)
    low, high = axis.get_view_interval()
    ratio = high / max(low, 1e-300)
    if ratio < 4:  # no power of ten, and perhaps no 2, 3 or 5, in sight
        axis.set_major_locator(MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    elif ratio < 30:
        axis.set_minor_formatter(FuncFormatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "235" else ""))
    else:
        axis.set_minor_formatter(NullFormatter())
