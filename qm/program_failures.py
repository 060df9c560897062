"""Why a program failed, as far as it is the same for all programs: time, memory, disk, signals."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from qm.label import FailureReason
from qm.program import ProgramEnd

Found = tuple[FailureReason, str]
"""The reason of a failure and one line on it."""

_FULL_BYTES = 2**16

_RESOURCES: tuple[tuple[str, Found], ...] = (
    (
        r"No space left on device|Disk quota exceeded|File too large",
        ("killed", "the scratch directory is full"),
    ),
    (
        r"[Cc]annot allocate memory|[Oo]ut of memory|Error allocating|memory exhausted|oom.kill"
        r"|insufficient virtual memory|exceed memory limit|bad_alloc|MemoryError",
        ("out_of_memory", "there was not enough memory"),
    ),
)
"""What stands in the output or on the standard error whichever part of a program has noticed it."""


def out_of_time(end: ProgramEnd) -> Found | None:
    """Return the failure of a program that was ended by its time limit."""
    return ("walltime", f"it was ended after {end.wall_s:.3g} s") if end.status is None else None


def out_of_resources(text: str) -> Found | None:
    """Return the failure of a program that has said that the disk or the memory is full."""
    return first_match(_RESOURCES, text)


def first_match(patterns: Sequence[tuple[str, Found]], text: str) -> Found | None:
    """Return the failure of the first pattern that is in the text."""
    return next((found for pattern, found in patterns if re.search(pattern, text)), None)


def by_status(end: ProgramEnd, errors: str, directory: Path) -> Found:
    """Return the failure of a program that has not said what was wrong.

    Parameters
    ----------
    errors
        What it has printed to its standard error.
    directory
        Where it ran, which may have become full.
    """
    if end.signal == signal.SIGXFSZ or shutil.disk_usage(directory).free < _FULL_BYTES:
        return "killed", "the scratch directory is full"
    if end.signal is not None:
        return "killed", f"it was ended by signal {end.signal}"
    if end.status == 0:  # programs may go on to their end although they could write nothing
        return "bad_output", "the output ends before the calculation did"
    lines = [line.strip() for line in errors.splitlines() if re.search(r"[A-Za-z]{3}", line)]
    return "bad_output", f"exit status {end.status}{f': {lines[-1][:200]}' if lines else ''}"
