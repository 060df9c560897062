"""Runs one task inside a worker and turns whatever happens into a value that the driver can always read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskResult:
    """What became of one task.

    Attributes
    ----------
    ok
        Whether the function returned; ``value`` is what it returned.
    value
        The function's result; ``None`` where ``ok`` is false.
    error
        One line: the exception's name and message, or ``"worker lost ..."``, ``"timeout ..."``,
        ``"pool closed ..."``; empty where ``ok`` is true.
    traceback
        Where it happened, in the worker; empty where there is none.
    started, ended
        Seconds since the epoch by the worker's clock; 0 where the task never reported them.
    core_s
        Processor seconds used by the worker and by the programs it ran and waited for.
    host, pid, worker
        Where it ran; ``worker`` is the role and the worker's number in it, for instance ``labelling/0``.
    """

    ok: bool
    value: Any = None
    error: str = ""
    traceback: str = ""
    started: float = 0.0
    ended: float = 0.0
    core_s: float = 0.0
    host: str = ""
    pid: int = 0
    worker: str = ""
