"""Tells from what GPAW has raised, or left behind, why it failed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from qm.label import FailureReason
from qm.program import ProgramEnd
from qm.program_failures import Found, by_status, out_of_resources, out_of_time

_BY_ERROR: tuple[tuple[str, FailureReason], ...] = (
    (r"ConvergenceError|TooFewBandsError|LinAlgError", "not_converged"),
    (r"AtomsTooClose|GridBoundsError", "unphysical"),
    (r"MemoryError", "out_of_memory"),
    (r"OSError|KeyboardInterrupt", "killed"),
)
"""Classes of what GPAW raises; all others are mistakes in the input."""

_LONGEST = 200


def failure_reason(
    end: ProgramEnd, answer: dict[str, Any] | None, errors: str, directory: Path
) -> Found | None:
    """Return the reason of a failure and one line on it, or ``None`` if the program ended well.

    Parameters
    ----------
    end
        How it ended.
    answer
        What it has written: results, or the error that was raised.
    errors
        What it has printed to its standard error.
    directory
        Where it ran, which may have become full.
    """
    found = out_of_time(end) or out_of_resources(errors)
    if found is not None:
        return found
    if answer is not None and "error" in answer:
        return _by_error(str(answer["error"]), str(answer.get("message", "")))
    if end.status == 0 and answer is not None:
        return None
    return by_status(end, errors, directory)


def _by_error(name: str, message: str) -> Found:
    words = " ".join(message.split())[:_LONGEST]
    line = f"{name}: {words}" if words else name
    for pattern, reason in _BY_ERROR:
        if re.search(pattern, name):
            return reason, line
    return "bad_input", line
