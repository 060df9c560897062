"""The Bain path: from BCC to FCC by stretching one axis at constant volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.crystal_cells import TETRAGONAL
from validation.evaluation import energy

BCC, FCC = 1.0, math.sqrt(2.0)
"""Their c/a as body-centred tetragonal cells."""

_C_OVER_A = np.unique(np.concatenate([np.linspace(0.9, 1.6, 29), [FCC]]))


@dataclass(frozen=True)
class BainPath:
    """Energy along the path, at the volume per atom of FCC.

    Attributes
    ----------
    c_over_a
        Of the body-centred tetragonal cell, shape (n,): 1 is BCC, √2 is FCC.
    energies_mev, spreads_mev
        Energy per atom above FCC, and the standard deviation of this difference over the members of an
        ensemble (NaN where there are none), shape (n,).
    """

    c_over_a: NDArray[np.float64]
    energies_mev: NDArray[np.float64]
    spreads_mev: NDArray[np.float64]

    @property
    def bcc_mev(self) -> float:
        """Energy per atom of BCC at the volume of FCC, above FCC."""
        return float(self.energies_mev[np.argmin(abs(self.c_over_a - BCC))])

    @property
    def lowest_c_over_a(self) -> float:
        """Where on the path the energy is least."""
        return float(self.c_over_a[np.argmin(self.energies_mev)])


def bain_path(calculator: Any, element: str, volume_ang3: float) -> BainPath:
    """Return the energy along the Bain path at a volume per atom in Å³.

    Raises
    ------
    NoPropertyError
        If a cell on it has no finite energy.
    """
    found = [energy(calculator, TETRAGONAL.cell((element,), volume_ang3, float(r))) for r in _C_OVER_A]
    fcc = found[int(np.argmin(abs(_C_OVER_A - FCC)))]
    above = [point - fcc for point in found]
    return BainPath(
        _C_OVER_A,
        np.array([1000.0 * point.ev for point in above]),
        np.array([1000.0 * point.spread_ev for point in above]),
    )
