"""Meshes of k-points of equal spacing in cells of any size."""

from __future__ import annotations

import numpy as np
from ase import Atoms

_ROUNDING = 1e-6


def mesh(frame: Atoms, spacing_per_ang: float) -> tuple[int, int, int]:
    """Return how many k-points lie along each reciprocal vector.

    The least numbers with neighbours no farther apart than ``spacing_per_ang``, 1/Å, the factor 2π counted
    (VASP's KSPACING): n = ⌈2π |b| / spacing⌉. One along directions that are not periodic.
    """
    lengths = 2.0 * np.pi * np.linalg.norm(frame.cell.reciprocal(), axis=1)
    counts = np.maximum(1, np.ceil(lengths / spacing_per_ang - _ROUNDING)).astype(int)
    first, second, third = (int(n) if periodic else 1 for n, periodic in zip(counts, frame.pbc, strict=True))
    return first, second, third
