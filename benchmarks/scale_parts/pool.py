"""Simulated nodes behind the interface that the driver knows, and the clock that goes with them."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scale_parts.tasks import SHORT_S, Times, Work
from site_configs.roles import ROLES, Part, Role
from workflow.execution.guard import TaskResult
from workflow.storage.paths import CampaignPaths


class Clock:
    """Simulated seconds: they jump from event to event, and go by with the driver's own processor time."""

    def __init__(self) -> None:
        self.driver_s = 0.0
        self._now = 0.0
        self._since = time.thread_time()
        self._stands = False

    def time(self) -> float:
        """Return the simulated time, s."""
        return self._now + (0.0 if self._stands else time.thread_time() - self._since)

    def stop(self) -> None:
        """Let the clock stand while the nodes are simulated: that time is not the driver's."""
        self._now = self.time()
        self.driver_s += time.thread_time() - self._since
        self._stands = True

    def go(self, to: float) -> None:
        """Go on, not before ``to``."""
        self._now = max(self._now, to)
        self._stands = False
        self._since = time.thread_time()


_WAITS = -1


@dataclass
class _Task:
    role: Role
    kind: str
    args: tuple[Any, ...]
    future: Future[TaskResult] = field(default_factory=Future)
    started: float = 0.0
    node: int = _WAITS
    attempt: int = 0
    """An end in the calendar counts only for the attempt it was written for."""
    lost_s: float = 0.0


class SimulatedPool:
    """Nodes divided among the roles; time goes by in `check`, which the driver calls when it has no work."""

    def __init__(self, parts: Mapping[str, Part], times: Times, clock: Clock, node_life_s: float) -> None:
        self.roles: dict[Role, int] = {role: parts[role].workers for role in ROLES}
        self.workers: dict[str, int] = dict(self.roles)
        self.done: Counter[str] = Counter()
        self.n_deaths = 0
        self.take_up_s: list[float] = []
        self.busy_changes: Counter[int] = Counter()
        """By how many the busy GPUs change in each second."""
        self.first_chunk: float | None = None
        self.last_label = 0.0
        """When the first chunk and the last label were begun, s."""
        self._gpus_of: dict[Role, int] = {
            role: parts[role].slices[0].n_gpus // parts[role].slices[0].workers for role in ROLES
        }
        self._clock, self._times, self._work = clock, times, Work(times)
        self._free: dict[Role, list[int]] = {role: [] for role in ROLES}
        self._queue: dict[Role, deque[int]] = {role: deque() for role in ROLES}
        self._running: dict[int, set[int]] = {}
        self._tasks: dict[int, _Task] = {}
        self._numbers = itertools.count()
        self._calendar: list[tuple[float, int, int, int]] = []
        """(time, number of a task, its attempt, -1) or (time, -1, 0, node that dies)."""
        self._trained: dict[int, float] = {}
        self._told_to_stop = False
        self._stop_sign: Path | None = None
        for role in ROLES:
            for part in parts[role].slices:
                for node in range(part.first_node, part.first_node + part.n_nodes):
                    self._free[role] += [node] * part.workers
                    self._running[node] = set()
        for node in self._running:
            if node in self._free["training"]:
                continue  # without it there would be no campaign to look at
            heapq.heappush(self._calendar, (float(times.rng.exponential(node_life_s)), -1, 0, node))

    def submit(
        self,
        role: Role,
        function: Callable[..., Any],
        *args: Any,
        timeout_s: float | None = None,  # noqa: ARG002 - no simulated task takes too long
    ) -> Future[TaskResult]:
        task = _Task(role, function.__name__, args)
        self._stop_sign = CampaignPaths(Path(args[0])).stop_sampling
        number = next(self._numbers)
        self._tasks[number] = task
        if self._free[role]:
            self._start(number, self._free[role].pop(), self._clock.time())
        else:
            self._queue[role].append(number)
        return task.future

    def check(self) -> None:
        """Let what is due happen; where nothing is, go to the next event."""
        self._clock.stop()
        now = self._clock.time()
        self._hasten_the_end(now)
        if self._calendar and self._tasks:
            now = max(now, self._calendar[0][0])
        while self._calendar and self._calendar[0][0] <= now:
            when, number, attempt, node = heapq.heappop(self._calendar)
            if number < 0:
                self._die(node, when)
            elif number in self._tasks and self._tasks[number].attempt == attempt:
                self._end(number, when)
        self._clock.go(now)

    def news(self) -> list[str]:
        """See `Pool.news`; deaths of nodes are counted by the simulation itself."""
        return []

    def close(self) -> None:
        pass

    def _start(self, number: int, node: int, when: float) -> None:
        task = self._tasks[number]
        task.started, task.node = when, node
        self._running[node].add(number)
        self.busy_changes[int(when)] += self._gpus_of[task.role]
        if task.kind == "sample_chunk" and self.first_chunk is None:
            self.first_chunk = when
        elif task.kind == "label_candidates":
            self.last_label = when
        if task.kind == "sample_chunk" and task.args[-1] in self._trained:
            self.take_up_s.append(when - self._trained.pop(task.args[-1]))
        takes_s = self._times.of(task.kind, task.args, self._work.n_labels)
        heapq.heappush(self._calendar, (when + takes_s, number, task.attempt, -1))

    def _next(self, role: Role, node: int, when: float) -> None:
        """Give a worker that is free the task that waits longest."""
        if self._queue[role]:
            self._start(self._queue[role].popleft(), node, when)
        else:
            self._free[role].append(node)

    def _end(self, number: int, when: float) -> None:
        task = self._tasks.pop(number)
        self._running[task.node].discard(number)
        self.busy_changes[int(when)] -= self._gpus_of[task.role]
        self.done[task.kind] += 1
        value = self._work.do(task.kind, task.args)
        if task.kind == "train_round":
            self._trained[task.args[1]] = when
        self._next(task.role, task.node, when)
        task.future.set_result(
            TaskResult(
                ok=True,
                value=value,
                started=task.started,
                ended=when,
                lost_s=task.lost_s,
                host=f"node{task.node}",
            )
        )

    def _die(self, node: int, when: float) -> None:
        self.n_deaths += 1
        for role, free in self._free.items():
            self._free[role] = [other for other in free if other != node]
        for number in self._running.pop(node):
            task = self._tasks[number]
            task.attempt, task.node = task.attempt + 1, _WAITS
            task.lost_s += when - task.started
            self.busy_changes[int(when)] -= self._gpus_of[task.role]
            if self._free[task.role]:
                self._start(number, self._free[task.role].pop(), when)
            else:
                self._queue[task.role].appendleft(number)

    def _hasten_the_end(self, now: float) -> None:
        """End the running chunks once the driver says so: trajectories stop at their next check."""
        if self._told_to_stop or self._stop_sign is None or not self._stop_sign.exists():
            return
        self._told_to_stop = True
        for number, task in self._tasks.items():
            if task.kind == "sample_chunk" and task.node != _WAITS:
                task.attempt += 1
                heapq.heappush(self._calendar, (now + SHORT_S, number, task.attempt, -1))
