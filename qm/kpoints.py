"""Meshes of k-points of equal spacing in cells of any size."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

_ROUNDING = 1e-6


def mesh(frame: Atoms, spacing_per_ang: float) -> tuple[int, int, int]:
    """Return how many k-points lie along each reciprocal vector.

    The least numbers with neighbours no farther apart than ``spacing_per_ang``, 1/Å, the factor 2π counted
    (VASP's KSPACING): n = ⌈2π |b| / spacing⌉. One along directions that are not periodic.
    """
    counts = np.maximum(1, np.ceil(_lengths(frame) / spacing_per_ang - _ROUNDING)).astype(int)
    first, second, third = (int(n) if periodic else 1 for n, periodic in zip(counts, frame.pbc, strict=True))
    return first, second, third


def finer_spacing(frame: Atoms, spacing_per_ang: float, factor: float) -> float:
    """Return ``factor`` times the widest distance of neighbours in a frame's mesh, 1/Å.

    That distance is mostly below ``spacing_per_ang``, whose mesh is meant. Where ``factor`` is below 1 the
    mesh of what is returned has more points, also where the other is Γ alone.
    """
    counts = mesh(frame, spacing_per_ang)
    widest = (_lengths(frame) / counts)[np.asarray(frame.pbc)].max(initial=0.0)
    return factor * (float(widest) or spacing_per_ang)


def _lengths(frame: Atoms) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = 2.0 * np.pi * np.linalg.norm(frame.cell.reciprocal(), axis=1)
    return lengths


def mesh_points(counts: tuple[int, int, int], shift: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return all points of a mesh, in units of the reciprocal vectors, shape (n_points, 3), in [-1/2, 1/2).

    ``shift`` is 1 along vectors where the mesh is shifted by half a step, 0 where it holds Γ.
    """
    steps = [(np.arange(n) + 0.5 * s) / n for n, s in zip(counts, shift, strict=True)]
    points = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    wrapped: NDArray[np.float64] = (points + 0.5) % 1.0 - 0.5
    return wrapped
