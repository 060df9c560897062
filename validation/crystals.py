"""Cold curves and equilibrium properties of crystals, by any ASE calculator.

Nothing here assumes a sane potential: one that explodes, falls into a hole or has no minimum gives a row that
says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from validation.crystal_cells import ALLOYS, STRUCTURES, Structure, typical_volume_ang3
from validation.elastic import CubicConstants, cubic_constants

_SCAN = np.geomspace(0.62, 1.6, 25)
_FITS = (np.linspace(0.96, 1.04, 9), np.linspace(0.99, 1.01, 9))
_C_OVER_A_PASSES = 2
_MOST_WINDOWS = 12


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
    energy_ev, spread_mev
        Energy per atom, and its standard deviation over the members of an ensemble.
    above_lowest_mev
        Energy per atom above the lowest crystal of the same table; for compounds, the formation energy.
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
    spread_mev: float = math.nan
    above_lowest_mev: float = math.nan
    bulk_modulus_gpa: float = math.nan
    c11_gpa: float = math.nan
    c12_gpa: float = math.nan
    c44_gpa: float = math.nan
    remark: str = ""

    @property
    def found(self) -> bool:
        """Whether there is an equilibrium."""
        return math.isfinite(self.energy_ev)


class _NoEquilibriumError(ValueError):
    """The curve has no minimum; the message says what it has."""


def cold_curve(
    calculator: Any,
    structure: Structure,
    elements: Sequence[str],
    volumes_ang3: NDArray[np.float64],
    c_over_a: float | None = None,
) -> ColdCurve:
    """Return the energy of a crystal at each volume per atom, at fixed c/a."""
    points = [
        _energy_and_spread(calculator, structure.cell(elements, float(v), c_over_a)) for v in volumes_ang3
    ]
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return ColdCurve(np.asarray(volumes_ang3, dtype=np.float64), table[:, 0], table[:, 1])


def crystal(calculator: Any, structure: Structure, elements: Sequence[str]) -> Crystal:
    """Return a crystal at its equilibrium volume, and c/a where it is free."""
    row = Crystal(structure.name, structure.formula(elements))
    typical = float(np.mean([typical_volume_ang3(elements[kind]) for kind in structure.kinds]))

    def energy(volume_ang3: float, c_over_a: float | None) -> float:
        return _energy_and_spread(calculator, structure.cell(elements, volume_ang3, c_over_a))[0]

    try:
        return _equilibrium(row, structure, typical * structure.relative_volume, energy, calculator, elements)
    except _NoEquilibriumError as error:
        return replace(row, remark=str(error))


def crystal_table(calculator: Any, element: str) -> list[Crystal]:
    """Return FCC, HCP, BCC, simple cubic and diamond of one element at their equilibria."""
    rows = [crystal(calculator, structure, (element,)) for structure in STRUCTURES]
    lowest = min((row.energy_ev for row in rows if row.found), default=math.nan)
    return [replace(row, above_lowest_mev=1000.0 * (row.energy_ev - lowest)) for row in rows]


def alloy_table(calculator: Any, elements: tuple[str, str], pure: Sequence[float]) -> list[Crystal]:
    """Return the ordered compounds of two elements with their formation energies.

    Parameters
    ----------
    pure
        Lowest energy per atom of each element, eV.
    """
    rows = [(crystal(calculator, structure, elements), structure) for structure in ALLOYS]
    return [
        replace(row, above_lowest_mev=1000.0 * (row.energy_ev - float(np.mean([pure[k] for k in s.kinds]))))
        for row, s in rows
    ]


def _equilibrium(
    row: Crystal,
    structure: Structure,
    guess_ang3: float,
    energy: Callable[[float, float | None], float],
    calculator: Any,
    elements: Sequence[str],
) -> Crystal:
    ratio = structure.c_over_a
    centre, remark = _deepest_minimum(guess_ang3 * _SCAN, [energy(v, ratio) for v in guess_ang3 * _SCAN])
    volume, bulk_modulus = _fit(lambda v: energy(v, ratio), centre)
    for _ in range(_C_OVER_A_PASSES if ratio is not None else 0):
        ratio, at_the_edge = _best_ratio(energy, volume, structure.c_over_a_range)
        remark = remark or at_the_edge
        volume, bulk_modulus = _fit(lambda v, r=ratio: energy(v, r), volume)  # type: ignore[misc]
    frame = structure.cell(elements, volume, ratio)
    found, spread = _energy_and_spread(calculator, frame)
    elastic = cubic_constants(calculator, frame) if len(frame) == 1 else CubicConstants()
    return replace(
        row,
        **asdict(elastic),
        volume_ang3=volume,
        lattice_ang=structure.lattice_ang(volume, ratio),
        c_over_a=ratio,
        energy_ev=found,
        spread_mev=1000.0 * spread,
        bulk_modulus_gpa=bulk_modulus,
        remark=remark,
    )


def _energy_and_spread(calculator: Any, frame: Atoms) -> tuple[float, float]:
    """Return energy and spread per atom, eV; NaN where the calculator fails or has no members."""
    try:
        frame.calc = calculator
        energy = float(frame.get_potential_energy())
    except (ValueError, RuntimeError, ArithmeticError):
        return math.nan, math.nan
    spread = float(calculator.results.get("energy_std", math.nan))
    return energy / len(frame), spread / len(frame)


def _deepest_minimum(volumes: NDArray[np.float64], energies: Sequence[float]) -> tuple[float, str]:
    """Return the volume of the deepest local minimum of a scan, and what is odd about it."""
    e = np.asarray(energies)
    finite = np.isfinite(e)
    if finite.sum() < 5:
        raise _NoEquilibriumError("no finite energies")
    v, e = volumes[finite], e[finite]
    inside = [i for i in range(1, len(e) - 1) if e[i] <= e[i - 1] and e[i] < e[i + 1]]
    if not inside:
        way = "compressed" if e[0] < e[-1] else "expanded"
        raise _NoEquilibriumError(f"no minimum from {v[0]:.1f} to {v[-1]:.1f} Å³: falls when {way}")
    best = min(inside, key=lambda i: float(e[i]))
    if e[: best + 1].min() < e[best]:
        return float(v[best]), f"falls below the minimum when compressed to {v[int(np.argmin(e))]:.1f} Å³"
    if e[best:].min() < e[best]:
        return float(v[best]), f"falls below the minimum when expanded to {v[int(np.argmin(e))]:.1f} Å³"
    return float(v[best]), ""


def _fit(energy: Callable[[float], float], centre_ang3: float) -> tuple[float, float]:
    """Return the equilibrium volume, Å³, and bulk modulus, GPa, near ``centre_ang3``.

    A fit over ±4 % of volume finds the place on a surface that may be rough, one over ±1 % the curvature.
    """
    volume, bulk_modulus = centre_ang3, math.nan
    for window in _FITS:
        volume, bulk_modulus = _fit_in_window(energy, volume, window)
    return volume, bulk_modulus


def _fit_in_window(
    energy: Callable[[float], float], centre_ang3: float, window: NDArray[np.float64]
) -> tuple[float, float]:
    """Return volume and bulk modulus at the minimum, moving the window until that lies inside.

    Birch-Murnaghan to third order: the energy is a cubic in x = V^(-2/3); at its minimum
    B = (4/9) V^(-7/3) d²E/dx².
    """
    for _ in range(_MOST_WINDOWS):
        volumes = centre_ang3 * window
        energies = np.array([energy(float(v)) for v in volumes])
        if not np.isfinite(energies).all():
            raise _NoEquilibriumError(f"no finite energies near {centre_ang3:.1f} Å³")
        scale = centre_ang3 ** (-2.0 / 3.0)
        cubic = np.polynomial.Polynomial.fit(volumes ** (-2.0 / 3.0) / scale, energies, 3).convert()
        x = _minimum_near_one(cubic)
        volume = float((x * scale) ** -1.5) if x is not None else math.nan
        if x is not None and volumes[1] <= volume <= volumes[-2]:
            curvature = float(cubic.deriv(2)(x)) / scale**2
            return volume, 4.0 / 9.0 * volume ** (-7.0 / 3.0) * curvature / GPa
        centre_ang3 = float(volumes[int(np.argmin(energies))])
    raise _NoEquilibriumError(f"no smooth minimum near {centre_ang3:.1f} Å³")


def _minimum_near_one(cubic: np.polynomial.Polynomial) -> float | None:
    roots = np.asarray(cubic.deriv().roots(), dtype=np.complex128)
    minima = [
        float(root.real)
        for root in roots
        if abs(root.imag) < 1e-12 and cubic.deriv(2)(root.real) > 0 and 0.5 < root.real < 2.0
    ]
    return min(minima, key=lambda x: abs(x - 1.0), default=None)


def _best_ratio(
    energy: Callable[[float, float | None], float], volume_ang3: float, limits: tuple[float, float]
) -> tuple[float, str]:
    def finite(ratio: float) -> float:
        value = energy(volume_ang3, ratio)
        return value if math.isfinite(value) else 1e6

    best = float(minimize_scalar(finite, bounds=limits, method="bounded", options={"xatol": 1e-3}).x)
    at_the_edge = min(best - limits[0], limits[1] - best) < 0.01
    return best, f"c/a runs to {best:.2f}" if at_the_edge else ""
