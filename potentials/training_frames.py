"""Labelled frames made ready for training: neighbours and descriptors found once, joined into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from potentials.batch import Batch
from potentials.descriptors import DescriptorKernel, Descriptors, DescriptorSpec, PairGraph
from potentials.neighbours import NeighbourList
from potentials.training_set import TrainingSet


@dataclass(frozen=True)
class ReadyFrame:
    """One labelled frame and its pairs.

    Attributes
    ----------
    graph
        Its pairs, within the cutoff.
    element_counts
        Atoms of each element, shape (1, n_elements), float64.
    energy_ev
        Shape (1,), float64.
    forces
        Shape (n_atoms, 3), eV/Å.
    stress
        Shape (1, 3, 3), eV/Å³; zero where there is none.
    inverse_volume
        Shape (1,), 1/Å³; zero where there is no stress.
    """

    graph: PairGraph
    element_counts: Tensor
    energy_ev: Tensor
    forces: Tensor
    stress: Tensor
    inverse_volume: Tensor


@dataclass(frozen=True)
class ReadyBatch:
    """Several frames as one; the fields are those of `ReadyFrame`, joined."""

    graph: PairGraph
    descriptors: Descriptors
    element_counts: Tensor
    energies_ev: Tensor
    forces: Tensor
    stress: Tensor
    inverse_volume: Tensor

    @property
    def n_atoms_per_frame(self) -> Tensor:
        """Shape (n_frames,), float64."""
        return self.element_counts.sum(dim=1)


class ReadyFrames:
    """All frames of a training set, ready for batches.

    Parameters
    ----------
    data
        The labels.
    elements
        Chemical symbols in the order of the networks.
    spec
        Constants of the descriptors.
    kernel
        Computes the descriptors.
    dtype
        Of positions, forces and descriptors; energies are float64.
    """

    def __init__(
        self,
        data: TrainingSet,
        elements: Sequence[str],
        spec: DescriptorSpec,
        kernel: DescriptorKernel,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.ids = list(data.ids)
        self.kernel = kernel
        self.dtype = dtype
        self._frames = [_ready(data, i, elements, spec.radial_cutoff_ang, dtype) for i in range(len(data))]

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def element_counts(self) -> Tensor:
        """Atoms of each element in each frame, shape (n_frames, n_elements), float64."""
        return torch.cat([frame.element_counts for frame in self._frames])

    @property
    def energies_ev(self) -> Tensor:
        """Shape (n_frames,), float64."""
        return torch.cat([frame.energy_ev for frame in self._frames])

    @property
    def mean_square_forces(self) -> Tensor:
        """Mean of f² over the components of each frame's forces, shape (n_frames,), float64, eV²/Å²."""
        return torch.stack([frame.forces.double().square().mean() for frame in self._frames])

    def batch(self, indices: Sequence[int]) -> ReadyBatch:
        """Join the frames of these positions."""
        frames = [self._frames[i] for i in indices]
        graph = join([frame.graph for frame in frames])
        return ReadyBatch(
            graph=graph,
            descriptors=self.kernel(graph),
            element_counts=torch.cat([frame.element_counts for frame in frames]),
            energies_ev=torch.cat([frame.energy_ev for frame in frames]),
            forces=torch.cat([frame.forces for frame in frames]),
            stress=torch.cat([frame.stress for frame in frames]),
            inverse_volume=torch.cat([frame.inverse_volume for frame in frames]),
        )


def join(graphs: Sequence[PairGraph]) -> PairGraph:
    """Lay graphs end to end."""
    atoms = np.cumsum([0, *(graph.n_atoms for graph in graphs)]).tolist()
    pairs = np.cumsum([0, *(graph.n_pairs for graph in graphs)]).tolist()
    frames = np.cumsum([0, *(graph.n_frames for graph in graphs)]).tolist()
    firsts = [graph.first_pair[:-1] + start for graph, start in zip(graphs, pairs, strict=False)]
    return PairGraph(
        species=torch.cat([graph.species for graph in graphs]),
        first_pair=torch.cat([*firsts, torch.tensor(pairs[-1:])]),
        centre=torch.cat([graph.centre + start for graph, start in zip(graphs, atoms, strict=False)]),
        neighbour=torch.cat([graph.neighbour + start for graph, start in zip(graphs, atoms, strict=False)]),
        vector=torch.cat([graph.vector for graph in graphs]),
        frame_index=torch.cat([graph.frame_index + n for graph, n in zip(graphs, frames, strict=False)]),
        n_frames=frames[-1],
    )


def _ready(
    data: TrainingSet, i: int, elements: Sequence[str], cutoff_ang: float, dtype: torch.dtype
) -> ReadyFrame:
    frame, stress = data.frames[i], data.stresses_ev_per_ang3[i]
    batch = Batch.from_frames([frame], elements, dtype=dtype)
    has_stress = stress is not None and bool(frame.pbc.all())
    return ReadyFrame(
        graph=NeighbourList(cutoff_ang, skin_ang=0.0).graph(batch),
        element_counts=torch.bincount(batch.species, minlength=len(elements)).double()[None],
        energy_ev=torch.tensor([data.energies_ev[i]], dtype=torch.float64),
        forces=torch.as_tensor(data.forces_ev_per_ang[i], dtype=dtype),
        stress=torch.as_tensor(stress if stress is not None else np.zeros((3, 3)), dtype=dtype)[None],
        inverse_volume=torch.tensor([1.0 / frame.get_volume() if has_stress else 0.0], dtype=dtype),
    )
