"""What every potential offers: batch in; energies, forces and stress, per member, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from potentials.batch import Batch
    from potentials.neighbours import NeighbourList


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of a batch.

    Attributes
    ----------
    member_energies
        Energy of every frame by every member, shape (n_members, n_frames), float64, eV.
    forces
        Mean over members, shape (n_atoms, 3), eV/Å.
    stress
        Mean over members, shape (n_frames, 3, 3), symmetric, eV/Å³, positive under tension (ASE's sign);
        ``None`` where not asked for. Zero for frames that are not periodic in three directions.
    member_forces
        Shape (n_members, n_atoms, 3), eV/Å; ``None`` where not asked for.
    """

    member_energies: Tensor
    forces: Tensor
    stress: Tensor | None = None
    member_forces: Tensor | None = None


class Potential(Protocol):
    """An ensemble of interatomic potentials, evaluated together."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; ``Batch.species`` are indices into it."""

    @property
    def cutoff_ang(self) -> float:
        """Atoms farther apart than this do not see each other, Å."""

    @property
    def n_members(self) -> int:
        """Number of members."""

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type that batches must have."""

    @property
    def device(self) -> torch.device:
        """Where batches must be."""

    def evaluate(
        self,
        batch: Batch,
        *,
        neighbours: NeighbourList | None = None,
        stress: bool = False,
        member_forces: bool = False,
    ) -> Prediction:
        """Return energies and forces, and what else is asked for.

        ``neighbours`` is kept by the caller from step to step, so that the list is rebuilt only for frames
        in which an atom has moved half the skin; without it the list is made for this call alone.
        """
