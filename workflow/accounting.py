"""Where the workers' time went: every worker-second, and every GPU-second that the workers held, in a class.

``useful``
    Tasks that came to their end and whose result was used.
``failed``
    Tasks that ended in an error, and labels that their source gave up.
``repeated``
    Tries that were lost with their worker or their driver, and whose task was run again.
``discarded``
    What was finished and then not used: labels that the checks refused, trainings that were not promoted.
``idle``
    Everything else, from a driver's first event to its last: starting, waiting, ending, and with blocks that
    are queued for, those that have not come.

A chunk of trajectories counts as useful whatever became of its candidates: how long they lived is its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from workflow.state import CampaignState

LOSSES = ("failed", "repeated", "discarded", "idle")
"""Classes of time that was not useful."""
CLASSES = ("useful", *LOSSES)
REFUSED_AFTERWARDS = frozenset({"bad_output", "unphysical"})
"""Reasons for which a label that was made is not used; for all others none was made."""


@dataclass
class Work:
    """What the workers of one role did, in worker-seconds; what remains of their time is idle."""

    useful_s: float = 0.0
    failed_s: float = 0.0
    repeated_s: float = 0.0
    discarded_s: float = 0.0
    core_s: float = 0.0
    n_ok: int = 0
    n_failed: int = 0
    _last_s: float = 0.0
    """Useful seconds of the last task: what its outcome, which follows it in the ledger, may take back."""

    @property
    def busy_s(self) -> float:
        """Seconds in tasks, whatever came of them."""
        return self.useful_s + self.failed_s + self.repeated_s + self.discarded_s

    def end_task(self, event: Mapping[str, Any]) -> None:
        """Take in the end of a task, useful until its outcome says otherwise."""
        seconds = event["ended"] - event["started"]
        self.core_s += event["core_s"]
        self.repeated_s += event.get("lost_s", 0.0)
        if event["ok"]:
            self.useful_s += seconds
            self.n_ok += 1
        else:
            self.failed_s += seconds
            self.n_failed += 1
        self._last_s = seconds if event["ok"] else 0.0

    def take_back(self, to: Literal["failed_s", "discarded_s"], seconds: float | None = None) -> None:
        """Put ``seconds`` of the last task, or all of it, down as failed or discarded."""
        moved = self._last_s if seconds is None else min(seconds, self._last_s)
        self._last_s -= moved
        self.useful_s -= moved
        setattr(self, to, getattr(self, to) + moved)


@dataclass(frozen=True)
class TimeSpent:
    """Hours of workers, or of the GPUs they held, by class."""

    useful_h: float = 0.0
    failed_h: float = 0.0
    repeated_h: float = 0.0
    discarded_h: float = 0.0
    idle_h: float = 0.0

    @property
    def total_h(self) -> float:
        """Hours offered."""
        return self.useful_h + self.failed_h + self.repeated_h + self.discarded_h + self.idle_h

    @property
    def shares(self) -> dict[str, float]:
        """Share of each class; empty where no time was offered."""
        return {name: getattr(self, f"{name}_h") / self.total_h for name in CLASSES} if self.total_h else {}


def worker_time(state: CampaignState) -> TimeSpent:
    """Return the worker-hours of a campaign: together, workers × the time a driver ran."""
    return _total(state, dict.fromkeys(_offered_s(state), 1.0))


def gpu_time(state: CampaignState) -> TimeSpent:
    """Return the GPU-hours that workers held, by what they did; all 0 where they held none.

    Of a GPU that several workers share, each holds its part.
    """
    held_s: dict[str, float] = {}
    for session in state.sessions:
        for name, gpus in session.gpus.items():
            held_s[name] = held_s.get(name, 0.0) + gpus * session.wall_s
    offered = _offered_s(state)
    return _total(state, {name: held_s.get(name, 0.0) / s if s else 0.0 for name, s in offered.items()})


def gpu_h_per_label(state: CampaignState) -> float | None:
    """Return all GPU-hours held, idle ones included, per label accepted; ``None`` without GPU or label."""
    total_h = gpu_time(state).total_h
    return total_h / state.n_labelled if total_h and state.n_labelled else None


def worker_hours(state: CampaignState) -> dict[str, dict[str, float]]:
    """Return what each executor's workers did: useful hours by role, then those of the other classes."""
    offered = _offered_s(state)
    hours: dict[str, dict[str, float]] = {name: {} for name in offered}
    for role, work in state.work.items():
        spent = hours.setdefault(_executor(role, offered), {})
        spent[role] = work.useful_s / 3600.0
        for name in ("failed", "repeated", "discarded"):
            spent[name] = spent.get(name, 0.0) + getattr(work, f"{name}_s") / 3600.0
    for name, spent in hours.items():
        spent["idle"] = max(0.0, offered.get(name, 0.0) / 3600.0 - sum(spent.values()))
    return hours


def busy_by_role(state: CampaignState) -> dict[str, float]:
    """Return the share of its workers' time that each role spent in tasks, from the campaign's start."""
    offered = _offered_s(state)
    busy: dict[str, float] = {}
    for role, work in state.work.items():
        seconds = offered.get(_executor(role, offered), 0.0)
        busy[role] = min(1.0, work.busy_s / seconds) if seconds > 0 else 0.0
    return busy


def _total(state: CampaignState, weights: Mapping[str, float]) -> TimeSpent:
    """Add up the executors' hours, each with its weight."""
    totals = dict.fromkeys(CLASSES, 0.0)
    for executor, hours in worker_hours(state).items():
        for name, value in hours.items():
            totals[name if name in LOSSES else "useful"] += value * weights.get(executor, 0.0)
    return TimeSpent(**{f"{name}_h": value for name, value in totals.items()})


def _offered_s(state: CampaignState) -> dict[str, float]:
    """Return the worker-seconds of each executor, over all sessions."""
    offered: dict[str, float] = {}
    for session in state.sessions:
        for name, workers in session.workers.items():
            offered[name] = offered.get(name, 0.0) + workers * session.wall_s
    return offered


def _executor(role: str, executors: Mapping[str, float]) -> str:
    """Return the executor of a role: its own, or the one that all share."""
    return role if role in executors else "shared"
