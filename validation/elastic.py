"""Elastic constants of cubic crystals, from the stress that any ASE calculator gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray

STRAIN = 1e-4
"""Small, because trained surfaces are rough: strains of a percent change C12 by a tenth."""


@dataclass(frozen=True)
class CubicConstants:
    """C11, C12 and C44, GPa; NaN where the calculator fails or gives no stress."""

    c11_gpa: float = math.nan
    c12_gpa: float = math.nan
    c44_gpa: float = math.nan


def cubic_constants(calculator: Any, frame: Atoms, strain: float = STRAIN) -> CubicConstants:
    """Return the elastic constants of a cubic crystal as slopes of its stress in strain.

    They are second derivatives of the energy only where the stress is zero: give the crystal at its
    equilibrium. Atoms keep their fractional coordinates, which is right where each is a centre of inversion.

    Parameters
    ----------
    frame
        Any periodic cell of the crystal, its cubic axes along x, y and z.
    strain
        Of the central differences; components ε_xx, and ε_yz = ε_zy.
    """
    try:
        stretch = _stress_slope(calculator, frame, (0, 0), strain)
        shear = _stress_slope(calculator, frame, (1, 2), strain)
    except (ValueError, RuntimeError, ArithmeticError):  # of which a missing stress is one
        return CubicConstants()
    c12 = 0.5 * (stretch[1, 1] + stretch[2, 2])
    return CubicConstants(float(stretch[0, 0]), float(c12), float(shear[1, 2]) / 2.0)


def _stress_slope(
    calculator: Any, frame: Atoms, component: tuple[int, int], strain: float
) -> NDArray[np.float64]:
    """Return ∂σ/∂ε for one symmetric component of the strain, shape (3, 3), GPa."""
    ends = []
    for sign in (1.0, -1.0):
        deformation = np.eye(3)
        deformation[component] += sign * strain
        deformation[component[::-1]] = deformation[component]
        strained = frame.copy()
        strained.set_cell(frame.cell.array @ deformation, scale_atoms=True)
        strained.calc = calculator
        ends.append(strained.get_stress(voigt=False))
    slope: NDArray[np.float64] = (ends[0] - ends[1]) / (2.0 * strain) / GPa
    return slope
