"""The bootstrap stage: random cells become the first candidates."""

from __future__ import annotations

from functools import partial

from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.stages.labelling import Labelling
from workflow.tasks.build import BuildSummary, build_candidates

_REMEDY = "Look at the builder's settings, then run the same command again."


class Bootstrap:
    """Builds the cells that have not been built yet."""

    def __init__(self, driver: Driver, labelling: Labelling) -> None:
        self._driver = driver
        self._labelling = labelling
        config = driver.config.bootstrap
        self._to_build = [
            (first, min(config.frames_per_task, config.n_frames - first))
            for first in range(0, config.n_frames, config.frames_per_task)
            if not driver.state.bootstrap_built.issuperset(
                range(first, min(first + config.frames_per_task, config.n_frames))
            )
        ]
        self._n_running = 0

    @property
    def is_ready(self) -> bool:
        """Whether enough cells have a label or a refusal; late ones wait for the next synchronisation."""
        if self._to_build or self._n_running:
            return False
        config = self._driver.config.bootstrap
        return self._labelling.n_candidates <= (1.0 - config.ready_fraction) * config.n_frames

    def submit(self) -> None:
        """Start building on idle sampling workers."""
        driver = self._driver
        while (
            self._to_build
            and self._n_running < driver.pool.roles["sampling"]
            and not driver.is_paused("bootstrap")
        ):
            part = self._to_build.pop(0)
            self._n_running += 1
            driver.submit(
                "sampling",
                build_candidates,
                *part,
                on_result=partial(self._on_result, part),
            )

    def _on_result(self, part: tuple[int, int], result: TaskResult) -> None:
        self._n_running -= 1
        if not result.ok:
            self._to_build.append(part)
            self._driver.failure("bootstrap", result.error, _REMEDY)
            return
        self._driver.success("bootstrap")
        summary: BuildSummary = result.value
        self._labelling.admit(summary.ids)
        self._driver.record(
            "built",
            first=summary.first,
            n=summary.n,
            accepted={"bootstrap": len(summary.ids)},
            rejected=summary.rejected,
        )
