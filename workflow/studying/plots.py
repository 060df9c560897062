"""Pictures of the studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from workflow.reporting.plot_style import BLUE, GREY, ORANGE, STYLE, svg
from workflow.studying.figures import METRICS, Bar

ENERGY, FORCE = "energy_rmse_mev_per_atom", "force_rmse_ev_per_ang"


def table1_plot(bars: Mapping[tuple[str, str, str], Bar], sets: Sequence[str]) -> str:
    """Return errors of both ensembles on both test sets as SVG; ``bars`` by learnt, tested, metric."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.0), layout="constrained")
        for axis, metric in zip(figure.subplots(1, 2), (ENERGY, FORCE), strict=True):
            for i, (learnt, colour) in enumerate(zip(sets, (BLUE, ORANGE), strict=True)):
                found = [bars[learnt, tested, metric] for tested in sets]
                places = [j + 0.36 * (i - 0.5) for j in range(len(sets))]
                axis.bar(
                    places,
                    [bar.mean for bar in found],
                    0.34,
                    yerr=[_known(bar.std) for bar in found],
                    color=colour,
                    label=f"learnt from {learnt}",
                    capsize=3,
                )
            axis.set_yscale("log")
            axis.set_xticks(range(len(sets)), [f"on {name}" for name in sets])
            axis.set_title(METRICS[metric])
        figure.axes[0].legend()
        return svg(figure)


def efficiency_plot(
    curves: Mapping[tuple[str, str, str], Sequence[tuple[int, Bar]]],
    arms: Sequence[str],
    tests: Sequence[str],
) -> str:
    """Return errors against labels as SVG; ``curves`` by arm, test set, metric: sizes with errors."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(tests), 5.2), layout="constrained")
        axes = figure.subplots(2, len(tests), squeeze=False)
        for row, metric in enumerate((ENERGY, FORCE)):
            for column, test in enumerate(tests):
                axis = axes[row][column]
                for arm, colour in zip(arms, (BLUE, ORANGE), strict=True):
                    points = [(n, bar) for n, bar in curves[arm, test, metric] if bar.n]
                    axis.errorbar(
                        [n for n, _ in points],
                        [bar.mean for _, bar in points],
                        yerr=[_known(bar.std) for _, bar in points],
                        color=colour,
                        marker="o",
                        markersize=3.5,
                        ecolor=GREY,
                        capsize=3,
                        label=arm,
                    )
                axis.set_xscale("log")
                axis.set_yscale("log")
                axis.minorticks_off()
                sizes = sorted({n for arm in arms for n, _ in curves[arm, test, metric]})
                axis.set_xticks(sizes, [str(n) for n in sizes], rotation=45)
                axis.set_title(test if row == 0 else "")
                axis.set_ylabel(METRICS[metric] if column == 0 else "")
                axis.set_xlabel("labels" if row else "")
        axes[0][0].legend()
        return svg(figure)


def _known(std: float) -> float:
    return 0.0 if math.isnan(std) else std
