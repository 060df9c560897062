"""A pool of threads in this process: the campaign's logic without executors, for quick tests."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from site_configs.roles import ROLES, Role
from workflow.execution.guard import TaskResult


class ThreadPool:
    """One thread per role by default; a task's exception becomes a value, as with real executors."""

    def __init__(self, workers: Mapping[Role, int] | None = None) -> None:
        self.roles: dict[Role, int] = dict(workers or dict.fromkeys(ROLES, 1))
        self.workers: dict[str, int] = dict(self.roles)
        self._executors = {role: ThreadPoolExecutor(n) for role, n in self.roles.items()}

    def submit(
        self, role: Role, function: Callable[..., Any], *args: Any, timeout_s: float | None = None
    ) -> Future[TaskResult]:
        return self._executors[role].submit(_run, function, args)

    def check(self) -> None:
        pass

    def news(self) -> list[str]:
        return []

    def close(self) -> None:
        for executor in self._executors.values():
            executor.shutdown(wait=True, cancel_futures=True)


def _run(function: Callable[..., Any], args: tuple[Any, ...]) -> TaskResult:
    started = time.time()
    here = {"host": socket.gethostname(), "pid": os.getpid(), "worker": "thread"}
    try:
        value = function(*args)
    except Exception as error:  # noqa: BLE001 (what a real pool does too)
        return TaskResult(
            ok=False,
            error=f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
            started=started,
            ended=time.time(),
            **here,
        )
    return TaskResult(ok=True, value=value, started=started, ended=time.time(), **here)
