"""Labelled frames ready for training: pairs and descriptors made once, as far as memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from potentials.batch import Batch
from potentials.descriptors import DescriptorKernel, Descriptors, DescriptorSpec, PairGraph
from potentials.neighbours import NeighbourList
from potentials.training.training_set import TrainingSet


@dataclass(frozen=True)
class Labels:
    """Labels of one frame or of several joined.

    Attributes
    ----------
    element_counts
        Atoms of each element, shape (n_frames, n_elements), float64.
    energies_ev
        Shape (n_frames,), float64.
    forces
        Shape (n_atoms, 3), eV/Å.
    stress
        Shape (n_frames, 3, 3), eV/Å³; zero where there is none.
    inverse_volume
        Shape (n_frames,), 1/Å³; zero where there is no stress.
    """

    element_counts: Tensor
    energies_ev: Tensor
    forces: Tensor
    stress: Tensor
    inverse_volume: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Labels]) -> Labels:
        """Lay labels end to end."""
        return cls(
            *(torch.cat(column) for column in zip(*(vars(part).values() for part in parts), strict=True))
        )


@dataclass(frozen=True)
class ReadyBatch(Labels):
    """Labels of several frames, their pairs and descriptors."""

    graph: PairGraph
    descriptors: Descriptors

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
    device
        Where batches are.
    memory_gib
        Pairs and descriptors of as many frames as fit into this are kept; those of others are made anew in
        every batch.
    """

    def __init__(
        self,
        data: TrainingSet,
        elements: Sequence[str],
        spec: DescriptorSpec,
        kernel: DescriptorKernel,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory_gib: float = 1.0,
    ) -> None:
        self.kernel = kernel
        self.dtype = dtype
        self.device = torch.device(device)
        self._data = data
        self._elements = tuple(elements)
        self._cutoff_ang = spec.radial_cutoff_ang
        self._labels = [self._read(i) for i in range(len(data))]
        self._kept: dict[int, _Kept] = {}
        self._keep(memory_gib * 2.0**30)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def element_counts(self) -> Tensor:
        """Atoms of each element in each frame, shape (n_frames, n_elements), float64."""
        return torch.cat([labels.element_counts for labels in self._labels])

    @property
    def energies_ev(self) -> Tensor:
        """Shape (n_frames,), float64."""
        return torch.cat([labels.energies_ev for labels in self._labels])

    @property
    def mean_square_forces(self) -> Tensor:
        """Mean of f² over the components of each frame's forces, shape (n_frames,), float64, eV²/Å²."""
        return torch.stack([labels.forces.double().square().mean() for labels in self._labels])

    def batch(self, indices: Iterable[int]) -> ReadyBatch:
        """Join the frames of these positions."""
        chosen = list(indices)
        labels = Labels.joined([self._labels[i] for i in chosen])
        graph = join([self._kept[i].graph() if i in self._kept else self._find(i) for i in chosen])
        descriptors = self.kernel(graph)
        if all(i in self._kept for i in chosen):
            values = torch.cat([self._kept[i].values for i in chosen])
            descriptors = _KnownDescriptors(values, descriptors)
        return ReadyBatch(**vars(labels), graph=graph, descriptors=descriptors)

    @property
    def kept_bytes(self) -> int:
        """Memory taken by pairs and descriptors that are kept."""
        return sum(kept.n_bytes for kept in self._kept.values())

    def _keep(self, n_bytes: float) -> None:
        for i in range(len(self)):
            graph = self._find(i)
            kept = _Kept.of(graph, self.kernel(graph).values)
            n_bytes -= kept.n_bytes
            if n_bytes < 0:
                return
            self._kept[i] = kept

    def _find(self, i: int) -> PairGraph:
        frame = self._data.frames[i]
        batch = Batch.from_frames([frame], self._elements, dtype=self.dtype, device=self.device)
        return NeighbourList(self._cutoff_ang, skin_ang=0.0).graph(batch)

    def _read(self, i: int) -> Labels:
        data, frame = self._data, self._data.frames[i]
        stress = data.stresses_ev_per_ang3[i] if frame.pbc.all() else None
        counts = [frame.get_chemical_symbols().count(element) for element in self._elements]
        return Labels(
            element_counts=torch.tensor([counts], dtype=torch.float64, device=self.device),
            energies_ev=torch.tensor([data.energies_ev[i]], dtype=torch.float64, device=self.device),
            forces=torch.as_tensor(data.forces_ev_per_ang[i]).to(self.device, self.dtype),
            stress=torch.as_tensor(np.zeros((3, 3)) if stress is None else stress).to(
                self.device, self.dtype
            )[None],
            inverse_volume=torch.tensor(
                [0.0 if stress is None else 1.0 / frame.get_volume()], dtype=self.dtype, device=self.device
            ),
        )


@dataclass(frozen=True)
class _Kept:
    """A graph of one frame in half the memory, and its descriptors."""

    species: Tensor
    n_pairs_per_atom: Tensor
    neighbour: Tensor
    vector: Tensor
    values: Tensor

    @classmethod
    def of(cls, graph: PairGraph, values: Tensor) -> _Kept:
        return cls(graph.species, graph.first_pair.diff(), graph.neighbour.int(), graph.vector, values)

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in vars(self).values())

    def graph(self) -> PairGraph:
        count = self.n_pairs_per_atom
        atoms = torch.arange(len(count), device=count.device)
        return PairGraph(
            species=self.species,
            first_pair=torch.cat([count.new_zeros(1), count.cumsum(0)]),
            centre=torch.repeat_interleave(atoms, count, output_size=len(self.neighbour)),
            neighbour=self.neighbour.long(),
            vector=self.vector,
            frame_index=torch.zeros_like(atoms),
            n_frames=1,
        )


@dataclass(frozen=True)
class _KnownDescriptors:
    """Descriptors whose values were computed before; the products with their Jacobian are made anew."""

    values: Tensor
    products: Descriptors

    def vjp(self, cotangent: Tensor) -> Tensor:
        return self.products.vjp(cotangent)

    def jvp(self, tangent: Tensor) -> Tensor:
        return self.products.jvp(tangent)


def join(graphs: Sequence[PairGraph]) -> PairGraph:
    """Lay graphs end to end."""
    atoms, pairs, frames = (
        np.cumsum([0, *(getattr(graph, name) for graph in graphs)]).tolist()
        for name in ("n_atoms", "n_pairs", "n_frames")
    )
    firsts = [graph.first_pair[:-1] + start for graph, start in zip(graphs, pairs, strict=False)]
    return PairGraph(
        species=torch.cat([graph.species for graph in graphs]),
        first_pair=torch.cat([*firsts, firsts[0].new_tensor(pairs[-1:])]),
        centre=torch.cat([graph.centre + start for graph, start in zip(graphs, atoms, strict=False)]),
        neighbour=torch.cat([graph.neighbour + start for graph, start in zip(graphs, atoms, strict=False)]),
        vector=torch.cat([graph.vector for graph in graphs]),
        frame_index=torch.cat([graph.frame_index + n for graph, n in zip(graphs, frames, strict=False)]),
        n_frames=frames[-1],
    )
