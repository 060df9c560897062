"""The labelling stage: a queue of candidates, sent to the label source as fast as it takes them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from functools import partial

from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.stages.kpoint_checks import KpointChecks
from workflow.storage.spool import ids as spooled
from workflow.storage.spool import item_path
from workflow.tasks.label import (
    MISSING,
    LabelOutcome,
    label_candidates,
    quarantine_candidate,
    refusal_outcome,
)
from workflow.tasks.rescore import RescoreSummary, rescore_candidates

_TASKS_PER_WORKER = 2
"""One that runs and one that waits beside it, so that no worker waits for the driver."""

_REMEDY = (
    "See quarantine/ for the frames and reasons; mend the label source, then run the same command again."
)


class Labelling:
    """Candidates waiting for a label, and those being labelled."""

    def __init__(self, driver: Driver, merged: Iterable[str]) -> None:
        """Take up what an earlier driver left; ``merged`` are the ids in the data set."""
        paths = driver.paths
        self._driver = driver
        self._in_flight: set[str] = set()
        self._attempts: Counter[str] = Counter()
        self._n_tasks = 0
        self._rescoring = False
        self._settled = {*merged, *spooled(paths.labels), *spooled(paths.quarantine)}
        self._waiting: OrderedDict[str, None] = OrderedDict()
        """The queue; a dictionary, since each candidate found is looked up in it."""
        self.unmerged = spooled(paths.labels) - set(merged)
        """Ids of labels on disk that are not in the data set yet."""
        self._kpoint_checks = KpointChecks(driver, {*merged, *spooled(paths.labels)})
        self.admit(sorted(spooled(paths.candidates)))

    @property
    def n_candidates(self) -> int:
        """Candidates without a label."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def is_idle(self) -> bool:
        """Whether no labelling task is running."""
        return not self._in_flight

    def admit(self, ids: Iterable[str]) -> None:
        """Queue candidates that are not known yet; files of settled ones are removed."""
        for id_ in ids:
            if id_ in self._settled:
                item_path(self._driver.paths.candidates, id_).unlink(missing_ok=True)
            elif id_ not in self._in_flight:
                self._waiting.setdefault(id_)

    def submit(self, *, room: int | None = None) -> None:
        """Send waiting candidates to idle workers, no more than the budget has ``room`` for."""
        self._kpoint_checks.submit()
        limit = _TASKS_PER_WORKER * self._driver.pool.roles["labelling"]
        while self._waiting and self._n_tasks < limit and not self._driver.is_paused("labelling"):
            if not self._driver.has_time_for(label_candidates):
                return
            left = len(self._waiting) if room is None else room - len(self._in_flight)
            if left <= 0:
                return
            self._send(self._next_batch(left))

    def _next_batch(self, most: int) -> list[str]:
        """Take candidates from the queue; one that has failed before goes alone, to spare its neighbours."""
        ids = [self._take_first()]
        n_wanted = min(most, self._driver.config.labelling.frames_per_task)
        while len(ids) < n_wanted and self._waiting and not self._attempts[ids[0]]:
            if self._attempts[next(iter(self._waiting))]:
                break
            ids.append(self._take_first())
        return ids

    def _take_first(self) -> str:
        return self._waiting.popitem(last=False)[0]

    def _put_first(self, ids: list[str]) -> None:
        for id_ in reversed(ids):
            self._waiting[id_] = None
            self._waiting.move_to_end(id_, last=False)

    def _send(self, ids: list[str]) -> None:
        config = self._driver.config.labelling
        self._in_flight.update(ids)
        self._n_tasks += 1
        self._attempts.update(ids)
        self._driver.submit(
            "labelling",
            label_candidates,
            ids,
            [self._attempts[id_] >= config.attempts for id_ in ids],
            on_result=partial(self._on_result, ids),
            timeout_s=config.task_timeout_s,
        )

    def rescore(self, round_number: int) -> None:
        """Let a newly promoted ensemble look at the candidates that still wait."""
        if self._rescoring or not self._waiting or self._driver.ending is not None:
            return
        ids, self._waiting = list(self._waiting), OrderedDict()
        self._rescoring = True
        self._in_flight.update(ids)
        self._driver.submit(
            "sampling",
            rescore_candidates,
            ids,
            round_number,
            on_result=partial(self._on_rescored, ids),
        )

    def _on_rescored(self, ids: list[str], result: TaskResult) -> None:
        self._rescoring = False
        self._in_flight.difference_update(ids)
        if not result.ok:  # they are labelled all the same
            self._put_first(ids)
            return
        summary: RescoreSummary = result.value
        self._settled.update(set(ids) - set(summary.kept))
        self._put_first(summary.kept)
        self._driver.record("rescored", kept=len(summary.kept), dropped=summary.dropped)

    def _on_result(self, ids: list[str], result: TaskResult) -> None:
        self._n_tasks -= 1
        self._in_flight.difference_update(ids)
        outcomes = result.value if result.ok else self._lost(ids, result.error)
        for outcome in outcomes:
            self._on_outcome(outcome)

    def _on_outcome(self, outcome: LabelOutcome) -> None:
        if outcome.reason == MISSING:
            self._settled.add(outcome.id)
            return
        self._driver.record(
            "labelled",
            id=outcome.id,
            ok=outcome.ok,
            reason=outcome.reason,
            message=outcome.message,
            wall_s=outcome.wall_s,
            core_s=outcome.core_s,
        )
        if outcome.ok:
            self._settled.add(outcome.id)
            self.unmerged.add(outcome.id)
            self._kpoint_checks.admit(outcome.id)
            self._driver.success("labelling")
            return
        if outcome.quarantined:
            self._settled.add(outcome.id)
        else:
            self._waiting[outcome.id] = None
        self._driver.failure("labelling", f"{outcome.reason}: {outcome.message}", _REMEDY)

    def _lost(self, ids: list[str], error: str) -> list[LabelOutcome]:
        """Return what came of a task whose worker died or that took too long: what it finished is on disk.

        Of the rest nobody knows which frame was to blame, so each is tried again alone; one that was alone
        before is given up once it has had its attempts.
        """
        paths, attempts = self._driver.paths, self._driver.config.labelling.attempts
        labelled, refused = spooled(paths.labels), spooled(paths.quarantine)
        outcomes = []
        for id_ in ids:
            if id_ in labelled:
                outcomes.append(LabelOutcome(id_, ok=True))
            elif id_ in refused:
                outcomes.append(refusal_outcome(paths, id_))
            elif len(ids) > 1 or self._attempts[id_] < attempts:
                outcomes.append(LabelOutcome(id_, ok=False, reason="killed", message=error))
            else:
                outcomes.append(quarantine_candidate(paths, id_, "killed", error))
        return outcomes
