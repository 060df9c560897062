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
from workflow.execution.news import News
from workflow.execution.running import RunningTask, RunningTasks

_log = logging.getLogger(__name__)

_BLOCKS_IN_VAIN = 3
"""Blocks in a row that may have to be cancelled since no manager came up in them."""
_GRACE_S = 10.0
"""A worker that lives this long after its task's time is over is killed from outside, s."""


class ExecutorWatch:
    """Watches one executor in a thread of its own, since asking a broken one may take for ever.

    The thread asks the interchange which managers are connected and how many tasks they hold, and compares
    with the tasks that workers have taken: a worker killed while it waited for a task leaves Parsl's queue
    locked, so that tasks sent to its manager later are never taken, without any other sign.
    """

    def __init__(
        self,
        name: str,
        executor: Any,
        records: Path,
        health: HealthConfig,
        *,
        queues_blocks: bool = False,
        news: News | None = None,
    ) -> None:
        """Begin to watch; with ``queues_blocks`` there may be no manager for as long as blocks are queued."""
        self.name = name
        self.executor = executor
        self._records = RunningTasks(records)
        self._health = health
        self._queues_blocks = queues_blocks
        self._news = news or News()
        self._unmanned: dict[str, float] = {}
        """Since when blocks have been running without a manager."""
        self._cancelled: set[str] = set()
        """Blocks that were cancelled for that."""
        self._n_in_vain = 0
        """How many of these in a row, without a manager in any other."""
        self._began = self._answered = self._flowing = time.monotonic()
        self._managers: int | None = None
        """Managers connected now; ``None`` until the first has come."""
        self._n_nodes = 0
        """The most there ever were, one on each node."""
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
            if self._n_in_vain >= _BLOCKS_IN_VAIN:
                return f"{self._n_in_vain} blocks ran, but no manager came up within {self._patience_s:g} s"
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
            self._tell_of_losses(len(managers))
            self._managers = len(managers)
        taken = [run for run in self._records.look() if run.is_alive]
        if sum(manager["tasks"] for manager in managers) <= len(taken):
            self._flowing = time.monotonic()
        self._answered = time.monotonic()
        if self._queues_blocks:
            self._watch_blocks({manager["block_id"] for manager in managers})
        for run in taken:
            self._stop_overdue(run)

    def _tell_of_losses(self, n_managers: int) -> None:
        """Say that nodes of a job are lost: nothing brings them back, as it does blocks."""
        if not self._queues_blocks and 0 < n_managers < (self._managers or 0):
            self._news.say(f"{self.name} goes on with {n_managers} of {self._n_nodes} nodes")
        self._n_nodes = max(self._n_nodes, n_managers)

    @property
    def _patience_s(self) -> float:
        return self._health.start_s + self._health.silence_s

    def _watch_blocks(self, manned: set[str]) -> None:
        """Cancel blocks that run without a manager: to Parsl they are room for tasks, which would wait.

        Nothing is known of blocks while the scheduler does not answer.
        """
        silence = self.executor.provider.line.silence
        self._news.heard_of_scheduler(silence)
        if manned:
            self._n_in_vain = 0
        blocks = list(self.executor.status_facade.items())
        running_ = {id_ for id_, block in blocks if block.state.name == "RUNNING"}
        lonely = set() if silence else running_ - manned - self._cancelled
        self._unmanned = {id_: self._unmanned.get(id_, time.monotonic()) for id_ in lonely}
        for id_, since in self._unmanned.items():
            if time.monotonic() - since > self._patience_s:
                self._cancelled.add(id_)  # in a thread, since the scheduler may take its time to answer
                threading.Thread(target=self._cancel, args=(id_,), name=f"cancel-{id_}", daemon=True).start()

    def _cancel(self, block: str) -> None:
        job = self.executor.blocks_to_job_id[block]
        if not all(self.executor.provider.cancel([job])):
            self._cancelled.discard(block)
            return
        self._n_in_vain += 1
        self._news.say(
            f"{self.name}: job {job} ran for {self._patience_s:g} s without a sign of life and was cancelled"
        )

    def _stop_overdue(self, run: RunningTask) -> None:
        late_s = time.time() - run.started - (run.timeout_s or 0.0)
        if run.timeout_s is not None and run.is_here and late_s > _GRACE_S:
            _log.warning(
                "%s: killing worker %d, %.0f s after the end of its task's time", self.name, run.pid, late_s
            )
            kill(run.pid, signal.SIGKILL)
