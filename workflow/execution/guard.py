"""Runs one task inside a worker and turns whatever happens into a value that the driver can always read.

An exception or a result that cannot be rebuilt on the driver's side would kill the thread of Parsl that
receives results, and every later future would wait for ever. So a task's result crosses as bytes inside
plain values, and the driver unpickles those bytes where it can catch what goes wrong.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from site_configs.binding import bind
from site_configs.marks import WORKER_MARK, own_name, place
from site_configs.pinning import pin_once
from workflow.execution.running import RunningTask

if TYPE_CHECKING:
    from site_configs.roles import Role

MAX_RESULT_BYTES = 64 * 2**20
"""Results above this are refused: every byte passes through the driver. Pass paths instead."""
GPU_CLAIMS = "gpus"
"""Directory beside those of running tasks in which workers say which GPU they have."""
_MAX_ERROR = 2_000
_MAX_TRACEBACK = 20_000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


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
        Seconds since the epoch by the worker's clock; 0 where no worker reported them.
    core_s
        Processor seconds used by the worker and by the programs it ran and waited for.
    lost_s
        Seconds that went into tries whose worker was lost, before the one told of here.
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
    lost_s: float = 0.0
    host: str = ""
    pid: int = 0
    worker: str = ""


@dataclass(frozen=True)
class Call:
    """What travels to a worker: the pickled function and arguments, and what the guard needs to know."""

    task: int
    role: Role
    payload: bytes
    timeout_s: float | None
    records: str
    """Directory of the files of running tasks (see `workflow.execution.running`)."""


def pack(function: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    """Return the payload of a call.

    Raises
    ------
    TypeError
        If the function cannot be found by name on a worker, or the arguments cannot be pickled.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        raise TypeError(f"{name} cannot run on a worker; expected a function of an importable module")
    try:
        return pickle.dumps((function, args))
    except Exception as error:
        raise TypeError(f"the arguments of {name} cannot be sent to a worker: {one_line(error)}") from error


def run_task(call: Call) -> dict[str, Any]:
    """Run a call on this worker; return the fields of a `TaskResult` as plain values, pickled value last.

    Any exception is turned into fields, `SystemExit` included. A worker that is killed, by its task or from
    outside, returns nothing: Parsl reports it as lost.
    """
    _prepare_worker()
    records = Path(call.records)
    run = RunningTask(
        task=call.task,
        process=os.environ[WORKER_MARK],
        place=place(),
        host=platform.node(),
        worker=f"{call.role}/{os.environ.get('PARSL_WORKER_RANK', '0')}",
        started=time.time(),
        timeout_s=call.timeout_s,
    )
    with run.recorded(records) as report, _watchdog(call.timeout_s, report):
        fields = run_guarded(call.payload, records.parent / GPU_CLAIMS)
    return {"host": run.host, "pid": run.pid, "worker": run.worker, "started": run.started, **fields}


def run_guarded(payload: bytes, claims: Path) -> dict[str, Any]:
    """Unpack a call, run it, pack its result; return fields of a `TaskResult`, with ``value`` as bytes.

    Before its first task the worker takes the GPU it was given, and fails where that is somebody else's.
    """
    before = _processor_s()
    try:
        pin_once(claims)
        function, args = pickle.loads(payload)  # noqa: S301 - from our own driver, through Parsl
        fields = {"ok": True, "value": _packed_result(function(*args))}
    except BaseException as error:  # noqa: BLE001 - the one place where everything becomes a value
        fields = {"ok": False, "value": b"", "error": one_line(error), "traceback": _trace(error)}
    return {**fields, "ended": time.time(), "core_s": _processor_s() - before}


def unpack(fields: dict[str, Any]) -> TaskResult:
    """Return what a worker returned; a result that cannot be rebuilt here is an error like any other."""
    result = TaskResult(**{**fields, "value": None})
    if not result.ok:
        return result
    try:
        return replace(result, value=pickle.loads(fields["value"]))  # noqa: S301 - from our own worker
    except Exception as error:  # noqa: BLE001 - unpickling can raise anything
        return replace(result, ok=False, error=f"the result cannot be read by the driver: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """Return the name and the message of an exception on one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error
        message = "(its message cannot be shown)"
    return f"{type(error).__name__}: {message}"[:_MAX_ERROR]


def _packed_result(value: Any) -> bytes:
    try:
        packed = pickle.dumps(value)
    except Exception as error:
        raise TypeError(f"the result cannot be sent to the driver: {one_line(error)}") from error
    if len(packed) > MAX_RESULT_BYTES:
        raise ValueError(
            f"the result has {len(packed) / 2**20:.0f} MiB, more than {MAX_RESULT_BYTES / 2**20:.0f};"
            " write it to a file and return the path"
        )
    return packed


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    except Exception:  # noqa: BLE001 - as in one_line
        return ""


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _prepare_worker() -> None:
    """Mark this worker, so that what it starts is known, bind it, and let it be killed with its manager."""
    name = own_name()
    if os.environ.get(WORKER_MARK) == name:
        return
    os.environ[WORKER_MARK] = name
    bind()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _watchdog(timeout_s: float | None, report: IO[str]) -> Iterator[None]:
    """End this process when the time is over, after writing where it was.

    The interpreter's own watchdog is a C thread: it works while the task sleeps, and while it holds the
    interpreter's lock in a loop written in C.
    """
    if timeout_s is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=report)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
