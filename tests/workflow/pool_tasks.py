"""Tasks for the tests of the pool: they run on real workers, so they live in a module of their own."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
from pathlib import Path


def add(a: int, b: int) -> int:
    return a + b


def where_am_i() -> dict[str, str | None]:
    names = [
        "OMP_NUM_THREADS",
        "OMP_WAIT_POLICY",
        "MKL_NUM_THREADS",
        "SMELTER_CAMPAIGN",
        "CUDA_VISIBLE_DEVICES",
    ]
    return {**{name: os.environ.get(name) for name in names}, "pid": str(os.getpid())}


def fail(message: str) -> None:
    raise ValueError(message)


def leave() -> None:
    raise SystemExit(3)


class AwkwardError(Exception):
    """Cannot be rebuilt from its message alone."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


def fail_awkwardly() -> None:
    raise AwkwardError(7, reason="on purpose")


class OneWay:
    """Can be pickled and not be unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _refuse, ("no way back",)


def _refuse(message: str) -> None:
    raise RuntimeError(message)


def return_one_way() -> OneWay:
    return OneWay()


def return_lambda() -> object:
    return lambda: None


def return_much(n_bytes: int) -> bytes:
    return bytes(n_bytes)


def die_once(marker: Path) -> int:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def sleep_from(marker: Path, seconds: float) -> None:
    marker.write_text(str(os.getpid()))
    time.sleep(seconds)


def spin_in_c() -> None:
    """Hold the interpreter's lock for ever: a pattern that backtracks exponentially."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def sleep_in_c_with_the_lock(seconds: int) -> None:
    ctypes.PyDLL(None).sleep(seconds)


def die_with_a_program_running(marker: Path) -> None:
    program = subprocess.Popen(["sleep", "600"])
    marker.write_text(str(program.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def count_and_fail(path: Path) -> None:
    _count(path)
    raise ValueError


def count_and_die(path: Path) -> None:
    _count(path)
    os.kill(os.getpid(), signal.SIGKILL)


def _count(path: Path) -> None:
    with path.open("a") as file:
        file.write("x")


def sleep_in_c_from(marker: Path, seconds: int) -> None:
    marker.touch()
    sleep_in_c_with_the_lock(seconds)


def run_program_from(marker: Path, seconds: int) -> None:
    program = subprocess.Popen(["sleep", str(seconds)], start_new_session=True)
    marker.touch()
    program.wait()


def interrupt() -> None:
    raise KeyboardInterrupt


def recurse() -> None:
    recurse()


def append_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def hold_gpu(directory: Path, name: str, n_others: int) -> str:
    """Return this worker's GPU once all others of its role have theirs: each worker takes one task."""
    role = name.partition("-")[0]
    (directory / f"holding-{name}").touch()
    while len(list(directory.glob(f"holding-{role}-*"))) < n_others:
        time.sleep(0.1)
    return os.environ.get("CUDA_VISIBLE_DEVICES") or "none"


def run_side_by_side(directory: Path, name: str, n: int, command: list[str]) -> str:
    """Return what a program says that runs while so many tasks of the kind do."""
    (directory / f"beside-{name}").touch()
    while len(list(directory.glob("beside-*"))) < n:
        time.sleep(0.05)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
