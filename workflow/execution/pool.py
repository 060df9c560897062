"""The pool of workers that runs a campaign's tasks, in three roles."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from parsl import DataFlowKernel
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from site_configs.config import SiteConfig
from site_configs.marks import CAMPAIGN_MARK, DRIVER_MARK, DRIVER_PLACE_MARK, own_name, place
from site_configs.parsl_config import parsl_config, python_path
from site_configs.providers import cancel_blocks
from site_configs.roles import ROLES, Part, Role
from workflow.apps import role_apps
from workflow.execution.guard import GPU_CLAIMS, Call, TaskResult, one_line, pack, unpack
from workflow.execution.health import ExecutorWatch
from workflow.execution.news import News
from workflow.execution.processes import reap, reap_strays
from workflow.execution.running import RUNNING, find, forget
from workflow.execution.surroundings import environment, fresh_directory, log_file, path_without_blanks

_LOSSES = (WorkerLost, ManagerLost)
_PREEMPTION_COST = 0.05
"""What a try costs of a task's retries that was lost with a block which may have been taken away."""


class PoolBrokenError(RuntimeError):
    """The pool can no longer be trusted to finish its tasks; close it and start a new driver process."""


class Pool(Protocol):
    """Runs tasks in roles. A task's end, good or bad, is always a value."""

    @property
    def roles(self) -> Mapping[Role, int]:
        """Number of workers that take tasks of each role."""

    @property
    def workers(self) -> Mapping[str, int]:
        """Number of workers by executor: by role, or ``shared`` where the roles share them."""

    def submit(
        self, role: Role, function: Callable[..., Any], *args: Any, timeout_s: float | None = None
    ) -> Future[TaskResult]:
        """Run ``function(*args)`` on a worker of the role.

        The function must be importable by name; arguments and result must be picklable and small (pass paths
        above about 1 MB). The future never holds an exception. It is completed in a thread of the pool: a
        callback on it must be short and must not wait.

        Parameters
        ----------
        timeout_s
            The longest the function may run, counted from its start on the worker, in s. After that the
            worker is replaced and the result's error starts with ``"timeout"``; such a task is not repeated.

        Raises
        ------
        TypeError
            If the function cannot be found by name or the arguments cannot be pickled.
        PoolBrokenError
            If the pool is closed.
        """

    def check(self) -> None:
        """Return at once if all is well; to be called every few seconds.

        Raises
        ------
        PoolBrokenError
            If tasks may now wait for ever; the message says what happened and where to look.
        """

    def news(self) -> list[str]:
        """Return what has happened to the machine since the last call, in lines for the user."""

    def close(self) -> None:
        """End all tasks and all processes, in bounded time; futures not done end as ``"pool closed"``."""


