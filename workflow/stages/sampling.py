"""The sampling stage: groups of trajectories advance chunk by chunk with their cycle's ensemble."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import ceil

from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.stages.labelling import Labelling
from workflow.state import Group
from workflow.tasks.sample import ChunkSummary, read_summary, sample_chunk

_REMEDY = "See logs/ for the error; mend its cause, then run the same command again."


class Sampling:
    """The groups of all cycles: as many per cycle as keep every sampling worker busy."""

    def __init__(self, driver: Driver, labelling: Labelling) -> None:
        self._driver = driver
        self._labelling = labelling
        self._running: set[Group] = set()
        per_cycle = max(1, ceil(driver.pool.roles["sampling"] / driver.config.cycles))
        self._idle: list[Group] = [
            (cycle, group) for group in range(per_cycle) for cycle in range(driver.config.cycles)
        ]
        for cycle, group in self._idle:
            self._recover(cycle, group)

    def _recover(self, cycle: int, group: int) -> None:
        """Take in a chunk that was done when the driver died before it could say so."""
        chunk = self._driver.state.last_chunk.get((cycle, group), 0) + 1
        summary = read_summary(self._driver.paths, cycle, group, chunk)
        if summary is not None:
            self._take_in(summary)

    def submit(self, n_unlearned: int) -> None:
        """Start the next chunk of idle groups, unless labelling or training must catch up first."""
        driver = self._driver
        n_free = driver.pool.roles["sampling"]
        while self._idle and len(self._running) < n_free and not driver.is_paused("sampling"):
            if n_unlearned >= driver.config.candidates.max_in_flight:
                return
            ready = next((chunk for chunk in self._idle if chunk[0] in driver.state.current), None)
            if ready is None:
                return
            self._idle.remove(ready)
            self._running.add(ready)
            cycle, group = ready
            driver.submit(
                "sampling",
                sample_chunk,
                cycle,
                group,
                driver.state.last_chunk.get(ready, 0) + 1,
                driver.state.current[cycle],
                on_result=partial(self._on_result, ready),
            )

    def _on_result(self, group: Group, result: TaskResult) -> None:
        self._running.discard(group)
        self._idle.append(group)
        if result.ok:
            self._take_in(result.value)
            self._judge(result.value)
        else:
            self._driver.failure("sampling", result.error, _REMEDY)

    def _take_in(self, summary: ChunkSummary) -> None:
        self._labelling.admit(summary.candidates)
        self._driver.record(
            "sampled",
            cycle=summary.cycle,
            group=summary.group,
            chunk=summary.chunk,
            ensemble=summary.ensemble,
            steps=summary.steps,
            atom_steps=summary.atom_steps,
            wall_s=summary.wall_s,
            exposures=summary.exposures,
            accepted=Counter(summary.candidates.values()),
            rejected=summary.rejected,
        )

    def _judge(self, summary: ChunkSummary) -> None:
        """Tell the circuit breaker: chunks that neither move nor find anything would go on for ever."""
        if summary.steps or summary.candidates or self._driver.ending is not None:
            self._driver.success("sampling")
        else:
            refused = ", ".join(f"{n} {reason}" for reason, n in summary.rejected.items()) or "none was found"
            self._driver.failure(
                "sampling", f"every trajectory ended before its first step, no candidate: {refused}", _REMEDY
            )
