"""Cold curves and equilibrium properties of crystals, by any ASE calculator.

Nothing here assumes a sane potential: one that explodes, falls into a hole or has no minimum gives a row that
says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from validation.crystal_cells import ALLOYS, STRUCTURES, Structure, typical_volume_ang3
from validation.elastic import CubicConstants, cubic_constants
from validation.equation_of_state import NoEquilibriumError, deepest_minimum, fit_equilibrium
from validation.evaluation import Energy, NoPropertyError, energy

_SCAN = np.geomspace(0.62, 1.6, 25)
_C_OVER_A_PASSES = 2


@dataclass(frozen=True)
class ColdCurve:
    """Energy of a crystal against its volume.

    Attributes
    ----------
    volumes_ang3
        Volume per atom, shape (n,).
    energies_ev
        Energy per atom, shape (n,); NaN where the calculator failed.
    spreads_ev
        Standard deviation over the members of an ensemble, per atom, shape (n,); NaN where there are none.
    """

    volumes_ang3: NDArray[np.float64]
    energies_ev: NDArray[np.float64]
    spreads_ev: NDArray[np.float64]


@dataclass(frozen=True)
class Crystal:
    """A crystal at its equilibrium; all NaN where there is none, and ``remark`` says why.

    Attributes
    ----------
    structure, formula
        Which crystal, of what.
    volume_ang3, lattice_ang, c_over_a
        Volume per atom, lattice constant a, and c/a where it is free.
    energy_ev, members_ev
        Energy per atom, and what each member of an ensemble says; empty where there are none.
    above_lowest_mev, spread_mev
        Energy per atom above the lowest crystal of the same table, for compounds the formation energy, and
        its standard deviation over the members; not-a-number where there are none.
    bulk_modulus_gpa
        From a third-order Birch-Murnaghan fit over ±1 % of volume, at fixed c/a.
    c11_gpa, c12_gpa, c44_gpa
        Elastic constants of cubic crystals of one atom per cell, where the calculator gives a stress.
    remark
        What is wrong with it, or empty.
    """

    structure: str
    formula: str
    volume_ang3: float = math.nan
    lattice_ang: float = math.nan
    c_over_a: float | None = None
    energy_ev: float = math.nan
    members_ev: Sequence[float] = ()
    above_lowest_mev: float = math.nan
    spread_mev: float = math.nan
    bulk_modulus_gpa: float = math.nan
    c11_gpa: float = math.nan
    c12_gpa: float = math.nan
    c44_gpa: float = math.nan
    remark: str = ""

    @property
    def found(self) -> bool:
        """Whether there is an equilibrium."""
        return math.isfinite(self.energy_ev)

    @property
    def energy(self) -> Energy:
        """Energy per atom."""
        return Energy(self.energy_ev, np.array(self.members_ev, dtype=np.float64))

    def above(self, zero: Energy | None) -> Crystal:
        """Return the row with its energy above another; as it is where either does not exist."""
        if zero is None or not self.found:
            return self
        above = 1000.0 * (self.energy - zero)
        return replace(self, above_lowest_mev=above.ev, spread_mev=above.spread_ev)


def cold_curve(
    calculator: Any,
    structure: Structure,
    elements: Sequence[str],
    volumes_ang3: NDArray[np.float64],
    c_over_a: float | None = None,
) -> ColdCurve:
    """Return the energy of a crystal at each volume per atom, at fixed c/a."""
    points = [_per_atom(calculator, structure.cell(elements, float(v), c_over_a)) for v in volumes_ang3]
    return ColdCurve(
        np.asarray(volumes_ang3, dtype=np.float64),
        np.array([point.ev for point in points]),
        np.array([point.spread_ev for point in points]),
    )


def crystal(calculator: Any, structure: Structure, elements: Sequence[str]) -> Crystal:
    """Return a crystal at its equilibrium volume, and c/a where it is free."""
    row = Crystal(structure.name, structure.formula(elements))
    typical = float(np.mean([typical_volume_ang3(elements[kind]) for kind in structure.kinds]))

    def at(volume_ang3: float, c_over_a: float | None) -> float:
        return _per_atom(calculator, structure.cell(elements, volume_ang3, c_over_a)).ev

    try:
        return _equilibrium(row, structure, typical * structure.relative_volume, at, calculator, elements)
    except NoEquilibriumError as error:
        cell = structure.cell(elements, typical * structure.relative_volume)
        return replace(row, remark=f"{error}{_complaint(calculator, cell)}")


def crystal_table(calculator: Any, element: str) -> list[Crystal]:
    """Return FCC, HCP, BCC, simple cubic and diamond of one element at their equilibria."""
    rows = [crystal(calculator, structure, (element,)) for structure in STRUCTURES]
    zero = lowest(rows)
    return [row.above(zero) for row in rows]


def lowest(rows: Sequence[Crystal]) -> Energy | None:
    """Return the energy per atom of the lowest crystal; ``None`` where there is none."""
    return min((row.energy for row in rows if row.found), key=lambda energy: energy.ev, default=None)


def alloy_table(calculator: Any, elements: tuple[str, str], pure: Sequence[Energy | None]) -> list[Crystal]:
    """Return the ordered compounds of two elements with their formation energies.

    Parameters
    ----------
    pure
        Lowest energy per atom of each element, by the same calculator.
    """
    return [crystal(calculator, s, elements).above(_mixed([pure[kind] for kind in s.kinds])) for s in ALLOYS]


def _mixed(energies: Sequence[Energy | None]) -> Energy | None:
    """Return the mean; ``None`` where one is missing."""
    known = [energy for energy in energies if energy is not None]
    return (1.0 / len(known)) * reduce(add, known) if len(known) == len(energies) else None


def _equilibrium(
    row: Crystal,
    structure: Structure,
    guess_ang3: float,
    energy_at: Callable[[float, float | None], float],
    calculator: Any,
    elements: Sequence[str],
) -> Crystal:
    ratio = structure.c_over_a
    centre, remark = deepest_minimum(guess_ang3 * _SCAN, [energy_at(v, ratio) for v in guess_ang3 * _SCAN])
    fit = fit_equilibrium(lambda v: energy_at(v, ratio), centre)
    for _ in range(_C_OVER_A_PASSES if ratio is not None else 0):
        ratio, at_the_edge = _best_ratio(energy_at, fit.volume_ang3, structure.c_over_a_range)
        remark = remark or at_the_edge
        fit = fit_equilibrium(lambda v, r=ratio: energy_at(v, r), fit.volume_ang3)  # type: ignore[misc]
    volume = fit.volume_ang3
    frame = structure.cell(elements, volume, ratio)
    found = _per_atom(calculator, frame)
    elastic = cubic_constants(calculator, frame) if len(frame) == 1 else CubicConstants()
    return replace(
        row,
        **asdict(elastic),
        volume_ang3=volume,
        lattice_ang=structure.lattice_ang(volume, ratio),
        c_over_a=ratio,
        energy_ev=found.ev,
        members_ev=found.members_ev.tolist(),
        bulk_modulus_gpa=fit.bulk_modulus_gpa,
        remark=remark,
    )


def _per_atom(calculator: Any, frame: Atoms) -> Energy:
    """Return the energy per atom; not-a-number where the calculator fails."""
    try:
        return (1.0 / len(frame)) * energy(calculator, frame)
    except NoPropertyError:
        return Energy(math.nan, np.zeros(0))


def _complaint(calculator: Any, frame: Atoms) -> str:
    """Return what the calculator itself says is wrong, if it does."""
    try:
        energy(calculator, frame)
    except NoPropertyError as error:
        return f" ({error})"
    return ""


def _best_ratio(
    energy_at: Callable[[float, float | None], float], volume_ang3: float, limits: tuple[float, float]
) -> tuple[float, str]:
    def finite(ratio: float) -> float:
        value = energy_at(volume_ang3, ratio)
        return value if math.isfinite(value) else 1e6

    best = float(minimize_scalar(finite, bounds=limits, method="bounded", options={"xatol": 1e-3}).x)
    at_the_edge = min(best - limits[0], limits[1] - best) < 0.01
    return best, f"c/a runs to {best:.2f}" if at_the_edge else ""
