"""Random places in an orthorhombic periodic cell that keep given distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

_BLOCK = 32
_STARTS = 2
_ITERATIONS = 500
_MARGIN = 1.002


def nearest_image(vectors: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shortest periodic image of each vector (exact for orthorhombic cells of any size)."""
    return vectors - sides * np.round(vectors / sides)


def place_in_turn(
    sides: NDArray[np.float64], distances: NDArray[np.float64], rng: np.random.Generator, max_attempts: int
) -> tuple[NDArray[np.float64] | None, int]:
    """Place atoms one after the other, each uniformly at random among the places still free.

    Parameters
    ----------
    sides
        Cell sides, shape (3,), Å. No side may be shorter than a distance on the diagonal.
    distances
        Shortest distance of every pair of atoms, shape (n_atoms, n_atoms), Å.
    rng
        Source of the places.
    max_attempts
        Places tried for one atom before giving up.

    Returns
    -------
    tuple
        Positions, shape (n_atoms, 3), Å, or ``None`` if an atom found no place; and the places tried.
    """
    n_atoms = len(distances)
    positions = np.empty((n_atoms, 3))
    total = 0
    for i in range(n_atoms):
        place, attempts = _free_place(positions[:i], distances[i, :i], sides, rng, max_attempts)
        total += attempts
        if place is None:
            return None, total
        positions[i] = place
    return positions, total


def _free_place(
    placed: NDArray[np.float64],
    distances: NDArray[np.float64],
    sides: NDArray[np.float64],
    rng: np.random.Generator,
    max_attempts: int,
) -> tuple[NDArray[np.float64] | None, int]:
    for tried in range(0, max_attempts, _BLOCK):
        places = rng.uniform(0.0, sides, size=(min(_BLOCK, max_attempts - tried), 3))
        apart = nearest_image(places[:, None] - placed[None], sides)
        free = np.flatnonzero(np.all((apart**2).sum(-1) >= distances**2, axis=1))
        if free.size:
            return places[free[0]], tried + int(free[0]) + 1
    return None, max_attempts


def place_by_relaxation(
    sides: NDArray[np.float64], distances: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Start from random places and push overlapping atoms apart until every distance is kept.

    Minimises the sum of (1 − r/d)² over pairs with r < d by L-BFGS, with d a little above what is asked for.

    Returns
    -------
    NDArray[np.float64] or None
        Positions within the cell, shape (n_atoms, 3), Å; ``None`` if a few starts all ended jammed.
    """
    for _ in range(_STARTS):
        start = rng.uniform(0.0, sides, size=(len(distances), 3))
        pairs = np.triu_indices(len(distances), k=1)
        result = minimize(
            _overlap,
            start.ravel(),
            args=(sides, pairs, _MARGIN * distances[pairs]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "maxfun": _ITERATIONS},
        )
        positions: NDArray[np.float64] = np.mod(result.x.reshape(-1, 3), sides)
        apart = nearest_image(positions[pairs[0]] - positions[pairs[1]], sides)
        if np.all((apart**2).sum(-1) >= distances[pairs] ** 2):
            return positions
    return None


def _overlap(
    flat: NDArray[np.float64],
    sides: NDArray[np.float64],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    diameters: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    positions = flat.reshape(-1, 3)
    apart = nearest_image(positions[pairs[0]] - positions[pairs[1]], sides)
    squared = (apart**2).sum(-1)
    close = np.flatnonzero(squared < diameters**2)
    apart, wanted = apart[close], diameters[close]
    lengths = np.sqrt(np.maximum(squared[close], 1e-12))
    depth = 1.0 - lengths / wanted
    push = (-2.0 * depth / (wanted * lengths))[:, None] * apart
    gradient = np.zeros_like(positions)
    np.add.at(gradient, pairs[0][close], push)
    np.subtract.at(gradient, pairs[1][close], push)
    return float((depth**2).sum()), gradient.ravel()
