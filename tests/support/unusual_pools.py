"""Pools of threads that hold tasks back, lose them, or break down."""

from concurrent.futures import Future

from thread_pool import ThreadPool

from workflow.execution.guard import TaskResult
from workflow.execution.pool import PoolBrokenError


class HoldingPool(ThreadPool):
    """Holds back the tasks with ``held(name, number)``, until ``until()`` or nothing else runs."""

    def __init__(self, held, until=lambda: False):
        super().__init__()
        self._held = held
        self._until = until
        self._waiting = []
        self._running = []
        self._numbers = {}
        self._n_idle = 0
        self.on_release = lambda: None

    def submit(self, role, function, *args, timeout_s=None):
        self._n_idle = 0
        number = self._numbers[function.__name__] = self._numbers.get(function.__name__, 0) + 1
        if not self._held(function.__name__, number):
            future = super().submit(role, function, *args)
            self._running.append(future)
            return future
        future = Future()
        self._waiting.append((future, role, function, args))
        return future

    def check(self):
        self._running = [future for future in self._running if not future.done()]
        self._n_idle = 0 if self._running else self._n_idle + 1
        may_go = self._n_idle >= 3 or self._until()  # the driver may not have seen the last result yet
        if not self._waiting or not may_go:
            return
        self.on_release()
        future, role, function, args = self._waiting.pop(0)
        real = super().submit(role, function, *args)
        self._running.append(real)
        real.add_done_callback(lambda done: future.set_result(done.result()))


class LosingPool(ThreadPool):
    """Loses the worker of every task for which ``lost(name, args)`` is true, after ``before(args)``."""

    def __init__(self, lost, before=lambda args: None):
        super().__init__()
        self._lost = lost
        self._before = before
        self.n_lost = 0

    def submit(self, role, function, *args, timeout_s=None):
        if not self._lost(function.__name__, args):
            return super().submit(role, function, *args)
        self.n_lost += 1
        self._before(args)
        future = Future()
        future.set_result(TaskResult(ok=False, error="worker lost 3 times, last: WorkerLost: gone"))
        return future


class BreakingPool(ThreadPool):
    """Breaks down at its first check."""

    def check(self):
        raise PoolBrokenError("sampling: the interchange ended with status -9")
