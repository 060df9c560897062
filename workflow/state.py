"""What has happened in a campaign: the ledger's events folded into one state.

The driver and every reader fold the same events with the same function, so what ``status`` shows is what the
driver acts on. Files in the campaign directory hold the results themselves; the ledger holds the decisions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.accounting import REFUSED_AFTERWARDS, Work
from workflow.ledger import Event, read_ledger

Group = tuple[int, int]
"""A group of trajectories: (cycle, group)."""


@dataclass
class Session:
    """One run of the driver."""

    started: float
    last: float
    workers: dict[str, int]
    host: str
    pid: int
    gpus: dict[str, int] = field(default_factory=dict)
    """GPUs that the workers of each executor held together."""

    @property
    def wall_s(self) -> float:
        """Seconds from its first event to its last."""
        return self.last - self.started


@dataclass
class Round:
    """One training: on which snapshot, how it went, and whether its ensemble was promoted."""

    number: int
    cycle: int
    version: int
    started: float
    ended: float | None = None
    promoted: bool = False
    why: str = ""
    validation: dict[str, Any] | None = None
    previous_validation: dict[str, Any] | None = None
    calibration: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    wall_s: float = 0.0
    n_labels: int = 0
    failed_members: list[int] = field(default_factory=list)
    restarted_members: list[int] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    """Conditions of the promotion gate that it does not meet."""

    @property
    def name(self) -> str:
        """Directory name below ``models/``, which is also the ensemble's id."""
        return round_name(self.number)


_TRAINED = (
    "promoted",
    "why",
    "validation",
    "previous_validation",
    "calibration",
    "epochs",
    "wall_s",
    "failed_members",
    "restarted_members",
)


def round_name(number: int) -> str:
    """Name of a round's ensemble and of its directory below ``models/``."""
    return f"round-{number:04d}"


