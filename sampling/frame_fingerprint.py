"""A few numbers that tell frames apart, the same however a frame is turned, shifted or its atoms ordered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from potentials.batch import Batch
from potentials.neighbours import NeighbourList

_REACH_ANG = 6.0
_N_SHELLS = 24
_FIRST_SHELL_ANG = 1.0


def frame_fingerprint(frame: Atoms, elements: Sequence[str]) -> NDArray[np.float64]:
    """Return mean and spread over atoms of how many neighbours of each element stand in each soft shell.

    Shells are Gaussians spaced by their width and fade out smoothly, so that a small displacement makes a
    small change. All images count; a repeated cell has the fingerprint of the cell.

    Returns
    -------
    NDArray[np.float64]
        Shape (2 × n_elements² × 24,).
    """
    n_elements = len(elements)
    graph = NeighbourList(_REACH_ANG).graph(Batch.from_frames([frame], elements, dtype=torch.float64))
    species, i, j = graph.species.numpy(), graph.centre.numpy(), graph.neighbour.numpy()
    distances = np.minimum(graph.vector.norm(dim=1).numpy(), _REACH_ANG)
    centres, width = np.linspace(_FIRST_SHELL_ANG, _REACH_ANG, _N_SHELLS, retstep=True)
    fade = 0.5 * (1 + np.cos(np.pi * distances / _REACH_ANG))
    shells = fade[:, None] * np.exp(-0.5 * ((distances[:, None] - centres) / width) ** 2)
    per_atom = np.zeros((len(frame) * n_elements, _N_SHELLS))
    np.add.at(per_atom, i * n_elements + species[j], shells)
    per_atom = per_atom.reshape(len(frame), -1)
    features = np.zeros((2, n_elements, n_elements * _N_SHELLS))
    for k in np.unique(species):
        of_kind = per_atom[species == k]
        share = len(of_kind) / len(frame)
        features[:, k] = share * of_kind.mean(axis=0), share * of_kind.std(axis=0)
    return features.ravel()


def relative_difference(first: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far ``others`` (n, n_features) are from ``first``, relative to the larger norm."""
    apart = np.linalg.norm(others - first, axis=1)
    size = np.maximum(np.linalg.norm(others, axis=1), np.linalg.norm(first))
    return np.asarray(np.divide(apart, size, out=np.zeros_like(apart), where=size > 0))
