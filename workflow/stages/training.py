"""The training stage: synchronisations, trainings, and which ensemble is promoted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

from workflow.dataset import Dataset
from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.ledger import Event
from workflow.promotion_gate import refusals_in_a_row, unmet_conditions
from workflow.stages.labelling import Labelling
from workflow.stages.properties import record_properties
from workflow.state import Round, validation_score
from workflow.storage.files import DamagedFileError
from workflow.storage.spool import LabelRecord, item_path, read_label
from workflow.tasks.train import TrainingSummary, point_current_at, train_round
from workflow.tasks.validate import quantities_of_round, validate_round

_REMEDY = "See logs/ for the error; mend its cause, then run the same command again."


class _Records(Protocol):
    def record(self, event: str, **fields: Any) -> Event: ...


class Training:
    """One training per cycle at a time; each starts with a synchronisation."""

    def __init__(self, driver: Driver, labelling: Labelling, dataset: Dataset) -> None:
        self._driver = driver
        self._labelling = labelling
        self._dataset = dataset
        self._running: set[int] = set()
        self._unfinished = {
            round_.cycle: round_ for round_ in driver.state.rounds.values() if round_.ended is None
        }

    @property
    def n_running(self) -> int:
        """Trainings being run."""
        return len(self._running)

    def n_unlearned(self, cycle: int | None = None) -> int:
        """Labels that are in no training yet: of one cycle, or of the cycle that has seen most."""
        cycles = range(self._driver.config.cycles) if cycle is None else [cycle]
        seen = max(self._n_seen(c) for c in cycles)
        return self._driver.state.n_labels + len(self._labelling.unmerged) - seen

    def _n_seen(self, cycle: int) -> int:
        return max((r.n_labels for r in self._driver.state.rounds.values() if r.cycle == cycle), default=0)

    def submit(self, *, at_least: int) -> None:
        """Start a training in every idle cycle with ``at_least`` new labels, or an interrupted training."""
        driver = self._driver
        for cycle in range(driver.config.cycles):
            if cycle in self._running or driver.is_paused("training"):
                continue
            if cycle in self._unfinished:
                self._start(self._unfinished.pop(cycle))
            elif self.n_unlearned(cycle) >= at_least and not self._out_of_rounds():
                self.synchronise()
                self._start(self._begin_round(cycle))

    def _out_of_rounds(self) -> bool:
        limit = self._driver.config.stop.max_rounds
        return limit is not None and len(self._driver.state.rounds) >= limit

    def synchronise(self) -> None:
        """Merge all labels that have arrived into the global set; their files go once they are in it."""
        driver, unmerged = self._driver, self._labelling.unmerged
        if not unmerged:
            return
        records = [record for id_ in sorted(unmerged) if (record := self._read(id_)) is not None]
        result = self._dataset.merge(records, round=driver.state.round)
        self._dataset.compact(driver.config.synchronisation.compact_segments)
        record_merge(driver, self._dataset, n_new=result.n_new, n_duplicates=result.n_duplicates)
        for id_ in unmerged:
            item_path(driver.paths.labels, id_).unlink(missing_ok=True)
        unmerged.clear()

    def _read(self, id_: str) -> LabelRecord | None:
        path = item_path(self._driver.paths.labels, id_)
        try:
            return read_label(path)
        except FileNotFoundError:
            self._driver.note(f"label {id_} was removed from labels/ before it was merged")
        except DamagedFileError as error:
            path.replace(self._driver.paths.quarantine / f"{path.name}.damaged")
            self._driver.note(f"label set aside in quarantine/: {error}")
        return None

    def _begin_round(self, cycle: int) -> Round:
        driver = self._driver
        number = max(driver.state.rounds, default=0) + 1
        driver.record("training", round=number, cycle=cycle, version=self._dataset.version)
        return driver.state.rounds[number]

    def _start(self, round_: Round) -> None:
        self._running.add(round_.cycle)
        self._driver.submit(
            "training",
            train_round,
            round_.number,
            round_.cycle,
            round_.version,
            self._driver.state.current.get(round_.cycle),
            on_result=partial(self._on_result, round_),
        )

    def _on_result(self, round_: Round, result: TaskResult) -> None:
        self._running.discard(round_.cycle)
        if not result.ok:
            self._unfinished[round_.cycle] = round_
            self._driver.failure("training", result.error, _REMEDY)
            return
        summary: TrainingSummary = result.value
        if summary.interrupted:
            self._unfinished[round_.cycle] = round_
            return
        self._driver.success("training")
        tolerance = self._driver.config.synchronisation.promotion_tolerance
        promoted, why = is_good_enough(summary, tolerance)
        if promoted and self._is_gated(round_):
            self._examine(round_, summary, why)
        else:
            self._decide(round_, summary, promoted, why)

    def _is_gated(self, round_: Round) -> bool:
        """Whether the property suite decides: without an ensemble before, nothing could go on."""
        validation = self._driver.config.validation
        gated = validation.suite != "none" and validation.promotion_gate
        return bool(gated) and round_.cycle in self._driver.state.current

    def _examine(self, round_: Round, summary: TrainingSummary, why: str) -> None:
        """Let the property suite look at an ensemble; until then it counts as not trained."""
        driver = self._driver
        if driver.ending is not None and driver.ending.state == "paused":
            self._unfinished[round_.cycle] = round_
            return
        self._running.add(round_.cycle)
        driver.submit(
            "training",
            validate_round,
            round_.number,
            driver.config.validation.suite,
            on_result=partial(self._on_examined, round_, summary, why),
        )

    def _on_examined(self, round_: Round, summary: TrainingSummary, why: str, result: TaskResult) -> None:
        self._running.discard(round_.cycle)
        driver = self._driver
        validation = driver.config.validation
        found = record_properties(driver, round_.number, validation.suite, result)
        unmet = self._unmet(round_) if found.ok else [f"the property suite failed: {found.message}"]
        n_refusals = refusals_in_a_row(driver.state.rounds.values(), round_.cycle)
        if not unmet:
            self._decide(round_, summary, True, f"{why}; all conditions of the gate are met")
        elif n_refusals < validation.max_refusals:
            self._decide(round_, summary, False, f"refused by the gate: {'; '.join(unmet)}", unmet)
        else:
            after = f"after {n_refusals} refusals in a row the gate is left open: {'; '.join(unmet)}"
            self._decide(round_, summary, True, f"{why}; {after}", unmet)

    def _unmet(self, round_: Round) -> list[str]:
        """Return the conditions of the gate that an ensemble does not meet, which the suite has seen."""
        driver = self._driver
        now, before = (
            quantities_of_round(driver.paths, number)
            for number in (round_.number, driver.state.current[round_.cycle])
        )
        return unmet_conditions(driver.config.validation.promotion_gate, driver.config.elements, now, before)

    def _decide(
        self, round_: Round, summary: TrainingSummary, promoted: bool, why: str, unmet: Sequence[str] = ()
    ) -> None:
        """Write down what came of a training, and let a promoted ensemble take over."""
        self._driver.record("trained", promoted=promoted, why=why, unmet=list(unmet), **asdict(summary))
        if unmet:
            self._driver.note(f"round {round_.number} {'promoted' if promoted else 'not promoted'}: {why}")
        best = self._driver.state.best_round()
        if best is not None:
            point_current_at(self._driver.paths, best.number)
        if promoted:
            self._labelling.rescore(round_.number)


def record_merge(journal: _Records, dataset: Dataset, *, n_new: int, n_duplicates: int) -> None:
    """Write down what the data set holds after a merge."""
    journal.record(
        "merged",
        version=dataset.version,
        n_new=n_new,
        n_duplicates=n_duplicates,
        n_labels=dataset.n_labels,
        n_atoms=dataset.snapshot().n_atoms,
    )


def is_good_enough(summary: TrainingSummary, tolerance: float) -> tuple[bool, str]:
    """Decide whether an ensemble is promoted, and say why.

    It must not be worse than the promoted one by more than the share ``tolerance`` on the fixed validation
    set, both measured on the same frames.
    """
    if summary.previous_validation is None:
        return True, "first ensemble of its cycle"
    if not summary.n_validation:
        return True, "no validation labels to compare on"
    new, old = validation_score(summary.validation), validation_score(summary.previous_validation)
    if new <= (1.0 + tolerance) * old and math.isfinite(new):
        return True, f"validation score {new:.4g} against {old:.4g} before"
    return False, f"worse on the validation set: score {new:.4g} against {old:.4g} of the promoted ensemble"
