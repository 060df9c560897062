"""The pool of workers that runs a campaign's tasks, in three roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from site_configs.config import Role, SiteConfig
from workflow.guard import TaskResult


class PoolBrokenError(RuntimeError):
    """The pool can no longer be trusted to finish its tasks; close it and start a new driver process."""


class Pool(Protocol):
    """Runs tasks in roles. A task's end, good or bad, is always a value."""

    @property
    def roles(self) -> Mapping[Role, int]:
        """Number of workers in each role."""

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

    def close(self) -> None:
        """End all tasks and all processes, in bounded time; futures not done end as ``"pool closed"``."""


class ParslPool:
    """A pool of Parsl executors, one for each role."""

    def __init__(self, site: SiteConfig, run_directory: Path, campaign_id: str) -> None:
        raise NotImplementedError

    @property
    def roles(self) -> Mapping[Role, int]:
        """Number of workers in each role."""
        raise NotImplementedError

    def submit(
        self, role: Role, function: Callable[..., Any], *args: Any, timeout_s: float | None = None
    ) -> Future[TaskResult]:
        """See `Pool.submit`."""
        raise NotImplementedError

    def check(self) -> None:
        """See `Pool.check`."""
        raise NotImplementedError

    def close(self) -> None:
        """See `Pool.close`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
