"""Sums and lists of pairs: compiled where that can be had, else by PyTorch and NumPy."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from potentials.descriptors import PairGraph
from potentials.kernels.library import SUFFIXES, library, library_for


class SortedPairs(NamedTuple):
    """Pairs sorted by centre.

    Attributes
    ----------
    first_pair
        Pairs of centre i are first_pair[i] to first_pair[i + 1], shape (n_atoms + 1,).
    centre, neighbour
        The two atoms of each pair, shape (n_pairs,).
    offset_ang
        From the neighbour to its image that is meant, shape (n_pairs, 3), Å.
    """

    first_pair: NDArray[np.int64]
    centre: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    offset_ang: NDArray[np.float64]


def pair_vectors(
    positions: Tensor, first_pair: Tensor, centre: Tensor, neighbour: Tensor, offset_ang: Tensor
) -> Tensor:
    """Return the vectors from centres to the images of neighbours, shape (n_pairs, 3), Å.

    ``positions`` have shape (n_atoms, 3), the others are a `PairGraph`'s and `SortedPairs`'s.
    """
    compiled = library_for(positions, offset_ang)
    if compiled is None:
        vector = positions.index_select(0, neighbour) - positions.index_select(0, centre)
        return vector + offset_ang
    given = [tensor.contiguous() for tensor in (first_pair, neighbour, positions, offset_ang)]
    vector = torch.empty_like(given[-1])
    getattr(compiled, f"smelter_vectors_{SUFFIXES[positions.dtype]}")(
        ctypes.c_int64(len(positions)), *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (*given, vector))
    )
    return vector


def forces_from_pairs(graph: PairGraph, pair_gradients: Tensor) -> Tensor:
    """Return forces from dE/dvector: shape (n, n_pairs, 3) to (n, n_atoms, 3)."""
    compiled = library_for(pair_gradients)
    if compiled is None:
        return torch.stack([_sums_at(graph, one) for one in pair_gradients])
    first, neighbour = graph.first_pair.contiguous(), graph.neighbour.contiguous()
    gradients = pair_gradients.contiguous()
    forces = gradients.new_empty(len(gradients), graph.n_atoms, 3)
    getattr(compiled, f"smelter_forces_{SUFFIXES[gradients.dtype]}")(
        ctypes.c_int64(graph.n_atoms),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (first, neighbour)),
        ctypes.c_int64(len(gradients)),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (gradients, forces)),
    )
    return forces


def _sums_at(graph: PairGraph, gradient: Tensor) -> Tensor:
    zeros = gradient.new_zeros(graph.n_atoms, 3)  # index_add with a factor or in three dimensions is slow
    return zeros.index_add(0, graph.centre, gradient) - zeros.index_add(0, graph.neighbour, gradient)


def both_ends(
    pairs: NDArray[np.uint64], shifts: NDArray[np.int32], box: NDArray[np.float64], n_atoms: int
) -> SortedPairs:
    """List from both ends what was listed from one.

    Parameters
    ----------
    pairs
        Two atoms each, shape (n, 2).
    shifts
        The cell that the second one's image is in, shape (n, 3).
    box
        Cell vectors as rows, shape (3, 3), Å.
    n_atoms
        Number of atoms.
    """
    compiled, _ = library()
    if compiled is None:
        return _both_ends(pairs, shifts, box, n_atoms)
    n = 2 * len(pairs)
    result = SortedPairs(np.empty(n_atoms + 1, int), np.empty(n, int), np.empty(n, int), np.empty((n, 3)))
    given = [np.ascontiguousarray(array) for array in (pairs, shifts, box)]
    compiled.smelter_both_ends(
        ctypes.c_int64(n_atoms),
        ctypes.c_int64(len(pairs)),
        *(ctypes.c_void_p(array.ctypes.data) for array in given),
        *(ctypes.c_void_p(array.ctypes.data) for array in result),
    )
    return result


def _both_ends(
    pairs: NDArray[np.uint64], shifts: NDArray[np.int32], box: NDArray[np.float64], n_atoms: int
) -> SortedPairs:
    centre = np.concatenate([pairs[:, 0], pairs[:, 1]]).astype(np.int64)
    neighbour = np.concatenate([pairs[:, 1], pairs[:, 0]]).astype(np.int64)
    offset_ang = shifts @ box
    order = np.argsort(centre, kind="stable")
    return SortedPairs(
        first_pair=np.concatenate([[0], np.cumsum(np.bincount(centre, minlength=n_atoms))]),
        centre=centre[order],
        neighbour=neighbour[order],
        offset_ang=np.concatenate([offset_ang, -offset_ang])[order],
    )
