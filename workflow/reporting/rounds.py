"""What happened from one training to the next: one row per round, for the log, the table and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from workflow.accounting import gpu_h_per_label, worker_time
from workflow.ledger import Event
from workflow.state import CampaignState, Round
from workflow.survival import median_survival


@dataclass(frozen=True)
class RoundRow:
    """One training and all that happened since the one before; columns of ``metrics.csv`` in this order."""

    round: int
    cycle: int
    promoted: bool
    wall_h: float
    """Hours during which a driver has run, up to the end of the training."""
    labels: int
    """Labels in the data set when it started."""
    new_labels: int
    """Labels made since the last row."""
    failed_labels: int
    candidates: int
    rejected_candidates: int
    dropped_candidates: int
    """Candidates that a newer ensemble no longer disagreed on."""
    trajectories_ended: int
    trajectories_completed: int
    """Those among them that reached the end of their schedule."""
    atom_steps: int
    energy_rmse_mev_per_atom: float | None
    energy_mae_mev_per_atom: float | None
    force_rmse_ev_per_ang: float | None
    force_mae_ev_per_ang: float | None
    validation_labels: int
    energy_calibration: float | None
    force_calibration: float | None
    epochs: int
    training_wall_s: float
    failed_members: int
    restarted_members: int
    label_core_h: float
    """Core-hours that labels have cost so far."""
    workers_busy_fraction: float
    """Share of the workers' time spent in tasks so far."""
    useful_h: float
    """Worker-hours so far, by class (see `workflow.accounting`)."""
    failed_h: float
    repeated_h: float
    discarded_h: float
    idle_h: float
    gpu_h_per_label: float | None
    """GPU-hours held so far, idle ones included, per label accepted."""
    median_survival_ps: float | None = None
    """Of the trajectories under this round's ensemble; a lower bound where more than half live on."""
    why: str = ""
    """Why it was promoted, or was not."""


@dataclass(frozen=True)
class _Counts:
    labels: int = 0
    failed: int = 0
    candidates: int = 0
    rejected: int = 0
    dropped: int = 0
    ended: int = 0
    completed: int = 0
    atom_steps: int = 0

    @classmethod
    def of(cls, state: CampaignState) -> _Counts:
        ended = [e["reason"] for exposures in state.exposures.values() for e in exposures if e["ended"]]
        return cls(
            labels=state.n_labelled,
            failed=sum(state.label_failures.values()),
            candidates=sum(state.accepted.values()),
            rejected=sum(state.rejected.values()),
            dropped=sum(state.rescored_dropped.values()),
            ended=len(ended),
            completed=ended.count("completed"),
            atom_steps=state.atom_steps,
        )


class RoundWatch:
    """Notices the end of each training; the first look only takes note of where the campaign stands."""

    def __init__(self) -> None:
        self._seen: set[int] | None = None
        self._before = _Counts()

    def look(self, state: CampaignState) -> RoundRow | None:
        """Return the row of a training that has ended since the last look, or ``None``."""
        ended = {number for number, round_ in state.rounds.items() if round_.ended is not None}
        if self._seen is None:
            self._seen, self._before = ended, _Counts.of(state)
        new = ended - self._seen
        if not new:
            return None
        number = min(new)
        self._seen.add(number)
        before, self._before = self._before, _Counts.of(state)
        return _row(state, state.rounds[number], before, self._before)


def round_rows(events: Iterable[Event]) -> list[RoundRow]:
    """Return one row per finished training."""
    state, watch = CampaignState(), RoundWatch()
    watch.look(state)
    rows = []
    for event in events:
        state.apply(event)
        if event["event"] == "trained" and (row := watch.look(state)) is not None:
            rows.append(row)
    return [replace(row, median_survival_ps=survival_ps(state, row.round)) for row in rows]


def survival_ps(state: CampaignState, number: int) -> float | None:
    """Return the median survival under a round's ensemble, ps; ``None`` where no trajectory ran under it."""
    median = median_survival(state.exposures.get(state.rounds[number].name, []))
    return None if median is None else median.at_least_fs / 1000.0


def n_validation(errors: Mapping[str, Any] | None) -> int:
    """Return on how many labels errors were measured."""
    return int((errors or {}).get("n_labels", (errors or {}).get("n_frames", 0)))


def _row(state: CampaignState, round_: Round, before: _Counts, now: _Counts) -> RoundRow:
    validation = round_.validation or {}
    return RoundRow(
        round=round_.number,
        cycle=round_.cycle,
        promoted=round_.promoted,
        wall_h=state.wall_s / 3600.0,
        labels=round_.n_labels,
        new_labels=now.labels - before.labels,
        failed_labels=now.failed - before.failed,
        candidates=now.candidates - before.candidates,
        rejected_candidates=now.rejected - before.rejected,
        dropped_candidates=now.dropped - before.dropped,
        trajectories_ended=now.ended - before.ended,
        trajectories_completed=now.completed - before.completed,
        atom_steps=now.atom_steps - before.atom_steps,
        energy_rmse_mev_per_atom=validation.get("energy_rmse_mev_per_atom"),
        energy_mae_mev_per_atom=validation.get("energy_mae_mev_per_atom"),
        force_rmse_ev_per_ang=validation.get("force_rmse_ev_per_ang"),
        force_mae_ev_per_ang=validation.get("force_mae_ev_per_ang"),
        validation_labels=n_validation(validation),
        energy_calibration=round_.calibration.get("energy"),
        force_calibration=round_.calibration.get("force"),
        epochs=round_.epochs,
        training_wall_s=round_.wall_s,
        failed_members=len(round_.failed_members),
        restarted_members=len(round_.restarted_members),
        label_core_h=state.label_core_s / 3600.0,
        workers_busy_fraction=state.workers_busy_fraction,
        **asdict(worker_time(state)),
        gpu_h_per_label=gpu_h_per_label(state),
        why=round_.why,
    )
