"""How the pictures of all pages look."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#c2185b", "#7b5ea7", "#9aa3ad"
STRUCTURE_COLOURS = {"FCC": BLUE, "HCP": ORANGE, "BCC": GREEN, "SC": PURPLE, "diamond": RED}

STYLE = {
    "axes.edgecolor": "#b8bfc7",
    "axes.grid": True,
    "axes.labelcolor": "#39424e",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": "#e8ebef",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "smelter",
    "text.color": "#39424e",
    "xtick.color": "#6b7580",
    "ytick.color": "#6b7580",
}


def svg(figure: Figure) -> str:
    """Return a figure as SVG, the same every time."""
    text = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()
