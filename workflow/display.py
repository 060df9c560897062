"""What the user sees while a campaign runs; the only module that prints.

On a terminal: a live table and progress bars. Anywhere else: plain lines, and one block per round.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workflow.accounting import busy_by_role
from workflow.reporting.rounds import RoundWatch
from workflow.reporting.summary import worst_survival
from workflow.reporting.texts import duration_text, errors_text, round_block, survival_text
from workflow.settings.config import CampaignConfig
from workflow.state import CampaignState

_REDRAW_EVERY_S = 0.5
_RECOUNT_EVERY_S = 5.0


def say(text: str) -> None:
    """Print to the standard output."""
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print to the standard error, each line marked as an error."""
    for line in text.splitlines():
        _print(f"error: {line}", sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Print for whoever still reads: a campaign goes on when its terminal or pipe is gone."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Display(Protocol):
    """Shows a campaign to its user while it runs."""

    def note(self, line: str) -> None:
        """Say one thing that happened."""

    def update(self, state: CampaignState) -> None:
        """Take in that the state has changed."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def make_display(config: CampaignConfig, stream: TextIO | None = None) -> Display:
    """Return a live display on a terminal, else a plain one."""
    console = Console(file=stream or sys.stdout)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(config, console)
    return PlainDisplay(config, stream or sys.stdout)


class PlainDisplay:
    """Lines with the time of day, and one block per round; no colours, no bars."""

    def __init__(self, config: CampaignConfig, stream: TextIO) -> None:
        self._config = config
        self._stream = stream
        self._watch = RoundWatch()

    def note(self, line: str) -> None:
        """Print the line."""
        _print(f"{time.strftime('%H:%M:%S')}  {line}", self._stream)

    def update(self, state: CampaignState) -> None:
        """Print a block where a training has ended."""
        block = _new_block(self._watch, state, self._config)
        if block is not None:
            _print(block, self._stream)

    def close(self) -> None:
        """Nothing to put back."""


class LiveDisplay:
    """A table and bars at the bottom of the terminal; notes and blocks scroll above."""

    def __init__(self, config: CampaignConfig, console: Console) -> None:
        self._config = config
        self._watch = RoundWatch()
        self._drawn = self._counted = float("-inf")
        self._survival: tuple[float | None, bool] = (None, False)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def note(self, line: str) -> None:
        """Print the line above the table."""
        self._show(Text.assemble((time.strftime("%H:%M:%S  "), "dim"), line))

    def update(self, state: CampaignState) -> None:
        """Redraw, at most twice a second."""
        block = _new_block(self._watch, state, self._config)
        if block is not None:
            self._show(Text(block))
        now = time.monotonic()
        if now - self._counted > _RECOUNT_EVERY_S:
            self._counted, self._survival = now, worst_survival(state)
        if block is not None or now - self._drawn > _REDRAW_EVERY_S:
            self._drawn = now
            with self._unless_gone():
                self._live.update(self._picture(state), refresh=True)

    def close(self) -> None:
        """Remove the table."""
        with self._unless_gone():
            self._live.stop()

    def _show(self, text: Text) -> None:
        with self._unless_gone():
            self._live.console.print(text)

    @contextmanager
    def _unless_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _silence(cast(TextIO, self._live.console.file))

    def _picture(self, state: CampaignState) -> RenderableType:
        head = Text.assemble(
            (f" {self._config.name} ", "bold reverse"), f"  {state.phase} · {duration_text(state.wall_s)}"
        )
        return Group(head, _roles(state, self._survival), _bars(state, self._config, self._survival[0]))


def _new_block(watch: RoundWatch, state: CampaignState, config: CampaignConfig) -> str | None:
    row = watch.look(state)
    if row is None:
        return None
    return round_block(row, config.potential.n_members, config.sampling.schedule.duration_ps)


def _roles(state: CampaignState, survival: tuple[float | None, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 1), header_style="dim")
    table.add_column("")
    for name in ("workers", "busy", "tasks"):
        table.add_column(name, justify="right")
    table.add_column("so far")
    workers = state.sessions[-1].workers if state.sessions else {}
    busy = busy_by_role(state)
    for role, text in _achievements(state, survival).items():
        work = state.work.get(role)
        cells = (
            workers.get(role, workers.get("shared", 0)),
            f"{busy.get(role, 0.0):.0%}",
            work.n_ok if work else 0,
        )
        paused = Text("paused: " + state.paused[role]["reason"], "bold red") if role in state.paused else text
        table.add_row(role, *(str(cell) for cell in cells), paused)
    return table


def _achievements(state: CampaignState, survival: tuple[float | None, bool]) -> dict[str, str]:
    best = state.best_round()
    errors = (best.validation if best else None) or {}
    failed = sum(state.label_failures.values())
    found = sum(state.accepted.values())
    return {
        "sampling": f"{found:,} candidates, median survival: {survival_text(*survival)}",
        "labelling": f"{state.n_labelled:,} labels" + (f", {failed:,} failed" if failed else ""),
        "training": f"round {state.round}: "
        + errors_text(errors.get("energy_rmse_mev_per_atom"), errors.get("force_rmse_ev_per_ang"))
        if best
        else "no ensemble yet",
    }


def _bars(state: CampaignState, config: CampaignConfig, median_ps: float | None) -> Table:
    stop = config.stop
    bars = [
        ("goal: median survival, ps", median_ps or 0.0, stop.median_survival_ps),
        ("budget: labels", state.n_labelled, stop.max_labels),
        ("budget: rounds", state.round, stop.max_rounds),
        ("budget: hours", state.wall_s / 3600.0, stop.max_hours),
    ]
    if not state.current:
        bars.insert(0, ("bootstrap: labels", state.n_labelled, config.bootstrap.n_frames))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 1))
    for name, done, total in bars:
        if total is not None:
            bar = ProgressBar(total=total, completed=min(done, total), width=40)
            table.add_row(name, bar, f"{done:.4g} of {total:g}")
    return table
