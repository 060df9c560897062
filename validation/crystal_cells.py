"""Unit cells of common crystals, of any element or pair of elements, at a given volume per atom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, reference_states

IDEAL_HCP = math.sqrt(8.0 / 3.0)


@dataclass(frozen=True)
class Structure:
    """A crystal structure.

    Attributes
    ----------
    name
        As people call it.
    vectors
        Primitive cell vectors as rows, in units of the lattice constant; c along z.
    places
        Fractional coordinates of the atoms.
    kinds
        Index of each atom's element.
    relative_volume
        Typical volume per atom against FCC: where a search for the equilibrium begins.
    c_over_a
        Ideal ratio where it is free, else ``None``.
    c_over_a_range
        Between which it is sought.
    """

    name: str
    vectors: tuple[tuple[float, float, float], ...]
    places: tuple[tuple[float, float, float], ...]
    kinds: tuple[int, ...]
    relative_volume: float = 1.0
    c_over_a: float | None = None
    c_over_a_range: tuple[float, float] = (1.0, 1.0)

    def lattice_ang(self, volume_ang3: float, c_over_a: float | None = None) -> float:
        """Return the lattice constant a, Å, at a volume per atom, Å³."""
        cell = abs(float(np.linalg.det(self._vectors(c_over_a))))
        return float((volume_ang3 * len(self.places) / cell) ** (1.0 / 3.0))

    def cell(self, elements: Sequence[str], volume_ang3: float, c_over_a: float | None = None) -> Atoms:
        """Return the primitive cell, periodic, at a volume per atom in Å³."""
        vectors = self._vectors(c_over_a) * self.lattice_ang(volume_ang3, c_over_a)
        symbols = [elements[kind] for kind in self.kinds]
        return Atoms(symbols, scaled_positions=self.places, cell=vectors, pbc=True)

    def formula(self, elements: Sequence[str]) -> str:
        """Return its chemical formula, such as Cu3Al."""
        counts = [self.kinds.count(kind) for kind in range(max(self.kinds) + 1)]
        counts = [count // math.gcd(*counts) for count in counts]
        order = sorted(range(len(counts)), key=lambda kind: -counts[kind])
        return "".join(f"{elements[k]}{counts[k] if counts[k] > 1 else ''}" for k in order)

    def _vectors(self, c_over_a: float | None) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        vectors = np.array(self.vectors, dtype=np.float64)
        if self.c_over_a is not None:
            vectors[:, 2] *= self.c_over_a if c_over_a is None else c_over_a
        return vectors


_O = (0.0, 0.0, 0.0)
_CUBE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FACES = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_CENTRE = (0.5, 0.5, 0.5)
_BODY = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_HEXAGON = ((1.0, 0.0, 0.0), (-0.5, math.sqrt(0.75), 0.0), (0.0, 0.0, 1.0))

STRUCTURES = (
    Structure("FCC", _FACES, (_O,), (0,)),
    Structure("HCP", _HEXAGON, (_O, (1 / 3, 2 / 3, 0.5)), (0, 0), 1.0, IDEAL_HCP, (1.4, 1.9)),
    Structure("BCC", _BODY, (_O,), (0,), 1.02),
    Structure("SC", _CUBE, (_O,), (0,), 1.2),
    Structure("diamond", _FACES, (_O, (0.25, 0.25, 0.25)), (0, 0), 1.65),
)
"""The five crystals of one element whose cold curves a campaign is judged by."""

FURTHER_STRUCTURES = (
    Structure(
        "beta-Sn",
        _BODY,
        (_O, (0.75, 0.25, 0.5)),
        (0, 0),
        1.2,
        0.546,
        (0.4, 0.75),
    ),
    Structure(
        "A15",
        _CUBE,
        (
            _O,
            _CENTRE,
            *((x, 0.5, 0.0) for x in (0.25, 0.75)),
            *((0.0, y, 0.5) for y in (0.25, 0.75)),
            *((0.5, 0.0, z) for z in (0.25, 0.75)),
        ),
        (0,) * 8,
        1.02,
    ),
    Structure(
        "omega",
        _HEXAGON,
        (_O, (1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)),
        (0, 0, 0),
        1.03,
        math.sqrt(3.0 / 8.0),
        (0.5, 0.75),
    ),
)
"""Open and complex crystals of one element; alpha-tin is diamond, among the five above."""

TETRAGONAL = Structure("tetragonal", _BODY, (_O,), (0,), 1.0, 1.0, (0.9, 1.6))
"""Body-centred tetragonal: BCC at a c/a of 1, FCC at √2."""

_TETRAGON = ((0.5, -0.5, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0))
ALLOYS = (
    Structure("B2", _CUBE, (_O, _CENTRE), (0, 1)),
    Structure("L1_0", _TETRAGON, (_O, _CENTRE), (0, 1), 1.0, 1.0, (0.85, 1.15)),
    Structure("L1_2", _CUBE, (_O, *_FACES), (1, 0, 0, 0)),
    Structure("L1_2", _CUBE, (_O, *_FACES), (0, 1, 1, 1)),
)
"""Ordered compounds of two elements."""


def typical_volume_ang3(element: str) -> float:
    """Return a volume per atom near that of the element's close-packed crystal, Å³; a start for searches."""
    state = reference_states[atomic_numbers[element]] or {}
    a, symmetry = state.get("a", 0.0), state.get("symmetry", "")
    volumes = {
        "fcc": a**3 / 4.0,
        "bcc": a**3 / 2.0 / 1.02,
        "sc": a**3 / 1.2,
        "diamond": a**3 / 8.0 / 1.65,
        "hcp": math.sqrt(0.75) * a**3 * state.get("c/a", IDEAL_HCP) / 2.0,
    }
    if volumes.get(symmetry):
        return float(volumes[symmetry])
    return float((2.1 * covalent_radii[atomic_numbers[element]]) ** 3 / math.sqrt(2.0))
