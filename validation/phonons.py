"""Phonon bands of FCC along the standard path, by finite displacements with phonopy (an optional extra)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from validation.evaluation import NoPropertyError, foreign_code

PATH = "GXWKGL"
_POINTS = 120
_DISPLACEMENT_ANG = 0.01
_N_REPEAT = 4  # conventional cells: 256 atoms, beyond twice the reach of most potentials
_IMAGINARY_THZ = -0.1  # what is above is noise of the forces near Γ


@dataclass(frozen=True)
class PhononBands:
    """Frequencies along a path through the Brillouin zone.

    Attributes
    ----------
    distances
        Along the path, 1/Å, shape (n,).
    frequencies_thz
        Of the three branches in ascending order, negative where imaginary, shape (n, 3).
    ticks
        Where the named points lie.
    at
        Frequencies at each named point, ascending, shape (3,).
    """

    distances: NDArray[np.float64]
    frequencies_thz: NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...]
    at: dict[str, NDArray[np.float64]]

    @property
    def lowest_thz(self) -> float:
        """The lowest frequency; negative where imaginary."""
        return float(self.frequencies_thz.min())

    @property
    def unstable(self) -> bool:
        """Whether a vibration grows instead of swinging back."""
        return self.lowest_thz < _IMAGINARY_THZ


def phonon_bands(calculator: Any, element: str, lattice_ang: float) -> PhononBands:
    """Return the phonon bands of FCC.

    Raises
    ------
    NoPropertyError
        If phonopy is not installed, or the calculator fails.
    """
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise NoPropertyError("phonopy is not installed: pip install 'smelter[validation]'") from None
    primitive = bulk(element, "fcc", a=lattice_ang)
    cubic = bulk(element, "fcc", a=lattice_ang, cubic=True)
    cell = PhonopyAtoms(
        symbols=list(cubic.symbols), cell=cubic.cell.array, scaled_positions=cubic.get_scaled_positions()
    )
    phonons = Phonopy(cell, [_N_REPEAT] * 3, primitive_matrix="F")
    phonons.generate_displacements(distance=_DISPLACEMENT_ANG)
    phonons.forces = [_forces(calculator, displaced) for displaced in phonons.supercells_with_displacements]
    phonons.produce_force_constants()
    path = primitive.cell.bandpath(PATH, npoints=_POINTS)
    distances, places, labels = path.get_linear_kpoint_axis()
    named = {name: path.special_points[name] for name in dict.fromkeys(PATH)}
    return PhononBands(
        np.asarray(distances, dtype=np.float64),
        _frequencies(phonons, path.kpts),
        tuple((float(x), "Γ" if name == "G" else name) for x, name in zip(places, labels, strict=True)),
        {name: _frequencies(phonons, [point])[0] for name, point in named.items()},
    )


def _frequencies(phonons: Any, points: Any) -> NDArray[np.float64]:
    phonons.run_qpoints(points)
    return np.asarray(phonons.qpoints.frequencies, dtype=np.float64)


def _forces(calculator: Any, displaced: Any) -> NDArray[np.float64]:
    frame = Atoms(
        displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True
    )
    with foreign_code():
        frame.calc = calculator
        forces = np.asarray(frame.get_forces(), dtype=np.float64)
    if not np.isfinite(forces).all():
        raise NoPropertyError("the forces are not finite")
    return forces
