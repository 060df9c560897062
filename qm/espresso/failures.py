"""Tells from what pw.x has left behind why it failed."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

from qm.espresso.outputs import DONE
from qm.label import FailureReason
from qm.program import ProgramEnd

_ERROR = re.compile(r"Error in routine\s+(\S+)\s*\(\s*(-?\d+)\s*\)\s*:\s*\n?\s*(.*)")
_FULL_BYTES = 2**16

Found = tuple[FailureReason, str]

_ANYWHERE: tuple[tuple[str, FailureReason, str], ...] = (
    (r"Maximum CPU time exceeded", "walltime", "its own time limit, max_seconds, was over"),
    (
        r"No space left on device|Disk quota exceeded|File too large",
        "killed",
        "the scratch directory is full",
    ),
    (
        r"[Cc]annot allocate memory|[Oo]ut of memory|Error allocating|memory exhausted|oom.kill"
        r"|insufficient virtual memory|exceed memory limit|bad_alloc",
        "out_of_memory",
        "there was not enough memory",
    ),
    (r"convergence NOT achieved", "not_converged", "convergence was not achieved"),
)
"""What stands in the output or on the standard error whichever routine has noticed it."""

_BY_ROUTINE: tuple[tuple[str, FailureReason], ...] = (
    (r"overlap!|^check_atoms", "unphysical"),
    (r"cholesky|not positive definite|eigenvectors failed|bands are not converged|^c_bands", "not_converged"),
    (r"[Cc]annot bracket Ef|charge is wrong|^efermig", "not_converged"),
    (r"allocat|enough memory", "out_of_memory"),
    (r"^(davcio|diropn|buiol|write_rhog|save_buffer)|error (writing|while writing)", "killed"),
)
"""Routine and message of pw.x's own errors; all others are mistakes in the input."""


def failure_reason(end: ProgramEnd, output: str, errors: str, directory: Path) -> Found | None:
    """Return the reason of a failure and one line on it, or ``None`` if the program ended well.

    Parameters
    ----------
    end
        How it ended.
    output, errors
        What it has printed.
    directory
        Where it ran, which may have become full.
    """
    if end.status is None:
        return "walltime", f"it was ended after {end.wall_s:.3g} s"
    for pattern, reason, message in _ANYWHERE:
        if re.search(pattern, f"{output}\n{errors}"):
            return reason, message
    crash = directory / "CRASH"
    text = crash.read_text(errors="replace") if crash.exists() else ""
    said = _ERROR.search(output) or _ERROR.search(text)
    if said is not None:
        return _by_routine(said[1], said[3].strip())
    if end.status == 0 and DONE in output:
        return None
    return _by_status(end, errors, directory)


def _by_routine(routine: str, message: str) -> Found:
    line = f"{routine} {message}"
    for pattern, reason in _BY_ROUTINE:
        if re.search(pattern, line):
            return reason, f"error in routine {routine}: {message}"
    return "bad_input", f"error in routine {routine}: {message}"


def _by_status(end: ProgramEnd, errors: str, directory: Path) -> Found:
    if end.signal == signal.SIGXFSZ or shutil.disk_usage(directory).free < _FULL_BYTES:
        return "killed", "the scratch directory is full"
    if end.signal is not None:
        return "killed", f"it was ended by signal {end.signal}"
    if end.status == 0:  # Fortran programs may go on to their end although they could write nothing
        return "bad_output", "the output ends before the calculation did"
    lines = [line.strip() for line in errors.splitlines() if re.search(r"[A-Za-z]{3}", line)]
    return "bad_output", f"exit status {end.status}{f': {lines[-1][:200]}' if lines else ''}"
