"""Potentials simple enough that disagreement, distributions and blow-ups are known in advance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.batch import Batch
from potentials.neighbours import NeighbourList
from potentials.protocol import Prediction

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ToyMorse:
    """Girifalco & Weizer's (1959) Morse aluminium, times one factor per member.

    Member m says (1 + deviation_m) times the energy and forces of the potential, so the spreads are those of
    the deviations times |E| and |f|.
    """

    deviations: tuple[float, ...] = (-0.01, 0.01)
    elements: tuple[str, ...] = ("Al",)
    cutoff_ang: float = 6.0
    dtype: torch.dtype = torch.float64
    device: torch.device = CPU

    @property
    def n_members(self) -> int:
        return len(self.deviations)

    def evaluate(
        self,
        batch: Batch,
        *,
        neighbours: NeighbourList | None = None,
        stress: bool = False,
        member_forces: bool = False,
    ) -> Prediction:
        graph = (neighbours or NeighbourList(self.cutoff_ang)).graph(batch)
        distance = graph.vector.norm(dim=1)
        energy, slope = _morse(distance, self.cutoff_ang)
        energies = distance.new_zeros(batch.n_frames, dtype=torch.float64)
        energies = energies.index_add(0, batch.frame_index[graph.centre], 0.5 * energy.double())
        pull = (slope / distance)[:, None] * graph.vector
        forces = torch.zeros_like(batch.positions).index_add(0, graph.centre, pull)
        factors = 1 + torch.tensor(self.deviations, dtype=torch.float64)
        member = factors.to(forces.dtype)[:, None, None] * forces
        return Prediction(
            member_energies=factors[:, None] * energies,
            forces=factors.mean().to(forces.dtype) * forces,
            member_forces=member if member_forces else None,
        )


def _morse(r: Tensor, cutoff: float, depth: float = 0.2703, a: float = 1.1646, r0: float = 3.253):
    well = torch.exp(-a * (r - r0))
    value, slope = depth * (well**2 - 2 * well), 2 * a * depth * (well - well**2)
    x = (r / cutoff).clamp(max=1.0)
    fade, fade_slope = (1 - x**2) ** 3, -6 * x * (1 - x**2) ** 2 / cutoff
    return value * fade, slope * fade + value * fade_slope


@dataclass(frozen=True)
class ToyWells:
    """Every atom in a harmonic well of its own; two members that agree."""

    centres: Tensor
    stiffness_ev_per_ang2: float = 2.0
    elements: tuple[str, ...] = ("Al",)
    cutoff_ang: float = 3.0
    n_members: int = 2
    device: torch.device = CPU

    @property
    def dtype(self) -> torch.dtype:
        return self.centres.dtype

    def evaluate(self, batch, *, neighbours=None, stress=False, member_forces=False) -> Prediction:
        away = batch.positions - self.centres
        forces = -self.stiffness_ev_per_ang2 * away
        atomic = 0.5 * self.stiffness_ev_per_ang2 * away.double().square().sum(dim=1)
        energies = torch.zeros(batch.n_frames, dtype=torch.float64).index_add(0, batch.frame_index, atomic)
        return Prediction(
            member_energies=energies.repeat(2, 1),
            forces=forces,
            member_forces=forces.repeat(2, 1, 1) if member_forces else None,
        )
