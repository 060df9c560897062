"""Tells from what CP2K has left behind why it failed."""

from __future__ import annotations

import re
from pathlib import Path

from qm.cp2k.outputs import DONE, NOT_CONVERGED
from qm.label import FailureReason
from qm.program import ProgramEnd
from qm.program_failures import Found, by_status, first_match, out_of_resources, out_of_time

_BOX = re.compile(r"^ \* \[ABORT\] .*\n((?: \*.*\*\n)*?) \*{79}$", re.MULTILINE)
_DRAWN = re.compile(r"^ \*\s*(?:\\___/|O/\||/\| \||/ \\|\|)?")
_PLACE = re.compile(r"\S+\.F:\d+$")

_STOPPED: tuple[tuple[str, Found], ...] = (
    (NOT_CONVERGED, ("not_converged", "the SCF run did not converge")),
    (r"exceeded requested execution time", ("walltime", "its own time limit, WALLTIME, was over")),
)
"""What it says where it has stopped, or gone on, without an error."""

_BY_MESSAGE: tuple[tuple[str, FailureReason], ...] = (
    (r"GEOMETRY wrong", "unphysical"),
    (r"[Cc]holesky|positive definite|[Ll]inear(ly)? dependen", "unphysical"),
    (r"[Dd]iagonali[sz]ation|[Ff]ermi energy", "not_converged"),
    (r"allocat|memory", "out_of_memory"),
    (r"writing|write to", "killed"),
)
"""Messages of CP2K's own errors; all others are mistakes in the input."""


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
    box = _BOX.search(output)
    if box is not None:
        return _by_message(_message(box[1]))
    if end.status == 0 and DONE in output:
        return None
    return by_status(end, errors, directory)


def _message(box: str) -> str:
    """Return the words in the box that CP2K draws around them, without the figure and the place."""
    lines = [_DRAWN.sub("", line).rstrip("* ").strip() for line in box.splitlines()]
    return " ".join(word for word in " ".join(lines).split() if not _PLACE.match(word))


def _by_message(message: str) -> Found:
    for pattern, reason in _BY_MESSAGE:
        if re.search(pattern, message):
            return reason, f"error: {message}"
    return "bad_input", f"error: {message}"
