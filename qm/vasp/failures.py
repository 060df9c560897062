"""Tells from what VASP has left behind why it failed. In runs that ended well the same words are warnings."""

from __future__ import annotations

import re
from pathlib import Path

from qm.label import FailureReason
from qm.program import ProgramEnd
from qm.program_failures import Found, by_status, first_match, out_of_resources, out_of_time
from qm.vasp.outputs import DONE, text_of

_REFUSED = "I REFUSE TO CONTINUE WITH THIS SICK JOB"
_CLOSE = "distance between some ions is very small"
_BOX_LINE = re.compile(r"^\s*\|(.*)\|\s*$", re.MULTILINE)

_STOPPED: tuple[tuple[str, Found], ...] = (
    (
        r"forrtl: severe \(41\)|[Cc]ould not allocate|ALLOCATE.*failed|Error allocating",
        ("out_of_memory", "there was not enough memory"),
    ),
    (r"forrtl: severe \(38\)|error during write", ("killed", "the scratch directory is full")),
    (r"(soft|hard) stop encountered", ("walltime", "it was asked to stop by STOPCAR")),
    (
        r"self-consistency was not achieved in the given",
        ("not_converged", "self-consistency was not achieved within NELM steps"),
    ),
)
"""What it prints whichever part has noticed it."""

_ERRORS: tuple[tuple[str, FailureReason], ...] = (
    (
        r"ZPOTRF|ZTRTRI|ZHEGV|ZHEEV|DSYGV|DSYEV|PSSYEVX|PZSTEIN|LAPACK: Routine|Error EDDDAV|EDDRMM: call"
        r"|EDWAV|BRMIX: very serious|ZBRENT|num prob|DENTET|Fermi (energy|level)|supplied exchange-correl",
        "not_converged",
    ),
    (
        r"POTCAR|INCAR|KPOINTS|POSCAR|triple product|NBANDS|TOO FEW BANDS|number of species|IBZKPT|SGRCON"
        r"|initial positions|item",
        "bad_input",
    ),
)
"""Errors of its routines, those of numerics first, which a gentler way may avoid."""


def failure_reason(end: ProgramEnd, output: str, errors: str, directory: Path) -> Found | None:
    """Return the reason of a failure and one line on it, or ``None`` if the program ended well.

    Parameters
    ----------
    end
        How it ended.
    output, errors
        What it has printed.
    directory
        Where it ran, with its OUTCAR.
    """
    spoken = f"{output}\n{errors}"
    found = out_of_time(end) or out_of_resources(spoken) or first_match(_STOPPED, spoken)
    if found is not None:
        return found
    outcar = text_of(directory / "OUTCAR")
    if end.status == 0 and DONE in outcar:
        return None
    if end.signal is not None:  # also in the middle of a warning
        return by_status(end, errors, directory)
    return _by_message(spoken, outcar) or by_status(end, errors, directory)


def _by_message(spoken: str, outcar: str) -> Found | None:
    close = _CLOSE in spoken or _CLOSE in outcar
    lines = [line.strip(" |-\t") for line in spoken.splitlines()]
    for pattern, reason in _ERRORS:
        said = next((line for line in reversed(lines) if re.search(pattern, line) and _is_error(line)), None)
        if said is not None:
            if reason == "not_converged" and close:
                return "unphysical", f"atoms are too close: {said[:200]}"
            return reason, f"error: {said[:200]}"
    if _REFUSED in spoken:
        return "bad_input", f"it refused to continue: {_boxed(spoken)[:200]}"
    return None


def _is_error(line: str) -> bool:
    return "WARNING" not in line and "found type information" not in line


def _boxed(spoken: str) -> str:
    """Return the words of the last box but for its figure of letters."""
    before = spoken[: spoken.index(_REFUSED)]
    lines = [line.strip() for line in _BOX_LINE.findall(before)]
    words = [line for line in lines if re.search(r"[a-z]{2}", line)]
    return " ".join(" ".join(words[-3:]).split()) or "no reason is given"
