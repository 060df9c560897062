"""Reads what VASP has written, and believes it only where the calculation has converged."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from ase.units import GPa
from numpy.typing import NDArray

from qm.results import NotConvergedError, OutputError, Results, UnphysicalError

DONE = "General timing and accounting informations for this job"
"""What stands at the end of an OUTCAR that is whole."""

_VERSION = re.compile(r"^\s*vasp\.(\d\S*)", re.MULTILINE)
_STEP = re.compile(r"^\s*([A-Z]{2,4})\s*:\s+(\d+)\s+(\S+)\s+(\S+)\s+(\S+)", re.MULTILINE)
_UNCONVERGED = re.compile(r"EDIFF was not reached|self-consistency was not achieved")
_BY_BANDS = frozenset({"DAV", "RMM"})
"""Algorithms that end when the band energy, too, changes by less than the threshold."""

_EV_PER_ANG3_PER_KBAR = 0.1 * GPa


def version(text: str) -> str | None:
    """Return the version of the VASP that has printed this, if it came so far."""
    found = _VERSION.search(text)
    return found[1] if found else None


def read_results(directory: Path, n_atoms: int, *, threshold_ev: float) -> Results:
    """Return the results of a calculation that has ended well; atoms in the order of POSCAR.

    The energy is the free energy TOTEN (``e_fr_energy``), not that for zero smearing, whose derivative the
    forces are not. ASE's reader is not used, because it takes forces that are missing for zero.

    Parameters
    ----------
    threshold_ev
        EDIFF. VASP ends just as well when it has run out of steps, and its version 5 then says that EDIFF is
        reached: so the changes in the last step are looked at.

    Raises
    ------
    OutputError, UnphysicalError, NotConvergedError
        If there is no label in it.
    """
    outcar = text_of(directory / "OUTCAR")
    if DONE not in outcar:
        raise OutputError("OUTCAR ends before the calculation did")
    _check_converged(outcar, text_of(directory / "OSZICAR"), threshold_ev)
    try:
        (last,) = ElementTree.parse(directory / "vasprun.xml").getroot().findall("calculation")
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise OutputError(f"vasprun.xml is not complete ({error})") from error
    energy = _numbers(last.findall("energy/i[@name='e_fr_energy']"), "energy", (1, 1))
    forces = _numbers(last.findall("varray[@name='forces']/v"), "forces", (n_atoms, 3))
    pressure = _numbers(last.findall("varray[@name='stress']/v"), "stress", (3, 3))
    stress = -_EV_PER_ANG3_PER_KBAR * 0.5 * (pressure + pressure.T)
    return Results(float(energy[0, 0]), forces, stress)


def _numbers(rows: list[ElementTree.Element], name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    words = [(row.text or "").split() for row in rows]
    if any("*" in word for row in words for word in row):
        raise UnphysicalError(f"{name} too large to be printed")
    try:
        numbers = np.array([[float(word) for word in row] for row in words])
    except ValueError as error:
        raise OutputError(f"{name} cannot be read ({error})") from error
    if numbers.shape != shape:
        raise OutputError(f"{name} cannot be read: found shape {numbers.shape}; expected {shape}")
    return numbers


def text_of(path: Path) -> str:
    """Return what stands in a file; nothing where there is none."""
    return path.read_text(errors="replace") if path.exists() else ""


def _check_converged(outcar: str, oszicar: str, threshold_ev: float) -> None:
    steps = _STEP.findall(oszicar)
    if not steps:
        raise OutputError("OSZICAR holds no steps to self-consistency")
    algorithm, number, _, *changes = steps[-1]
    if _UNCONVERGED.search(outcar):
        raise NotConvergedError(f"EDIFF was not reached in {number} steps")
    for what, word in zip(("energy", "band energy"), changes, strict=True):
        if what == "band energy" and algorithm not in _BY_BANDS:
            continue
        if not abs(_number(word)) <= threshold_ev:
            raise NotConvergedError(
                f"in the last of {number} steps the {what} changed by {word} eV; "
                f"at most {threshold_ev:.2g} eV is expected"
            )


def _number(word: str) -> float:
    """Return a number as Fortran prints it; not-a-number for the stars of one that does not fit."""
    try:
        return float(word.replace("D", "E"))
    except ValueError:
        return float("nan")
