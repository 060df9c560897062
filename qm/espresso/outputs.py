"""Reads what pw.x has printed, and believes it only where the calculation has converged."""

from __future__ import annotations

import io
import re

import numpy as np
from ase.io.espresso import read_espresso_out
from ase.stress import voigt_6_to_full_3x3_stress

from qm.results import NotConvergedError, OtherLevelError, OutputError, Results, UnphysicalError

MAX_SCF_FORCE_CORRECTION_RY_PER_BOHR = 1.0e-3
"""Per root atom: what forces owe to a density that is not self-consistent. Converged labels have 1e-5."""

_VERSION = re.compile(r"Program PWSCF v\.?\s*(\S+)")
_FUNCTIONAL = re.compile(r"Exchange-correlation\s*=\s*(.*?)\s*(?:\(|$)", re.MULTILINE)
_CONVERGED = re.compile(r"convergence has been achieved in\s+\d+ iterations")
_ACCURACY = re.compile(r"estimated scf accuracy\s*<\s*(\S+) Ry")
_CORRECTION = re.compile(r"Total SCF correction =\s*(\S+)")
_STARS = "*****"
DONE = "JOB DONE."
"""What pw.x prints at its end."""

_SAME_FUNCTIONAL = {
    "SLAPWPBXPBC": "PBE",
    "SLAPWPSXPSC": "PBESOL",
    "SLAPWRPBPBC": "REVPBE",
    "SLAPZNOGXNOGC": "PZ",
    "LDA": "PZ",
    "SLAPWNOGXNOGC": "PW",
    "SLALYPB88BLYP": "BLYP",
}
"""Names of one functional; pw.x prints the parts of which it is made where it has no name for the whole."""


def version(text: str) -> str | None:
    """Return the version of the pw.x that has printed this, if it came so far."""
    found = _VERSION.search(text)
    return found[1] if found else None


def read_results(text: str, n_atoms: int, *, functional: str, threshold_ry: float) -> Results:
    """Return the results of a calculation that has ended well.

    The energy is that of the line ``!    total energy``: with smeared occupations E - TS.

    Parameters
    ----------
    threshold_ry
        The estimated error of the energy below which the density counts as self-consistent. It is checked
        here: told to go on regardless, pw.x says of any last step that convergence has been achieved.

    Raises
    ------
    OutputError, UnphysicalError, NotConvergedError, OtherLevelError
        If there is no label in it.
    """
    if DONE not in text:
        raise OutputError("the output ends before the calculation did")
    _check_functional(text, functional)
    _check_converged(text, n_atoms, threshold_ry)
    try:
        (frame,) = read_espresso_out(io.StringIO(text), index=slice(-1, None))
        found = frame.calc.results
        energy, forces, stress = float(found["energy"]), np.asarray(found["forces"]), found["stress"]
    except Exception as error:  # a foreign reader on a text that may hold anything
        if _STARS in text:
            raise UnphysicalError("forces or stress are too large to be printed") from error
        raise OutputError(
            f"energy, forces or stress cannot be read ({type(error).__name__}: {error})"
        ) from error
    if forces.shape != (n_atoms, 3):
        raise OutputError(f"there are forces of shape {forces.shape}; {(n_atoms, 3)} is expected")
    full_stress = np.asarray(voigt_6_to_full_3x3_stress(stress), dtype=np.float64)
    return Results(energy, forces.astype(np.float64), full_stress)


def _check_functional(text: str, expected: str) -> None:
    found = _FUNCTIONAL.search(text)
    if found is None:
        raise OutputError("the output does not name the functional")
    if _plain(found[1]) != _plain(expected):
        raise OtherLevelError(
            f"the pseudopotentials ask for functional {found[1]}; the settings name {expected}"
        )


def _plain(functional: str) -> str:
    name = re.sub(r"[^A-Z0-9]", "", functional.upper())
    return _SAME_FUNCTIONAL.get(name, name)


def _check_converged(text: str, n_atoms: int, threshold_ry: float) -> None:
    accuracies, corrections = _ACCURACY.findall(text), _CORRECTION.findall(text)
    if not (_CONVERGED.search(text) and accuracies and corrections):
        raise NotConvergedError("the output does not say that convergence has been achieved")
    accuracy, correction = _number(accuracies[-1]), _number(corrections[-1]) / np.sqrt(n_atoms)
    if not accuracy <= threshold_ry:
        raise NotConvergedError(
            f"estimated error of the energy is {accuracy:.2g} Ry; at most {threshold_ry:.2g} Ry is expected"
        )
    if not correction <= MAX_SCF_FORCE_CORRECTION_RY_PER_BOHR:
        raise NotConvergedError(
            f"forces are corrected by {correction:.2g} Ry/bohr for a density that is not self-consistent; "
            f"at most {MAX_SCF_FORCE_CORRECTION_RY_PER_BOHR:g} is expected"
        )


def _number(word: str) -> float:
    """Return a number as Fortran prints it; not-a-number for the stars of one that does not fit."""
    try:
        return float(word.replace("D", "E"))
    except ValueError:
        return float("nan")
