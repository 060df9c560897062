"""Reads what CP2K has printed, and believes it only where the calculation has converged."""

from __future__ import annotations

import re
from typing import TypeAlias

import numpy as np
from ase.units import Bohr, GPa, Hartree
from numpy.typing import NDArray

from qm.results import NotConvergedError, OutputError, Results, UnphysicalError

DONE = "PROGRAM ENDED AT"
"""What CP2K prints at its end."""
NOT_CONVERGED = "SCF run NOT converged"
"""What it says, and some versions go on with results all the same."""

_VERSION = re.compile(r"CP2K version (\S+)")
_CONVERGED = re.compile(r"SCF run converged in\s+\d+ steps")
_CHANGE = re.compile(r"^ +\d+ \S+/Diag\. *\S+ +\S+ +(\S+) +\S+ +\S+$", re.MULTILINE)
_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL \( QS \) energy \[(?:a\.u\.|hartree)\]:?\s+(\S+)")
_NUMBER = r"\s*([-+.\dE]+|\*+|NaN|[-+]?Infinity)"
_FORCE = re.compile(
    rf"^\s*\d+\s+\d+\s+[A-Z][a-z]?{_NUMBER}{_NUMBER}{_NUMBER}$"  # to 2024
    rf"|^ FORCES\|\s+\d+{_NUMBER}{_NUMBER}{_NUMBER}{_NUMBER}$",  # from 2025
    re.MULTILINE,
)
_FORCES_BEGIN = re.compile(r"ATOMIC FORCES in \[a\.u\.\]|FORCES\| Atomic forces \[hartree/bohr\]")
_STRESS = re.compile(
    r"STRESS\| Analytical stress tensor \[(GPa|bar)\]\s*STRESS\|\s+x\s+y\s+z\s*"
    + "".join(rf"STRESS\|\s+{row}{_NUMBER}{_NUMBER}{_NUMBER}\s*" for row in "xyz")
)
_PRESSURES = {"GPa": GPa, "bar": 1.0e-4 * GPa}

Array: TypeAlias = NDArray[np.float64]


def version(text: str) -> str | None:
    """Return the version of the CP2K that has printed this, if it came so far."""
    found = _VERSION.search(text)
    return found[1] if found else None


def read_results(text: str, n_atoms: int, *, threshold: float) -> Results:
    """Return the results of a calculation that has ended well.

    The energy is that of the line ``ENERGY|``: with smeared occupations the electrons' entropy is in it.

    Parameters
    ----------
    threshold
        Change of the density below which it counts as self-consistent (EPS_SCF).

    Raises
    ------
    OutputError, UnphysicalError, NotConvergedError
        If there is no label in it.
    """
    if DONE not in text:
        raise OutputError("the output ends before the calculation did")
    _check_converged(text, threshold)
    energy = _ENERGY.findall(text)
    if len(energy) != 1:
        raise OutputError(f"there are {len(energy)} total energies; one is expected")
    return Results(
        _number(energy[0]) * Hartree,
        _forces(text, n_atoms) * Hartree / Bohr,
        _stress(text),
    )


def _check_converged(text: str, threshold: float) -> None:
    changes = _CHANGE.findall(text)
    if NOT_CONVERGED in text or not (_CONVERGED.search(text) and changes):
        raise NotConvergedError("the output does not say that the SCF run has converged")
    if not _number(changes[-1]) <= threshold:
        raise NotConvergedError(
            f"the density still changes by {changes[-1]}; at most {threshold:.2g} is expected"
        )


def _forces(text: str, n_atoms: int) -> Array:
    begin = _FORCES_BEGIN.search(text)
    if begin is None:
        raise OutputError("there are no forces in the output")
    rows = [[word for word in row if word][:3] for row in _FORCE.findall(text, begin.end())]
    if len(rows) != n_atoms:
        raise OutputError(f"there are forces on {len(rows)} atoms; {n_atoms} are expected")
    return np.array([[_number(word) for word in row] for row in rows])


def _stress(text: str) -> Array:
    """CP2K's sign is that of a pressure, and its forces and stress are not quite symmetric."""
    found = _STRESS.search(text)
    if found is None:
        raise OutputError("there is no stress in the output")
    pressure = np.array([_number(word) for word in found.groups()[1:]]).reshape(3, 3)
    stress: Array = -_PRESSURES[found[1]] * 0.5 * (pressure + pressure.T)
    return stress


def _number(word: str) -> float:
    """Return a number as Fortran prints it, whatever it writes for one that does not fit."""
    if word.startswith("*"):
        raise UnphysicalError("forces or stress are too large to be printed")
    try:
        number = float(word)
    except ValueError as error:
        raise OutputError(f"{word!r} in the output is no number") from error
    if not np.isfinite(number):
        raise OutputError(f"{word} in the output is not finite")
    return number
