"""Names of all quantities that the quick suite may give, so that a misspelt one is found at the launch."""

from __future__ import annotations

from validation.crystal_cells import STRUCTURES
from validation.surfaces import FACETS

_OF_A_CRYSTAL = ("volume", "lattice constant", "c/a", "energy above FCC", "bulk modulus", "dB/dp")
_ELASTIC = ("C11", "C12", "C44", "bulk modulus from the elastic constants")

QUICK_QUANTITIES = frozenset(
    {
        *(f"{structure.name}: {name}" for structure in STRUCTURES for name in _OF_A_CRYSTAL),
        *(f"FCC: {name}" for name in _ELASTIC),
        "Bain path: BCC above FCC",
        "Bain path: c/a of the lowest",
        "FCC: vacancy formation energy",
        *(f"FCC: ({facet}) surface energy" for facet in FACETS),
    }
)
"""A superset: c/a, for instance, is only of crystals in which it is free."""
