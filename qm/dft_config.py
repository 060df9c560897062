"""Settings that codes of density functional theory share: k-points, charge, steps to self-consistency."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ase.data import atomic_numbers
from pydantic import PositiveFloat, PositiveInt

from qm.program_config import ProgramConfig


class DftConfig(ProgramConfig):
    """Density functional theory in cells that are periodic in three directions."""

    k_spacing_per_ang: PositiveFloat
    """Largest distance of neighbouring k-points, 1/Å with the factor 2π: the mesh follows the cell."""

    k_shift: tuple[Literal[0, 1], Literal[0, 1], Literal[0, 1]] = (0, 0, 0)
    """1 where the mesh is shifted by half a step, 0 where it holds Γ."""

    charge_e: float = 0.0
    """Charge of a cell, in units of e: electrons missing."""

    max_scf_steps: PositiveInt = 100
    """Steps to self-consistency in the first try of a label."""


def refuse_strange_elements(name: str, symbols: Iterable[str]) -> None:
    """Raise ValueError if a setting, by its name, holds what is no chemical symbol."""
    unknown = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) == 0]
    if unknown:
        raise ValueError(f"{name}: {unknown[0]!r} is not a chemical symbol such as Al")


def refuse_other_elements(name: str, symbols: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ValueError if a setting names an element that has no ``what``, such as a pseudopotential."""
    strange = set(symbols) - set(known)
    if strange:
        raise ValueError(f"{name}: {min(strange)} has no {what}")


def refuse_half_a_smearing(smearing: str, width: float | None, name: str, example: float) -> None:
    """Raise ValueError if there is a kind of smearing without its width, named here, or the reverse."""
    if (smearing == "none") != (width is None):
        expected = f"no {name}" if smearing == "none" else f"{name}, such as {example:g}"
        raise ValueError(f"smearing {smearing} needs {expected}")
