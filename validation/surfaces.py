"""Energies of low-index surfaces of FCC, relaxed, from slabs with two of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from ase.build import bulk, fcc100, fcc110, fcc111
from ase.units import J

from validation.evaluation import energy, relaxed

J_PER_M2 = J / 1e20
"""In eV/Å²."""

THICKNESS_ANG = 20.0
VACUUM_ANG = 16.0
_MAX_FORCE_EV_PER_ANG = 5e-3
_MAX_MOVE_ANG = 1.0

_SLABS: Mapping[str, tuple[Callable[..., Atoms], float]] = {
    "100": (fcc100, 0.5),
    "110": (fcc110, 0.5 / math.sqrt(2.0)),
    "111": (fcc111, 1.0 / math.sqrt(3.0)),
}
"""Builder, and distance of layers in lattice constants."""

FACETS = tuple(_SLABS)


@dataclass(frozen=True)
class Surface:
    """Energy of one surface.

    Attributes
    ----------
    energy_j_per_m2, spread_j_per_m2
        Per area, and the standard deviation of that over the members of an ensemble; NaN where there are
        none.
    n_layers
        Of the slab.
    """

    energy_j_per_m2: float
    spread_j_per_m2: float
    n_layers: int


def slab(element: str, lattice_ang: float, facet: str) -> Atoms:
    """Return a slab of one atom per layer, periodic also across the vacuum."""
    builder, spacing = _SLABS[facet]
    n_layers = math.ceil(THICKNESS_ANG / (spacing * lattice_ang)) + 1
    frame = builder(element, (1, 1, n_layers), a=lattice_ang, vacuum=VACUUM_ANG / 2.0)
    frame.pbc = True
    return frame


def surface(calculator: Any, element: str, lattice_ang: float, facet: str) -> Surface:
    """Return the energy of a relaxed surface; ``facet`` is one of `FACETS`.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or the slab does not hold together.
    """
    perfect = energy(calculator, bulk(element, "fcc", a=lattice_ang))
    frame = slab(element, lattice_ang, facet)
    after = relaxed(calculator, frame, max_force_ev_per_ang=_MAX_FORCE_EV_PER_ANG, max_move_ang=_MAX_MOVE_ANG)
    excess = energy(calculator, after) - float(len(frame)) * perfect
    area = float(2.0 * frame.get_volume() / frame.cell.array[2, 2])
    return Surface(excess.ev / area / J_PER_M2, excess.spread_ev / area / J_PER_M2, len(frame))