@dataclass
class CampaignState:
    """Everything the ledger says, up to its last event."""

    campaign_id: str = ""
    fingerprint: str = ""
    settings_hash: str = ""
    sessions: list[Session] = field(default_factory=list)
    last_event: float = 0.0
    bootstrap_built: set[int] = field(default_factory=set)
    n_imported: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    """Candidates accepted, by the reason their trajectory stopped (``bootstrap`` for random cells)."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Candidates not accepted, by reason: gates and duplicates."""
    rescored_dropped: Counter[str] = field(default_factory=Counter)
    n_labelled: int = 0
    label_failures: Counter[str] = field(default_factory=Counter)
    label_core_s: float = 0.0
    kpoint_checks: dict[str, Event] = field(default_factory=dict)
    """Labels that were made a second time with more k-points, by id (see `workflow.tasks.kpoints`)."""
    version: int = 0
    n_labels: int = 0
    n_atoms: int = 0
    rounds: dict[int, Round] = field(default_factory=dict)
    current: dict[int, int] = field(default_factory=dict)
    """The promoted round of each cycle."""
    last_chunk: dict[Group, int] = field(default_factory=dict)
    atom_steps: int = 0
    exposures: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """How long trajectories lived under each ensemble: the input of the survival curves."""
    work: dict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    longest_s: dict[str, float] = field(default_factory=dict)
    """The longest that a task of each kind took so far, s."""
    properties: dict[int, Event] = field(default_factory=dict)
    """What the property suite found of promoted ensembles, by round."""
    paused: dict[str, Event] = field(default_factory=dict)
    """Stages that are paused, with the event that says why and what to do."""
    stopped: Event | None = None
    n_breakdowns: int = 0
    """How often the executors broke down in a row, without a finished task in between."""

    def apply(self, event: Event) -> None:
        """Take in one event; events of unknown kinds are passed over."""
        self.last_event = event["time"]
        if self.sessions and event["event"] != "started":  # between two sessions no driver runs
            self.sessions[-1].last = event["time"]
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)

    @property
    def phase(self) -> str:
        """One of bootstrap, running, paused, converged, budget_spent, failed."""
        if self.stopped is not None:
            return str(self.stopped["state"])
        if self.paused:
            return "paused"
        return "running" if self.current else "bootstrap"

    @property
    def round(self) -> int:
        """Number of the newest round that was trained; 0 before the first."""
        return max((r.number for r in self.rounds.values() if r.ended is not None), default=0)

    @property
    def wall_s(self) -> float:
        """Seconds during which a driver ran, over all sessions."""
        return sum(session.wall_s for session in self.sessions)

    @property
    def workers_busy_fraction(self) -> float:
        """Share of the workers' time that went into tasks, ramp-up and end included."""
        offered = sum(s.wall_s * sum(s.workers.values()) for s in self.sessions)
        return min(1.0, sum(work.busy_s for work in self.work.values()) / offered) if offered > 0 else 0.0

    def best_round(self) -> Round | None:
        """The promoted round with the smallest validation error; the newest where none was measured."""
        promoted = [self.rounds[number] for number in self.current.values()]
        if not promoted:
            return None
        return min(promoted, key=lambda r: (validation_score(r.validation), -r.number))

    # One method per event; the names are the ledger's.

    def _on_started(self, event: Event) -> None:
        self.campaign_id = event["campaign_id"]
        self.fingerprint = event["fingerprint"]
        self.settings_hash = event["settings_hash"]
        self.sessions.append(
            Session(
                event["time"],
                event["time"],
                event["workers"],
                event["host"],
                event["pid"],
                event.get("gpus", {}),
            )
        )
        for role, seconds in event.get("lost_s", {}).items():
            self.work[role].repeated_s += seconds
        self.stopped = None
        self.paused.clear()

    def _on_imported(self, event: Event) -> None:
        self.n_imported += event["n"]

    def _on_built(self, event: Event) -> None:
        self.bootstrap_built.update(range(event["first"], event["first"] + event["n"]))
        self._count_candidates(event)

    def _on_sampled(self, event: Event) -> None:
        self.last_chunk[event["cycle"], event["group"]] = event["chunk"]
        self.atom_steps += event["atom_steps"]
        self.exposures[event["ensemble"]].extend(event["exposures"])
        self._count_candidates(event)

    def _count_candidates(self, event: Event) -> None:
        self.accepted.update(event["accepted"])
        self.rejected.update(event["rejected"])

    def _on_labelled(self, event: Event) -> None:
        if event["ok"]:
            self.n_labelled += 1
            self.label_core_s += event["core_s"]
        else:
            self.label_failures[event["reason"]] += 1
            refused = event["reason"] in REFUSED_AFTERWARDS
            self.work["labelling"].take_back("discarded_s" if refused else "failed_s", event["wall_s"])

    def _on_kpoints_checked(self, event: Event) -> None:
        if not event["ok"]:
            self.work["labelling"].take_back("failed_s", event["wall_s"])
        self.kpoint_checks.setdefault(event["id"], event)

    def _on_merged(self, event: Event) -> None:
        self.version = event["version"]
        self.n_labels = event["n_labels"]
        self.n_atoms = event["n_atoms"]

    def _on_rescored(self, event: Event) -> None:
        self.rescored_dropped.update(event["dropped"])

    def _on_training(self, event: Event) -> None:
        self.rounds[event["round"]] = Round(
            event["round"], event["cycle"], event["version"], event["time"], n_labels=self.n_labels
        )

    def _on_trained(self, event: Event) -> None:
        round_ = self.rounds[event["round"]]
        round_.ended = event["time"]
        for name in _TRAINED:
            setattr(round_, name, event[name])
        round_.unmet = event.get("unmet", [])
        if round_.promoted:
            self.current[round_.cycle] = round_.number
        else:
            self.work["training"].take_back("discarded_s")

    def _on_properties(self, event: Event) -> None:
        self.properties[event["round"]] = event

    def _on_task(self, event: Event) -> None:
        seconds = event["ended"] - event["started"]
        self.work[event["role"]].end_task(event)
        self.longest_s[event["kind"]] = max(seconds, self.longest_s.get(event["kind"], 0.0))
        if event["ok"]:
            self.n_breakdowns = 0

    def _on_paused(self, event: Event) -> None:
        self.paused[event["stage"]] = event

    def _on_resumed(self, event: Event) -> None:
        self.paused.pop(event["stage"], None)

    def _on_broken(self, _event: Event) -> None:
        self.n_breakdowns += 1

    def _on_stopped(self, event: Event) -> None:
        self.stopped = event
        self.n_breakdowns = 0


def validation_score(validation: dict[str, Any] | None) -> float:
    """One number to order ensembles by that were measured on the same frames; smaller is better.

    The geometric mean of the energy error per atom (meV) and the force error (meV/Å): independent of the
    units of either, so that a tenth off one is worth a tenth off the other.
    """
    if not validation or not validation.get("n_labels"):
        return float("inf")
    energy = float(validation["energy_rmse_mev_per_atom"])
    force = 1000.0 * float(validation["force_rmse_ev_per_ang"])
    score = float((energy * force) ** 0.5)
    return score if math.isfinite(score) else float("inf")


def fold(events: Iterable[Event]) -> CampaignState:
    """Return the state after ``events``."""
    state = CampaignState()
    for event in events:
        state.apply(event)
    return state


def load_state(directory: Path) -> CampaignState:
    """Fold the ledger of a campaign directory."""
    return fold(read_ledger(directory))
