"""Frames that no disordered trajectory is like: crystals, surfaces and defects, rattled and strained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ase import Atoms
from ase.build import bulk

from validation.crystal_cells import FURTHER_STRUCTURES, STRUCTURES, Structure, typical_volume_ang3
from validation.surfaces import FACETS, slab

CLOSE_PACKED = tuple(s for s in STRUCTURES if s.name in {"FCC", "HCP", "BCC"})
OPEN = (*(s for s in STRUCTURES if s.name in {"SC", "diamond"}), *FURTHER_STRUCTURES)

_MIN_ATOMS = 24
_RELATIVE_VOLUME = (0.9, 1.12)
_MAX_STRAIN = 0.03
_RATTLE_ANG = (0.02, 0.15)

Make = Callable[[str, np.random.Generator], Atoms]


def _crystal(structures: tuple[Structure, ...]) -> Make:
    def make(element: str, rng: np.random.Generator) -> Atoms:
        structure = structures[rng.integers(len(structures))]
        volume = typical_volume_ang3(element) * structure.relative_volume * rng.uniform(*_RELATIVE_VOLUME)
        cell = structure.cell((element,), volume)
        while len(cell) < _MIN_ATOMS:
            cell = cell.repeat(tuple(2 if i == int(np.argmin(cell.cell.lengths())) else 1 for i in range(3)))
        return cell

    return make


def _surface(element: str, rng: np.random.Generator) -> Atoms:
    return slab(element, _lattice_ang(element), FACETS[rng.integers(len(FACETS))]).repeat((2, 2, 1))


def _point_defect(element: str, rng: np.random.Generator) -> Atoms:
    lattice_ang = _lattice_ang(element)
    frame = bulk(element, "fcc", a=lattice_ang, cubic=True).repeat((2, 2, 3))
    site = int(rng.integers(len(frame)))
    if rng.random() < 0.5:
        del frame[site]
        return frame
    half = np.array([0.29 * lattice_ang, 0.0, 0.0])
    middle = frame.positions[site].copy()
    frame.positions[site] = middle + half
    frame += Atoms(element, positions=[middle - half])
    return frame


def _lattice_ang(element: str) -> float:
    return float((4.0 * typical_volume_ang3(element)) ** (1.0 / 3.0))


def _either(element: str, rng: np.random.Generator) -> Atoms:
    return (_surface if rng.random() < 0.5 else _point_defect)(element, rng)


KINDS: dict[str, Make] = {
    "close-packed crystals": _crystal(CLOSE_PACKED),
    "open crystals": _crystal(OPEN),
    "surfaces and defects": _either,
}
"""What is outside of the distribution of disordered trajectories, and how one frame of it is made."""


def frames_of(kind: str, element: str, seed: int) -> Iterator[Atoms]:
    """Yield frames of a kind without end, each under a strain of its own and with every atom displaced."""
    rng = np.random.default_rng([seed, *kind.encode()])
    while True:
        frame = KINDS[kind](element, rng)
        strain = rng.uniform(-_MAX_STRAIN, _MAX_STRAIN, (3, 3))
        frame.set_cell(frame.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        frame.positions += rng.normal(scale=rng.uniform(*_RATTLE_ANG), size=frame.positions.shape)
        frame.wrap()
        yield frame
