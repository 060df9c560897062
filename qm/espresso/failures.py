"""Tells from what pw.x has left behind why it failed."""

from __future__ import annotations

import re
from pathlib import Path

from qm.espresso.outputs import DONE
from qm.label import FailureReason
from qm.program import ProgramEnd
from qm.program_failures import Found, by_status, first_match, out_of_resources, out_of_time

_ERROR = re.compile(r"Error in routine\s+(\S+)\s*\(\s*(-?\d+)\s*\)\s*:\s*\n?\s*(.*)")

_STOPPED: tuple[tuple[str, Found], ...] = (
    (r"Maximum CPU time exceeded", ("walltime", "its own time limit, max_seconds, was over")),
    (r"convergence NOT achieved", ("not_converged", "convergence was not achieved")),
)
"""What it says where it has stopped without an error."""

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
    spoken = f"{output}\n{errors}"
    found = out_of_time(end) or out_of_resources(spoken) or first_match(_STOPPED, spoken)
    if found is not None:
        return found
    crash = directory / "CRASH"
    text = crash.read_text(errors="replace") if crash.exists() else ""
    said = _ERROR.search(output) or _ERROR.search(text)
    if said is not None:
        return _by_routine(said[1], said[3].strip())
    if end.status == 0 and DONE in output:
        return None
    return by_status(end, errors, directory)


def _by_routine(routine: str, message: str) -> Found:
    line = f"{routine} {message}"
    for pattern, reason in _BY_ROUTINE:
        if re.search(pattern, line):
            return reason, f"error in routine {routine}: {message}"
    return "bad_input", f"error in routine {routine}: {message}"
