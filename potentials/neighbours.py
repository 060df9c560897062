"""Who is near whom: lists with a skin, kept from step to step, rebuilt only for frames that need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList

from potentials.batch import Batch
from potentials.descriptors import PairGraph
from potentials.kernels.pairs import SortedPairs, both_ends, pair_vectors

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

COARSEST_ANG = 1e-3
"""Positions so far from the origin that numbers there have gaps wider than this are refused, Å."""
FARTHEST_ANG = 1e7
"""So are those farther than this, where counting cells would overflow, Å."""
THINNEST_ANG = 0.05
"""A cell thinner than this between two of its faces has more images of an atom than can be counted, Å."""


@dataclass(frozen=True)
class _FrameList:
    """The pairs of one frame, its atoms counted from 0, and the positions they were found at; on the host."""

    pairs: SortedPairs
    positions: Tensor


@dataclass(frozen=True)
class _BatchLists:
    """The lists of all frames end to end, and the batch that they were made for."""

    frames: tuple[_FrameList, ...]
    batch: Batch
    first_pair: Tensor
    centre: Tensor
    neighbour: Tensor
    offset_ang: Tensor


class Excursion:
    """How far atoms have been from where their lists were made; gathered on the device."""

    def __init__(self, limit_ang: float) -> None:
        self._limit_ang = limit_ang
        self._farthest: Tensor | None = None

    def add(self, moved: Tensor) -> None:
        """Take notice of squared distances, shape (n_atoms,), Å²."""
        self._farthest = moved if self._farthest is None else torch.maximum(self._farthest, moved)

    def too_far(self) -> bool:
        """Read from the device whether an atom has ever been farther than half the skin."""
        return self._farthest is not None and not bool((self._farthest <= self._limit_ang**2).all())


class NeighbourList:
    """Pairs of atoms nearer than a cutoff, all images counted, each pair from both ends.

    The list reaches ``skin_ang`` farther than the cutoff. A frame's list is made anew when one of its atoms
    has moved half the skin, or when its cell, periodicity or number of atoms has changed. One object follows
    one batch. Positions may leave the cell; wrapping them back costs a new list.

    Attributes
    ----------
    cutoff_ang, skin_ang
        As given, Å.
    limit_ang
        How far atoms may move before a list has to be made anew, Å.
    n_frames_rebuilt
        How many lists of single frames were made so far.
    """

    def __init__(self, cutoff_ang: float, skin_ang: float = 0.0) -> None:
        if not (cutoff_ang > 0.0 and skin_ang >= 0.0):
            raise ValueError(f"cutoff {cutoff_ang:g} Å with skin {skin_ang:g} Å; expected > 0 and >= 0")
        self.cutoff_ang = cutoff_ang
        self.skin_ang = skin_ang
        self.limit_ang = 0.5 * skin_ang
        self.n_frames_rebuilt = 0
        self._search = NeighborList(cutoff=cutoff_ang + skin_ang, full_list=False)
        self._lists: _BatchLists | None = None
        self._excursion: Excursion | None = None

    def graph(self, batch: Batch) -> PairGraph:
        """Return the pairs of ``batch``; some may be farther than the cutoff by up to twice the skin.

        Raises
        ------
        ValueError
            If a position or cell is not finite, a position is so far from the origin that it is not exact
            (see `COARSEST_ANG`), or a periodic cell is singular or very thin.
        """
        lists = self._current(batch)
        where = (lists.first_pair, lists.centre, lists.neighbour, lists.offset_ang)
        return PairGraph(
            species=batch.species,
            first_pair=lists.first_pair,
            centre=lists.centre,
            neighbour=lists.neighbour,
            vector=pair_vectors(batch.positions, *where),
            frame_index=batch.frame_index,
            n_frames=batch.n_frames,
        )

    def renew(self, batch: Batch, ahead_ang: Tensor | None = None) -> None:
        """Make those lists anew that do not hold any more, or will not when atoms go ``ahead_ang`` farther.

        Parameters
        ----------
        batch
            Frames as they are now.
        ahead_ang
            How far each atom is about to move, shape (n_atoms,), Å.
        """
        self._current(batch, ahead_ang)

    @contextmanager
    def unchecked(self) -> Iterator[Excursion]:
        """Within, `graph` takes the lists as they are and reads nothing back from the device.

        There must be lists, and nothing but positions may change. What is yielded tells afterwards whether
        the lists held all the time; if not, what was computed within is to be thrown away.
        """
        self._excursion = Excursion(self.limit_ang)
        try:
            yield self._excursion
        finally:
            self._excursion = None

    def _current(self, batch: Batch, ahead_ang: Tensor | None = None) -> _BatchLists:
        lists = self._lists
        if lists is None or not _comparable(lists.batch, batch):
            lists = self._rebuilt(batch, (), np.ones(batch.n_frames, dtype=bool))
        elif self._excursion is not None:
            self._excursion.add(_squared_moves(batch.positions, lists.batch.positions))
        else:
            stale = _stale(lists, batch, self.limit_ang, ahead_ang)
            if stale.any():
                lists = self._rebuilt(batch, lists.frames, stale)
        self._lists = lists
        return lists

    def _rebuilt(self, batch: Batch, old: tuple[_FrameList, ...], stale: Booleans) -> _BatchLists:
        places = _by_frame(batch)
        cells, pbc = batch.cells.detach().double().cpu().numpy(), batch.pbc.cpu().numpy()
        frames = tuple(
            self._frame_list(i, places[i], cells[i], pbc[i]) if stale[i] else old[i]
            for i in range(batch.n_frames)
        )
        self.n_frames_rebuilt += int(stale.sum())
        return _joined(frames, batch)

    def _frame_list(self, index: int, places: Tensor, cell: Floats, pbc: Booleans) -> _FrameList:
        positions = places.double().numpy()
        _check_positions(index, positions, places.dtype)
        _check_cell(index, cell, pbc)
        box = np.where(pbc[:, None], cell, 0.0)
        once, shifts = self._search.compute(positions, box, pbc, quantities="PS", copy=False)
        return _FrameList(both_ends(once, shifts, box, len(positions)), places.clone())


def _by_frame(batch: Batch) -> tuple[Tensor, ...]:
    """Return the positions of each frame, on the host."""
    last = torch.cumsum(batch.n_atoms_per_frame, 0)[:-1].cpu()
    return batch.positions.detach().cpu().tensor_split(last)


def _comparable(old: Batch, new: Batch) -> bool:
    """Whether two batches have as many frames and the same kind of numbers in the same place."""
    a, b = old.positions, new.positions
    return old.n_frames == new.n_frames and a.dtype == b.dtype and a.device == b.device


def _squared_moves(positions: Tensor, reference: Tensor) -> Tensor:
    moved: Tensor = (positions - reference).square().sum(1)
    return moved


def _stale(lists: _BatchLists, batch: Batch, limit_ang: float, ahead_ang: Tensor | None) -> Booleans:
    """Say which frames need a new list."""
    old, reference = lists.batch, lists.batch.positions
    changed = old.n_atoms_per_frame != batch.n_atoms_per_frame
    if bool(changed.any()):
        both = zip((frame.positions for frame in lists.frames), _by_frame(batch), strict=True)
        reference = torch.cat([was if was.shape == now.shape else now for was, now in both])
        reference = reference.to(batch.positions.device)
    changed = changed | (old.cells != batch.cells).flatten(1).any(1) | (old.pbc != batch.pbc).any(1)
    limit = limit_ang**2 if ahead_ang is None else (limit_ang - ahead_ang).clamp(min=0.0).square()
    moved = ~(_squared_moves(batch.positions, reference) <= limit)
    n_moved = torch.zeros_like(batch.n_atoms_per_frame).index_add_(0, batch.frame_index, moved.long())
    result: Booleans = (changed | (n_moved > 0)).cpu().numpy()
    return result


def _joined(frames: tuple[_FrameList, ...], batch: Batch) -> _BatchLists:
    lists = [frame.pairs for frame in frames]
    first_atom = np.cumsum([0] + [len(frame.positions) for frame in frames])
    first_pair = np.cumsum([0] + [len(pairs.centre) for pairs in lists])
    like = batch.positions

    def tensor(parts: list[Integers] | list[Floats], dtype: torch.dtype = torch.int64) -> Tensor:
        joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return torch.from_numpy(joined).to(device=like.device, dtype=dtype)

    ends = [pairs.first_pair[1:] + before for pairs, before in zip(lists, first_pair, strict=False)]
    return _BatchLists(
        frames=frames,
        batch=_copy(batch, torch.cat([frame.positions for frame in frames]).to(like.device)),
        first_pair=tensor([np.zeros(1, dtype=np.int64), *ends]),
        centre=tensor([pairs.centre + first for pairs, first in zip(lists, first_atom, strict=False)]),
        neighbour=tensor([pairs.neighbour + first for pairs, first in zip(lists, first_atom, strict=False)]),
        offset_ang=tensor([pairs.offset_ang for pairs in lists], like.dtype),
    )


def _copy(batch: Batch, positions: Tensor) -> Batch:
    """Return a batch that stays as it is if the caller changes ``batch`` in place."""
    return replace(
        batch,
        positions=positions,
        cells=batch.cells.clone(),
        pbc=batch.pbc.clone(),
        n_atoms_per_frame=batch.n_atoms_per_frame.clone(),
    )


def _check_positions(index: int, positions: Floats, dtype: torch.dtype) -> None:
    limit_ang = min(COARSEST_ANG / torch.finfo(dtype).eps, FARTHEST_ANG)
    good = np.abs(positions) <= limit_ang
    if good.all():
        return
    atom = int(np.flatnonzero(~good.all(axis=1))[0])
    found = f"frame {index}: atom {atom} is at {positions[atom]}"
    if not np.isfinite(positions[atom]).all():
        raise ValueError(f"{found}; expected finite coordinates")
    raise ValueError(
        f"{found} Å; expected within {limit_ang:.0f} Å of the origin for {dtype}: wrap it into the cell"
    )


def _check_cell(index: int, cell: Floats, pbc: Booleans) -> None:
    periodic = cell[pbc]
    if not np.isfinite(periodic).all():
        raise ValueError(f"frame {index}: cell {cell.tolist()}; expected finite cell vectors")
    if len(periodic):
        left, stretches, right = np.linalg.svd(periodic, full_matrices=False)
        if stretches[-1] <= 1e-6 * stretches[0]:
            raise ValueError(
                f"frame {index}: periodic cell vectors {periodic.tolist()} are zero or linearly dependent"
            )
        inverse = (right.T / stretches) @ left.T
        thickness_ang = 1.0 / np.linalg.norm(inverse, axis=0).max()
        if thickness_ang < THINNEST_ANG:
            raise ValueError(
                f"frame {index}: cell {periodic.tolist()} is {thickness_ang:.2g} Å thin; "
                f"expected at least {THINNEST_ANG:g} Å between its faces"
            )
