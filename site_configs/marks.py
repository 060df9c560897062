"""Marks by which the processes of a campaign are known: variables in their environment (Linux).

A process is named ``pid:ticks``, with the kernel's count of clock ticks at its start, so that a number that
the kernel gives out again is not taken for the process that had it before.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

CAMPAIGN_MARK = "SMELTER_CAMPAIGN"
"""Holds the campaign's id, in every process that its driver starts."""
DRIVER_MARK = "SMELTER_DRIVER"
"""Holds the name of the driver's process, in the same processes."""
WORKER_MARK = "SMELTER_WORKER"
"""Holds the name of the worker's process, in every program that a task starts."""
DRIVER_PLACE_MARK = "SMELTER_DRIVER_PLACE"
"""Holds where that name means something (see `place`), in the same processes."""
MARKS = (CAMPAIGN_MARK, DRIVER_MARK, DRIVER_PLACE_MARK)
"""What every process of a campaign carries."""

_PROC = Path("/proc")


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; ``None`` if it is gone or a zombie."""
    try:
        # The command's name stands in parentheses and may hold blanks and parentheses itself.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def process_name(pid: int) -> str | None:
    """Return ``pid:ticks``, or ``None`` if the process is gone."""
    ticks = start_ticks(pid)
    return None if ticks is None else f"{pid}:{ticks}"


def own_name() -> str:
    """Return ``pid:ticks`` of this process."""
    return f"{os.getpid()}:{start_ticks(os.getpid())}"


def is_alive(name: str) -> bool:
    """Return whether the process with this name still runs."""
    return process_name(int(name.partition(":")[0])) == name


@cache
def place() -> str:
    """Return a text that is the same only for processes that see each other's ids: boot and pid namespace."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"


def environment(pid: int) -> dict[str, str]:
    """Return the environment a process was started with; empty if it is gone or another user's."""
    try:
        content = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in os.fsdecode(content).split("\0"))
    return {name: value for name, _, value in pairs}


def command(pid: int) -> list[str]:
    """Return the command line of a process; empty if it is gone."""
    try:
        return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).split("\0")
    except OSError:
        return []


def marked(mark: str, value: str) -> list[int]:
    """Return the ids of the living processes that carry ``mark`` with this value."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return [pid for pid in pids if environment(pid).get(mark) == value and start_ticks(pid) is not None]


def kill(pid: int, signal_number: int) -> None:
    """Send a signal; a process that is gone already is no error."""
    try:
        os.kill(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        return
