"""Pictures of the property suite: lines of the potential in question, those of the others beside them."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from validation.results import Curve, Findings
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

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
_STYLES = ("-", "--", ":", "-.", (0, (1, 3)), (0, (6, 3)))
_FEW = 2
_HEADROOM = 0.08


def findings_plot(by_source: Mapping[str, Findings]) -> str | None:
    """Draw the curves of one property by every potential; ``None`` where there are none.

    The first potential's lines are drawn through, with a band of its members' spread. Where a property has
    many lines, colours tell the lines apart and strokes the potentials; else colours tell the potentials.
    """
    drawn = {source: findings for source, findings in by_source.items() if findings.curves}
    if not drawn:
        return None
    first = next(iter(drawn.values()))
    names = list(dict.fromkeys(curve.name for findings in drawn.values() for curve in findings.curves))
    by_line = len(names) > _FEW and not first.ticks
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        ax = figure.subplots()
        ax.set_axisbelow(True)
        for i, (source, findings) in enumerate(drawn.items()):
            for curve in findings.curves:
                colour = _line_colour(names, curve.name) if by_line else _COLOURS[i % len(_COLOURS)]
                _draw(ax, curve, colour, _STYLES[i % len(_STYLES)])
            if not by_line or len(drawn) > 1:
                stroke = GREY if by_line else _COLOURS[i % len(_COLOURS)]
                ax.plot([], [], color=stroke, linestyle=_STYLES[i % len(_STYLES)], label=source)
        if by_line:
            for name in names:
                ax.plot([], [], color=_line_colour(names, name), label=name)
        _frame(ax, first)
        ax.legend(ncols=2)
    return svg(figure)


def _draw(ax: Axes, curve: Curve, colour: str, style: object) -> None:
    x, y, spread = (np.array(values, dtype=np.float64) for values in (curve.x, curve.y, curve.spread))
    ax.plot(x, y, color=colour, linestyle=style, linewidth=1.6)
    if np.isfinite(spread).any() and style == "-":
        ax.errorbar(x, y, yerr=np.nan_to_num(spread), fmt="none", ecolor=colour, elinewidth=0.8, capsize=2)


def _line_colour(names: list[str], name: str) -> str:
    others = [other for other in names if other not in STRUCTURE_COLOURS]
    return STRUCTURE_COLOURS.get(name) or _COLOURS[others.index(name) % len(_COLOURS)]


def _frame(ax: Axes, findings: Findings) -> None:
    """Label the axes; their limits follow the first potential, so that another's explosion hides nothing."""
    ax.set(xlabel=findings.x_label, ylabel=findings.y_label)
    values = np.array([y for curve in findings.curves for y in curve.y], dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values):
        steep = "energy" in findings.y_label  # compressed cells are far above what is of interest
        low, high = float(values.min()), float(np.percentile(values, 97.0 if steep else 100.0))
        room = _HEADROOM * max(high - low, 1e-9)
        ax.set_ylim(low - room, high + 2.0 * room)
    if findings.ticks:
        places, labels = zip(*findings.ticks, strict=True)
        ax.set_xticks(places, labels)
        ax.set_xlim(places[0], places[-1])
