"""Sees when one executor of the pool can no longer be trusted to end its tasks."""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

from site_configs.health import HealthConfig
from site_configs.marks import kill
from workflow.execution.guard import one_line
from workflow.execution.running import RunningTask, running

_log = logging.getLogger(__name__)

_GRACE_S = 10.0
"""A worker that lives this long after its task's time is over is killed from outside, s."""


class ExecutorWatch:
    """Watches one executor in a thread of its own, since asking a broken one may take for ever.

    The thread asks the interchange which managers are connected and how many tasks they hold, and compares
    with the tasks that workers have taken: a worker killed while it waited for a task leaves Parsl's queue
    locked, so that tasks sent to its manager later are never taken, without any other sign.
    """

    def __init__(
        self, name: str, executor: Any, records: Path, health: HealthConfig, *, queues_blocks: bool = False
    ) -> None:
        """Begin to watch; with ``queues_blocks`` there may be no manager for as long as blocks are queued."""
        self.name = name
        self.executor = executor
        self._records = records
        self._health = health
        self._queues_blocks = queues_blocks
        self._unmanned: float | None = None
        """Since when blocks have been running without a manager; ``None`` while they have one."""
        self._began = self._answered = self._flowing = time.monotonic()
        self._managers: int | None = None
        """Managers connected now; ``None`` until the first has come."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{name}", daemon=True)
        self._thread.start()

    def note_end_of_task(self) -> None:
        """Take note that a task has ended."""
        self._flowing = time.monotonic()

    def stop(self) -> bool:
        """End the thread; return False if the interchange would not answer further questions."""
        self._stop.set()
        self._thread.join(2.0 * self._health.heartbeat_period_s)
        return not self._thread.is_alive() and self.executor.interchange_proc.poll() is None

    def problem(self) -> str | None:
        """Return what is wrong, or ``None``."""
        found = self._interchange_problem() or self._manager_problem() or self._worker_problem()
        return None if found is None else f"{self.name}: {found}"

    def _interchange_problem(self) -> str | None:
        status = self.executor.interchange_proc.poll()
        if status is not None:
            return f"the interchange ended with status {status}"
        if self.executor.bad_state_is_set:
            return f"Parsl gave up the executor: {one_line(self.executor.executor_exception)}"
        if not self.executor._result_queue_thread.is_alive():
            return "the thread that receives results ended"
        if self._silent():
            time.sleep(self._health.heartbeat_period_s)  # we ourselves may have been stopped; look again
        if self._silent():
            return f"the interchange gave no answer for {self._health.silence_s} s"
        return None

    def _manager_problem(self) -> str | None:
        blocks = list(self.executor.status_facade.values())
        if self._queues_blocks:
            limit_s = self._health.start_s + self._health.silence_s
            if self._unmanned is not None and time.monotonic() - self._unmanned > limit_s:
                return f"blocks run, but no manager came up in them within {limit_s} s"
            return None
        if blocks and all(block.terminal for block in blocks):
            said = " ".join((blocks[-1].stderr_summary or "").split())[-500:]
            return "the manager ended" + (f", saying: {said}" if said else "")
        if self._managers == 0:
            return f"the manager gave no sign of life for {self._health.silence_s} s"
        if self._managers is None and time.monotonic() - self._began > self._health.start_s:
            return f"the manager did not come up within {self._health.start_s} s"
        return None

    def _worker_problem(self) -> str | None:
        if self._answered - self._flowing <= self._health.idle_s:
            return None
        return f"a task waited for {self._health.idle_s} s at workers that do not take it"

    def _silent(self) -> bool:
        return time.monotonic() - self._answered > self._health.silence_s

    def _run(self) -> None:
        while not self._stop.wait(self._health.heartbeat_period_s):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - no answer is what `problem` reports
                _log.exception("%s: could not look at the executor", self.name)

    def _look(self) -> None:
        managers = self.executor.connected_managers()
        if managers or self._managers is not None:
            self._managers = len(managers)
        taken = [run for run in running(self._records) if run.is_alive]
        if sum(manager["tasks"] for manager in managers) <= len(taken):
            self._flowing = time.monotonic()
        self._answered = time.monotonic()
        running_blocks = any(block.state.name == "RUNNING" for block in self.executor.status_facade.values())
        if managers or not running_blocks:
            self._unmanned = None
        elif self._unmanned is None:
            self._unmanned = time.monotonic()
        for run in taken:
            self._stop_overdue(run)

    def _stop_overdue(self, run: RunningTask) -> None:
        late_s = time.time() - run.started - (run.timeout_s or 0.0)
        if run.timeout_s is not None and run.is_here and late_s > _GRACE_S:
            _log.warning(
                "%s: killing worker %d, %.0f s after the end of its task's time", self.name, run.pid, late_s
            )
            kill(run.pid, signal.SIGKILL)
