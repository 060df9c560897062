"""Generalised stacking faults of FCC on {111} along <112>: slip of one plane, and then of its neighbours.

The cell has one atom per layer. A fault between two layers moves all layers above it; the one that the cell's
boundary cuts is made by tilting the third cell vector. So there is one fault, or one twin, per cell and no
surface. Layers relax along the normal, and so does the height of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import fcc111
from ase.constraints import FixCartesian
from ase.units import J
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from validation.evaluation import Energy, energy, has_stress, relaxed

N_LAYERS = 12
_MAX_FORCE_EV_PER_ANG = 5e-3
_MAX_MOVE_ANG = 1.0
_HEIGHT_ONLY = (False, False, True, False, False, False)
MJ_PER_M2 = float(1e-3 * J / 1e20)
"""In eV/Å²."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FaultPath:
    """Energy of a fault along its path.

    Attributes
    ----------
    displacements
        In partial Burgers vectors a/6 <112>, shape (n,).
    energies_mj_per_m2, spreads_mj_per_m2
        Per area of the fault above the perfect crystal, and the standard deviation of that over the members
        of an ensemble (NaN where there are none), shape (n,).
    area_per_atom_ang2
        Of an atom in the plane, for `mev_per_atom`.
    """

    displacements: NDArray[np.float64]
    energies_mj_per_m2: NDArray[np.float64]
    spreads_mj_per_m2: NDArray[np.float64]
    area_per_atom_ang2: float

    def at(self, displacement: float) -> tuple[float, float]:
        """Return energy and spread at the point nearest to a displacement, mJ/m²."""
        nearest = int(np.argmin(abs(self.displacements - displacement)))
        return float(self.energies_mj_per_m2[nearest]), float(self.spreads_mj_per_m2[nearest])

    def highest(self, start: float, end: float) -> tuple[float, float]:
        """Return the energy at the top of the barrier between two displacements, and the spread near it."""
        fine = np.linspace(start, end, 501)
        heights = CubicSpline(self.displacements, self.energies_mj_per_m2)(fine)
        top = int(np.argmax(heights))
        return float(heights[top]), self.at(float(fine[top]))[1]

    def mev_per_atom(self, energy_mj_per_m2: float) -> float:
        """Return a fault's energy per atom of its plane, meV."""
        return 1000.0 * energy_mj_per_m2 * MJ_PER_M2 * self.area_per_atom_ang2


def slip_path(calculator: Any, element: str, lattice_ang: float, n_points: int = 11) -> FaultPath:
    """Return the path to the intrinsic stacking fault: one plane slips by a partial Burgers vector.

    Parameters
    ----------
    n_points
        From nothing to the whole vector.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or a faulted crystal falls apart.
    """
    along = np.linspace(0.0, 1.0, n_points)
    return _path(calculator, element, lattice_ang, along, [(u,) for u in along])


def twinning_path(calculator: Any, element: str, lattice_ang: float, n_points: int = 11) -> FaultPath:
    """Return the path from the intrinsic (1) over the extrinsic fault (2) to a twin of three layers (3).

    The planes next to the slipped one slip in turn; the last point holds two twin boundaries.

    Parameters
    ----------
    n_points
        Of each slip.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or a faulted crystal falls apart.
    """
    step = np.linspace(0.0, 1.0, n_points)
    second = [(1.0, u) for u in step]
    third = [(1.0, 1.0, u) for u in step[1:]]
    along = np.concatenate([1.0 + step, 2.0 + step[1:]])
    return _path(calculator, element, lattice_ang, along, [*second, *third])


def faulted(element: str, lattice_ang: float, slips: Sequence[float], n_layers: int = N_LAYERS) -> Atoms:
    """Return a cell of FCC with neighbouring {111} planes slipped.

    Parameters
    ----------
    slips
        Of each plane from the cell's boundary upward, in partial Burgers vectors; a whole one makes a fault
        of stacking, in the direction in which no layer comes to lie on top of another.
    n_layers
        A multiple of 3.
    """
    frame = fcc111(element, (1, 1, n_layers), a=lattice_ang, periodic=True)
    vectors = frame.cell.array
    partial = _shortest_image(frame.positions[1] - frame.positions[0], vectors)
    for plane, slip in enumerate(slips):
        frame.positions[plane:] += slip * partial
        vectors[2] += slip * partial
    frame.set_cell(vectors)
    return frame


def _shortest_image(vector: Floats, vectors: Floats) -> Floats:
    """Return the lateral part of a vector, made as short as lattice vectors of the plane can make it."""
    lateral = vector * (1.0, 1.0, 0.0)
    images = [lateral + i * vectors[0] + j * vectors[1] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return min(images, key=lambda image: float(np.linalg.norm(image)))


def _path(
    calculator: Any,
    element: str,
    lattice_ang: float,
    displacements: Floats,
    slips: Sequence[tuple[float, ...]],
) -> FaultPath:
    perfect = faulted(element, lattice_ang, ())
    area = float(perfect.get_volume() / perfect.cell.array[2, 2])
    mask = _HEIGHT_ONLY if has_stress(calculator, perfect) else None

    def relaxed_energy(frame: Atoms) -> Energy:
        frame.set_constraint(FixCartesian(range(len(frame)), mask=(True, True, False)))
        return energy(
            calculator,
            relaxed(
                calculator,
                frame,
                max_force_ev_per_ang=_MAX_FORCE_EV_PER_ANG,
                max_move_ang=_MAX_MOVE_ANG,
                cell_mask=mask,
            ),
        )

    rest = relaxed_energy(perfect)
    found = [relaxed_energy(faulted(element, lattice_ang, slip)) - rest for slip in slips]
    return FaultPath(
        displacements,
        np.array([point.ev / area / MJ_PER_M2 for point in found]),
        np.array([point.spread_ev / area / MJ_PER_M2 for point in found]),
        area,
    )
