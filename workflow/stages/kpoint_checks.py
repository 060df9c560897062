"""Checks of the labels' k-points: some labels are made a second time, beside the labelling."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import asdict
from functools import partial

from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.storage.spool import ids as spooled
from workflow.storage.spool import item_path
from workflow.tasks.kpoints import SPACING_FACTOR, KpointCheck, check_kpoints, result_path


class KpointChecks:
    """Labels that wait for a second calculation. Whatever comes of it, the label stays as it is."""

    def __init__(self, driver: Driver, labelled: Collection[str]) -> None:
        """Take up what an earlier driver left; ``labelled`` are all labels that are on disk."""
        self._driver = driver
        self._waiting: deque[str] = deque()
        self._n_running = 0
        for id_ in sorted(spooled(driver.paths.kpoint_checks)):
            if id_ in driver.state.kpoint_checks:
                self._forget(id_)
            elif id_ in labelled:
                self._waiting.append(id_)

    def admit(self, id_: str) -> None:
        """Queue a new label, if it is one to check."""
        if item_path(self._driver.paths.kpoint_checks, id_).exists() and id_ not in self._waiting:
            self._waiting.append(id_)

    def submit(self) -> None:
        """Start checks, no more at a time than there are workers."""
        driver = self._driver
        timeout_s = driver.config.labelling.task_timeout_s
        while (
            self._waiting
            and driver.config.labelling.kpoint_check_every
            and self._n_running < driver.pool.roles["labelling"]
            and not driver.is_paused("labelling")
            and driver.has_time_for(check_kpoints)
        ):
            id_ = self._waiting.popleft()
            self._n_running += 1
            driver.submit(
                "labelling",
                check_kpoints,
                id_,
                on_result=partial(self._on_result, id_),
                timeout_s=None if timeout_s is None else timeout_s / SPACING_FACTOR**3,
            )

    def _on_result(self, id_: str, result: TaskResult) -> None:
        self._n_running -= 1
        check = (
            result.value if result.ok else KpointCheck(id_, ok=False, reason="killed", message=result.error)
        )
        if id_ not in self._driver.state.kpoint_checks:
            self._driver.record("kpoints_checked", **asdict(check))
        self._forget(id_)

    def _forget(self, id_: str) -> None:
        item_path(self._driver.paths.kpoint_checks, id_).unlink(missing_ok=True)
        result_path(self._driver.paths, id_).unlink(missing_ok=True)
