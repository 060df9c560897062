"""Several frames of different sizes and cells, laid end to end, as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Frames laid end to end.

    Attributes
    ----------
    positions
        Cartesian coordinates of all atoms, shape (n_atoms, 3), Å; not wrapped.
    cells
        Cell vectors as rows, shape (n_frames, 3, 3), Å.
    pbc
        Which cell vectors repeat, shape (n_frames, 3), bool.
    species
        Index of each atom's element in the potential's ``elements``, shape (n_atoms,), int64.
    frame_index
        The frame each atom belongs to, ascending, shape (n_atoms,), int64.
    n_atoms_per_frame
        Shape (n_frames,), int64.
    """

    positions: Tensor
    cells: Tensor
    pbc: Tensor
    species: Tensor
    frame_index: Tensor
    n_atoms_per_frame: Tensor

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.cells.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all frames together."""
        return int(self.positions.shape[0])

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[Atoms],
        elements: Sequence[str],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Lay ``frames`` end to end.

        Raises
        ------
        ValueError
            If there is no frame, a frame has no atoms, or an element is not in ``elements``.
        """
        if not frames:
            raise ValueError("a batch needs at least one frame")
        index = {symbol: i for i, symbol in enumerate(elements)}
        counts = [len(frame) for frame in frames]
        if 0 in counts:
            raise ValueError(f"frame {counts.index(0)} has no atoms")
        unknown = sorted({s for frame in frames for s in frame.get_chemical_symbols()} - index.keys())
        if unknown:
            raise ValueError(
                f"frames contain {', '.join(unknown)}; the potential knows {', '.join(elements)}"
            )
        species = [index[s] for frame in frames for s in frame.get_chemical_symbols()]
        n_atoms_per_frame = torch.tensor(counts, dtype=torch.int64)
        return cls(
            positions=torch.as_tensor(np.concatenate([f.positions for f in frames]), dtype=dtype).to(device),
            cells=torch.as_tensor(np.stack([f.cell.array for f in frames]), dtype=dtype).to(device),
            pbc=torch.as_tensor(np.stack([f.pbc for f in frames])).to(device),
            species=torch.tensor(species, dtype=torch.int64).to(device),
            frame_index=torch.repeat_interleave(torch.arange(len(frames)), n_atoms_per_frame).to(device),
            n_atoms_per_frame=n_atoms_per_frame.to(device),
        )
