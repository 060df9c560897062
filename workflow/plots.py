"""The report's pictures, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from workflow.properties import Crystals
from workflow.rounds import RoundRow
from workflow.survival import Survival

Floats = NDArray[np.float64]

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#c2185b", "#7b5ea7", "#9aa3ad"
STRUCTURE_COLOURS = {"FCC": BLUE, "HCP": ORANGE, "BCC": GREEN, "SC": PURPLE, "diamond": RED}
_STYLE = {
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


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()


def _panels(n: int, height: float = 3.0) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(9.0, height), layout="constrained")
    axes = figure.subplots(1, n, squeeze=False)[0]
    for ax in axes:
        ax.set_axisbelow(True)
    return figure, list(axes)


def learning_curves(rows: Sequence[RoundRow]) -> str:
    """Draw held-out errors against the number of labels; ensembles not promoted are hollow."""
    with mpl.rc_context(_STYLE):
        figure, axes = _panels(2)
        for ax, name, factor, title in (
            (axes[0], "energy_rmse_mev_per_atom", 1.0, "energy, meV/atom"),
            (axes[1], "force_rmse_ev_per_ang", 1000.0, "force, meV/Å"),
        ):
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
    return _svg(figure)


def expected_against_error(held_out: Mapping[str, Floats], energy_factor: float, force_factor: float) -> str:
    """Draw the real error of every validation frame against the one expected from the disagreement."""
    with mpl.rc_context(_STYLE):
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
    return _svg(figure)


def survival_curves(curves: Mapping[str, Survival], goal_ps: float) -> str:
    """Draw the share of trajectories that still agree against time, one step curve per ensemble."""
    with mpl.rc_context(_STYLE):
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
    return _svg(figure)


def counts(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Draw counts by reason as horizontal bars, one colour per group."""
    with mpl.rc_context(_STYLE):
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
    return _svg(figure)


def time_spent(roles: Mapping[str, tuple[float, float, float]]) -> str:
    """Draw what each role's workers did: hours busy, lost in failed tasks, and idle."""
    with mpl.rc_context(_STYLE):
        figure, (ax,) = _panels(1, 0.9 + 0.4 * max(len(roles), 1))
        left = np.zeros(len(roles))
        table = np.array(list(roles.values())).reshape(len(roles), 3)
        for column, (name, colour) in enumerate((("busy", GREEN), ("failed", RED), ("idle", "#dfe3e8"))):
            ax.barh(list(roles), table[:, column], left=left, color=colour, label=name, height=0.6)
            left += table[:, column]
        for i, (busy, failed, idle) in enumerate(roles.values()):
            total = busy + failed + idle
            ax.annotate(f" {busy / total:.0%} busy" if total else "", (total, i), va="center", fontsize=8)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        ax.set_xlabel("worker-hours")
        ax.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return _svg(figure)


def cold_curves(crystals: Crystals) -> str:
    """Draw energies against volume: lines and bands by the ensemble, points by the label source."""
    with mpl.rc_context(_STYLE):
        figure, (ax,) = _panels(1, 4.2)
        zero = min(row.energy_ev for row in (crystals.source or crystals.ensemble) if row.found)
        for curves in crystals.curves:
            colour, ensemble = STRUCTURE_COLOURS[curves.structure], curves.ensemble
            energy = ensemble.energies_ev - zero
            ax.plot(ensemble.volumes_ang3, energy, color=colour, linewidth=1.8, label=curves.structure)
            band = np.nan_to_num(ensemble.spreads_ev)
            ax.fill_between(
                ensemble.volumes_ang3, energy - band, energy + band, color=colour, alpha=0.18, linewidth=0
            )
            if curves.source is not None:
                ax.plot(
                    curves.source.volumes_ang3[::2],
                    curves.source.energies_ev[::2] - zero,
                    color=colour,
                    linestyle="",
                    marker="o",
                    markersize=3.5,
                    markerfacecolor="white",
                )
        ax.set_ylim(*_window(crystals, zero))
        ax.set(xlabel="volume per atom, Å³", ylabel="energy above the lowest, eV/atom")
        ax.legend(ncols=5, loc="upper center")
    return _svg(figure)


def _window(crystals: Crystals, zero: float) -> tuple[float, float]:
    """Energies worth showing: from the lowest crystal to a little above the highest."""
    rows = [row for row in (*crystals.source, *crystals.ensemble) if row.found]
    reference = [row.energy_ev - zero for row in (crystals.source or crystals.ensemble) if row.found]
    height = max(max(reference), 0.05)
    lowest = max(min(row.energy_ev - zero for row in rows), -height)
    return lowest - 0.12 * height, 1.6 * height


def _log_axis(ax: Axes, which: str) -> None:
    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    plain = FuncFormatter(lambda x, _: f"{x:g}")
    axis.set_major_formatter(plain)
    low, high = axis.get_view_interval()
    if high / max(low, 1e-300) < 30:
        axis.set_minor_formatter(FuncFormatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "235" else ""))
    else:
        axis.set_minor_formatter(FuncFormatter(lambda _x, _: ""))
