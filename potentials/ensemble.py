"""All members as one potential: energies, mean and member forces, stress."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from potentials import network
from potentials.batch import Batch
from potentials.calculator import EnsembleCalculator
from potentials.config import AniConfig
from potentials.descriptors import Descriptors, DescriptorSpec, PairGraph
from potentials.kernels.pairs import forces_from_pairs
from potentials.kernels.select import KernelName, kernel_for
from potentials.neighbours import NeighbourList
from potentials.protocol import Prediction

ATOMS_AT_ONCE = 256
"""Atoms that pass the networks together on a CPU, so that layers stay in its cache."""


@dataclass(frozen=True)
class AniEnsemble:
    """An ensemble of ANI networks over shared descriptors; a `potentials.protocol.Potential`.

    Attributes
    ----------
    config
        Settings it was made with.
    elements
        Chemical symbols; ``Batch.species`` are indices into it.
    spec
        Constants of the descriptors.
    networks
        All members.
    shift_ev
        Energy of a lone atom of each element, shape (n_elements,) or (n_members, n_elements), float64, eV;
        added outside the networks.
    card
        Anything else worth keeping beside the weights: snapshot, seeds, errors; must be JSON.
    kernel
        How descriptors are computed; ``auto`` takes the fastest that runs on the device.
    """

    config: AniConfig
    elements: tuple[str, ...]
    spec: DescriptorSpec
    networks: network.MemberNetworks
    shift_ev: Tensor
    card: Mapping[str, Any] = field(default_factory=dict)
    kernel: KernelName = "auto"

    @property
    def cutoff_ang(self) -> float:
        """Atoms farther apart than this do not see each other, Å."""
        return self.spec.radial_cutoff_ang

    @property
    def n_members(self) -> int:
        """Number of members."""
        return self.networks.n_members

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of weights and positions; energies are summed in float64 in any case."""
        return self.networks.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shift_ev.device

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> AniEnsemble:
        """Return the same ensemble elsewhere, or in another floating-point type."""
        return replace(
            self,
            networks=self.networks.map(lambda tensor: tensor.to(device=device, dtype=dtype)),
            shift_ev=self.shift_ev.to(device=device),
        )

    def calculator(self) -> EnsembleCalculator:
        """Return an ASE calculator of this ensemble."""
        return EnsembleCalculator(self)

    @torch.no_grad()
    def evaluate(
        self,
        batch: Batch,
        *,
        neighbours: NeighbourList | None = None,
        stress: bool = False,
        member_forces: bool = False,
    ) -> Prediction:
        """Return energies and forces, and what else is asked for.

        Raises
        ------
        ValueError
            If the batch is empty, has another floating-point type, an element index out of range, positions
            that are not finite or too far away, a singular periodic cell, or if ``neighbours`` have a
            shorter cutoff.
        """
        self._check(batch, neighbours)
        graph = (neighbours or NeighbourList(self.cutoff_ang, skin_ang=0.0)).graph(batch)
        descriptors = kernel_for(self.spec, graph.vector.device, self.kernel)(graph)
        atomic, pair_gradients = self._energies_and_pair_gradients(descriptors, batch, member_forces)
        forces = forces_from_pairs(graph, pair_gradients)
        return Prediction(
            member_energies=_frame_sums((atomic.double() + self._shift_of(batch)).mT, batch).mT,
            forces=forces.mean(dim=0),
            stress=stress_from_pairs(graph, pair_gradients.mean(dim=0), batch) if stress else None,
            member_forces=forces if member_forces else None,
        )

    def _shift_of(self, batch: Batch) -> Tensor:
        return self.shift_ev.index_select(-1, batch.species)

    def _energies_and_pair_gradients(
        self, descriptors: Descriptors, batch: Batch, member_forces: bool
    ) -> tuple[Tensor, Tensor]:
        """Return atomic energies by member, and dE/dvector: by member, or of the mean (one reverse pass)."""
        values, species = descriptors.values, batch.species
        chunks = [(values, species)]
        if values.device.type == "cpu" and len(species) > ATOMS_AT_ONCE:
            starts = range(0, len(species), ATOMS_AT_ONCE)
            chunks = [(values[i : i + ATOMS_AT_ONCE], species[i : i + ATOMS_AT_ONCE]) for i in starts]
        if member_forces:
            parts = [network.energies_and_gradient(self.networks, v, s) for v, s in chunks]
        else:
            parts = [network.energies_and_mean_gradient(self.networks, v, s) for v, s in chunks]
        atomic = torch.cat([energies for energies, _ in parts], dim=1)
        gradient = torch.cat([slope for _, slope in parts], dim=-2)
        return atomic, descriptors.vjp(gradient if member_forces else gradient[None])

    def _check(self, batch: Batch, neighbours: NeighbourList | None) -> None:
        if batch.positions.dtype != self.dtype:
            raise ValueError(f"positions are {batch.positions.dtype}, the ensemble is {self.dtype}")
        if batch.n_atoms == 0:
            raise ValueError("the batch has no atoms")
        smallest, largest = _smallest_and_largest(batch.species, batch.species._version)
        if smallest < 0 or largest >= len(self.elements):
            index = smallest if smallest < 0 else largest
            raise ValueError(
                f"element index {index} in the batch; the ensemble knows {', '.join(self.elements)}"
            )
        if neighbours is not None and neighbours.cutoff_ang < self.cutoff_ang:
            reach, need = neighbours.cutoff_ang, self.cutoff_ang
            raise ValueError(f"neighbour list reaches {reach:g} Å, the ensemble needs {need:g} Å")


@functools.lru_cache(maxsize=16)
def _smallest_and_largest(species: Tensor, _version: int) -> tuple[int, int]:
    """Return the range of a tensor; remembered, since a GPU has to be waited for."""
    smallest, largest = torch.stack(species.aminmax()).tolist()
    return int(smallest), int(largest)


def stress_from_pairs(graph: PairGraph, pair_gradient: Tensor, batch: Batch) -> Tensor:
    """Return (1/V) Σ vector ⊗ dE/dvector of each frame, symmetrised, shape (n_frames, 3, 3), eV/Å³.

    Positive under tension (ASE's sign); zero for frames that are not periodic in three directions.
    """
    outer = (graph.vector[:, :, None] * pair_gradient[:, None, :]).flatten(1)
    atomic = outer.new_zeros(graph.n_atoms, 9).index_add_(0, graph.centre, outer)
    virial = _frame_sums(atomic.double(), batch).reshape(-1, 3, 3).to(outer.dtype)
    a, b, c = batch.cells.unbind(dim=1)
    volume = (torch.linalg.cross(a, b) * c).sum(dim=1).abs()
    scale = torch.where(batch.pbc.all(dim=1), 1.0 / volume, torch.zeros_like(volume))
    return 0.5 * (virial + virial.mT) * scale[:, None, None]


def _frame_sums(atomic: Tensor, batch: Batch) -> Tensor:
    """Sum over the atoms of each frame: shape (n_atoms, ...) to (n_frames, ...)."""
    zeros = atomic.new_zeros(batch.n_frames, *atomic.shape[1:])
    return zeros.index_add(0, batch.frame_index, atomic)