class ParslPool:
    """A pool of Parsl executors, one for each role or one that all share.

    Every process of the pool carries the campaign's mark, so that `workflow.execution.processes.reap` finds
    it, and ends by itself within about two seconds when the driver is gone, however it went.

    Parameters
    ----------
    site
        How this site is divided among the roles.
    run_directory
        Where the parts of the pool write their logs; made if missing.
    campaign_id
        The mark. No other living pool on this host may have the same.

    Raises
    ------
    PoolBrokenError
        If the pool cannot be started.
    """

    def __init__(self, site: SiteConfig, run_directory: Path, campaign_id: str) -> None:
        self._site = site
        self._campaign_id = campaign_id
        self._logs = run_directory
        self._numbers = itertools.count()
        self._pending: dict[int, Future[TaskResult]] = {}
        self._tries: Counter[int] = Counter()
        self._lost_s: defaultdict[int, float] = defaultdict(float)
        """Time that lost tries of running tasks took, s."""
        self._news = News()
        self._closed = False
        self._cleaner = ExitStack()
        try:
            self._start()
        except Exception as error:
            self._abandon()
            raise PoolBrokenError(
                f"the pool did not start: {one_line(error)}; logs in {run_directory}"
            ) from error

    def _start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._records = fresh_directory(self._logs / RUNNING)
        for name in self._site.executors:
            (self._records / name).mkdir()
        (self._records / GPU_CLAIMS).mkdir()
        self._cleaner.enter_context(environment(_marks(self._campaign_id)))
        self._cleaner.enter_context(log_file("parsl", self._logs / "parsl.log"))
        cancel_blocks(self._site, self._campaign_id)  # those of an earlier driver
        plain = self._cleaner.enter_context(path_without_blanks(self._logs / "parsl"))
        self._kernel = DataFlowKernel(parsl_config(self._site, plain, self._retry_cost))
        self._apps = role_apps(self._kernel, self._site)
        self._watches = {
            name: ExecutorWatch(
                name,
                self._kernel.executors[name],
                self._records / name,
                self._site.health,
                queues_blocks=self._site.queues_blocks,
                news=self._news,
            )
            for name in self._site.executors
        }

    @property
    def roles(self) -> Mapping[Role, int]:
        """Number of workers in each role."""
        return {role: self._site.role(role).workers for role in ROLES}

    @property
    def workers(self) -> Mapping[str, int]:
        """Number of workers of each executor."""
        return {name: part.workers for name, part in self._site.executors.items()}

    def submit(
        self, role: Role, function: Callable[..., Any], *args: Any, timeout_s: float | None = None
    ) -> Future[TaskResult]:
        """See `Pool.submit`."""
        if self._closed:
            raise PoolBrokenError("the pool is closed")
        payload = pack(function, args)
        call = Call(
            next(self._numbers), role, payload, timeout_s, str(self._records / self._site.executor(role))
        )
        future: Future[TaskResult] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        self._pending[call.task] = future
        self._apps[role](call).add_done_callback(partial(self._done, call))
        return future

    def check(self) -> None:
        """See `Pool.check`."""
        if self._closed:
            raise PoolBrokenError("the pool is closed")
        problems = [watch.problem() for watch in self._watches.values()]
        if any(problems):
            raise PoolBrokenError(f"{'; '.join(filter(None, problems))}; logs in {self._logs}")

    def news(self) -> list[str]:
        """See `Pool.news`."""
        return self._news.lines()

    def close(self) -> None:
        """See `Pool.close`."""
        if self._closed:
            return
        self._closed = True
        answering = [
            watch.stop() and watch.executor.interchange_proc.poll() is None
            for watch in self._watches.values()
        ]
        if all(answering):  # else Parsl's own cleaning up would wait for ever
            thread = threading.Thread(target=self._kernel.cleanup, name="close-parsl", daemon=True)
            thread.start()
            thread.join(self._site.health.close_s)
        self._abandon()

    def _abandon(self) -> None:
        self._closed = True
        reap(self._campaign_id)
        cancel_blocks(self._site, self._campaign_id)
        for task in list(self._pending):
            self._settle(task, TaskResult(ok=False, error="pool closed before the task ended"))
        self._cleaner.close()

    def _settle(self, task: int, result: TaskResult) -> None:
        future = self._pending.pop(task, None)
        if future is not None:
            future.set_result(result)

    def _done(self, call: Call, app_future: Future[dict[str, Any]]) -> None:
        """Pass on what became of a task; runs in the thread that receives results and must not raise."""
        try:
            error = app_future.exception()
            result = unpack(app_future.result()) if error is None else self._lost(call, error)
        except Exception as error:  # noqa: BLE001 - the caller waits for a value, whatever happened here
            result = TaskResult(ok=False, error=one_line(error))
        self._tries.pop(call.task, None)
        result = replace(result, lost_s=self._lost_s.pop(call.task, 0.0))
        self._watches[self._site.executor(call.role)].note_end_of_task()
        self._settle(call.task, result)

    def _lost(self, call: Call, error: BaseException) -> TaskResult:
        records = Path(call.records)
        run = find(records, call.task)
        forget(records, call.task)
        tries = self._tries[call.task]
        if run is not None and run.timed_out:
            message = f"timeout: still running after {call.timeout_s:g} s"
        elif isinstance(error, _LOSSES):
            message = f"worker lost {tries} times, last: {one_line(error)}"
        else:
            message = one_line(error)
        lost = TaskResult(ok=False, error=message)
        if run is None:
            return lost
        return replace(
            lost,
            traceback=run.traceback,
            started=run.started,
            ended=time.time(),
            host=run.host,
            pid=run.pid,
            worker=run.worker,
        )

    def _retry_cost(self, error: Exception, record: Any) -> float:
        """Return what a failed try costs: more than there is for everything but losses."""
        never = self._site.retries + 1.0
        if not isinstance(error, _LOSSES):
            return never
        call: Call = record["args"][0]
        cost = loss_cost(error, self._site.role(call.role))
        self._tries[call.task] += 1
        reap_strays(self._campaign_id)
        run = find(Path(call.records), call.task)
        if run is not None and run.timed_out:
            return never
        if record["fail_cost"] + cost <= self._site.retries:
            self._lost_s[call.task] += 0.0 if run is None else max(0.0, time.time() - run.started)
            forget(Path(call.records), call.task)
            lost = "node" if isinstance(error, ManagerLost) else "worker"
            self._news.repeated(call.role, str(error.hostname), lost)
        return cost

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def loss_cost(error: Exception, part: Part) -> float:
    """Return what losing a worker or a node costs of a task's retries.

    That a node was lost is hardly the task's fault where blocks may be taken away.
    """
    return _PREEMPTION_COST if isinstance(error, ManagerLost) and part.standby is not None else 1.0


def _marks(campaign_id: str) -> dict[str, str]:
    return {
        CAMPAIGN_MARK: campaign_id,
        DRIVER_MARK: own_name(),
        DRIVER_PLACE_MARK: place(),
        "PYTHONPATH": python_path(),
    }
