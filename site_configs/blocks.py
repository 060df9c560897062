"""Blocks of nodes that are queued for: Parsl's providers, patient with a scheduler that does not answer.

To Parsl a submission that fails is a failed block, and a few of them end the executor. Here it counts only
where the scheduler answers other questions: while it is away, what runs goes on, and blocks are asked for
again when it is back.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from parsl.jobs.error_handlers import windowed_error_handler
from parsl.providers import LSFProvider, SlurmProvider

from site_configs.schedulers import Scheduler

_REFUSALS_IN_A_ROW = 3
_ASK_EVERY_S = 60.0
"""A silent scheduler is taken to be so for this long, unless it answers in the course of the work, s."""
_NO_ANSWER = "the scheduler does not answer"


class SchedulerSilentError(RuntimeError):
    """A block could not be asked for, since the scheduler does not answer."""


class Line:
    """The line to the scheduler, which all providers of a pool share: whether it is answered."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.silence: str | None = None
        """What was said when the scheduler last did not answer; ``None`` while it does."""
        self._asked = 0.0

    def listen(self, command: str, *, worked: bool, said: str) -> None:
        """Take note of how a command ended.

        One that failed may be the scheduler's answer too, and one that worked may be another's: Slurm's
        accounting has a daemon of its own. To know, the scheduler is asked something simple, but not all the
        time: where it is silent, every question takes long.
        """
        if worked and not command.startswith("sacct"):
            self.silence = None
        elif worked and self.silence is None:
            return
        elif self.silence is None or time.monotonic() > self._asked + _ASK_EVERY_S:
            answers = self._scheduler.answers()
            self._asked = time.monotonic()
            self.silence = None if answers else " ".join(said.split())[-200:] or "nothing was said"


@dataclass(frozen=True)
class Place:
    """Where blocks may be queued.

    Attributes
    ----------
    directives
        Lines of the batch script that say so (see `site_configs.schedulers.directives`).
    blocks
        Blocks there at a time.
    """

    directives: tuple[str, ...]
    blocks: int


class _Patience:
    """What our providers add to Parsl's; to be named before one of those among the base classes."""

    line: Line | None = None
    """The line to the scheduler; ``None`` until `attend`."""
    places: tuple[Place, ...] = ()
    period_s = 60
    """Time between two questions after the blocks, s."""

    def attend(self, line: Line, places: Sequence[Place], period_s: int) -> None:
        """Take up the work: blocks go to the first of ``places`` that has room."""
        self.line, self.places, self.period_s = line, tuple(places), period_s
        self._own_lines: str = self.scheduler_options.removeprefix("\n".join(self.places[0].directives))
        self._place_of: dict[str, Place] = {}

    @property
    def status_polling_interval(self) -> int:
        """Time between two questions after the blocks, s."""
        return self.period_s

    def execute_wait(self, cmd: str, timeout: int | None = None) -> tuple[int, str, str]:
        """Run a command of the scheduler; one that takes too long has failed."""
        try:
            status, output, errors = super().execute_wait(cmd, timeout)  # type: ignore[misc]
        except subprocess.TimeoutExpired as late:
            status, output, errors = 124, "", f"no answer within {late.timeout:g} s"
        if self.line is not None:
            self.line.listen(cmd, worked=status == 0, said=errors)
        return status, output, errors

    def submit(self, command: str, tasks_per_node: int, job_name: str = "block") -> str | None:
        """Queue a block where there is room.

        Raises
        ------
        SchedulerSilentError
            If the scheduler does not answer.
        """
        place = next((place for place in self.places if self._n_blocks(place) < place.blocks), self.places[0])
        self.scheduler_options = "\n".join(place.directives) + self._own_lines
        try:
            job: str | None = super().submit(command, tasks_per_node, job_name)  # type: ignore[misc]
        except Exception as error:
            if self._is_silent(str(error)):
                raise SchedulerSilentError(_NO_ANSWER) from error
            raise
        if job is not None:
            self._place_of[job] = place
        elif self._is_silent("a block was not taken"):
            raise SchedulerSilentError(_NO_ANSWER)
        return job

    def _n_blocks(self, place: Place) -> int:
        jobs: Mapping[str, Any] = self.resources  # type: ignore[attr-defined]
        there = [jobs[id_] for id_, its_place in self._place_of.items() if its_place is place]
        return sum(not job["status"].terminal for job in there)

    def _is_silent(self, said: str) -> bool:
        if self.line is None:
            return False
        if self.line.silence is None:  # one of Parsl's providers does not ask by our `execute_wait`
            self.line.listen("", worked=False, said=said)
        return self.line.silence is not None


class SlurmBlocks(_Patience, SlurmProvider):  # type: ignore[misc]
    """Blocks of a Slurm site."""


class LsfBlocks(_Patience, LSFProvider):  # type: ignore[misc]
    """Blocks of an LSF site."""


def give_up_on_failures(executor: Any, blocks: Mapping[str, Any]) -> None:
    """Give up an executor whose last blocks all failed, those not counted that nobody could be asked for."""
    counted = {id_: block for id_, block in blocks.items() if _NO_ANSWER not in (block.message or "")}
    _give_up(executor, counted)


_give_up = partial(windowed_error_handler, threshold=_REFUSALS_IN_A_ROW)
