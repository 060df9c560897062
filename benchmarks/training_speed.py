"""Time of one training step: all members at once in tangent form, against torch's double backward.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/training_speed.py [--frames 16] [--atoms 100]

Both take the same frames, weights and loss, and must agree on the gradient. The rival computes descriptors
in plain torch (the definition over pairs and triples, differentiated automatically) and runs back
twice, one member after the other over one graph of the descriptors. Times are CPU seconds of this process:
the least of the repeats, one for the rival.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import ANGULAR_FACTOR, COSINE_FACTOR, RADIAL_FACTOR, DescriptorSpec, PairGraph
from potentials.kernels.select import kernel_for
from potentials.training.config import TrainingConfig
from potentials.training.frames import ReadyBatch, ReadyFrames
from potentials.training.gradients import loss_and_gradient
from potentials.training.parameters import ParameterLayout, Scaling
from potentials.training.training_set import TrainingSet

LOSS = TrainingConfig(force_weight=0.1)


def disordered(n_frames: int, n_atoms: int, seed: int = 0) -> TrainingSet:
    """Return rattled FCC aluminium with random labels: what they say does not change the time."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        n_side = int(np.ceil((n_atoms / 4) ** (1 / 3)))
        corner = np.stack(np.meshgrid(*[np.arange(n_side)] * 3), -1).reshape(-1, 1, 3)
        sites = (corner + np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])).reshape(-1, 3)
        kept = rng.choice(len(sites), n_atoms, replace=False)
        scale = 4.05 * (n_atoms / len(sites)) ** (1 / 3)
        positions = scale * sites[kept] + rng.normal(0, 0.1, (n_atoms, 3))
        frames.append(Atoms(f"Al{n_atoms}", positions=positions, cell=[scale * n_side] * 3, pbc=True))
    return TrainingSet(
        ids=[str(i) for i in range(n_frames)],
        frames=frames,
        energies_ev=rng.normal(size=n_frames),
        forces_ev_per_ang=[rng.normal(size=(n_atoms, 3)) for _ in frames],
        stresses_ev_per_ang3=[None] * n_frames,
    )


def descriptors(spec: DescriptorSpec, graph: PairGraph, vector: Tensor) -> Tensor:
    """Return the descriptors of one element, in operations that torch can differentiate twice."""
    length = vector.norm(dim=1)
    cut = 0.5 + 0.5 * torch.cos(torch.pi * length / spec.radial_cutoff_ang)
    shells = length.new_tensor(spec.radial_shifts_ang)
    terms = torch.exp(-spec.radial_eta_per_ang2 * (length[:, None] - shells) ** 2) * cut[:, None]
    radial = terms.new_zeros(graph.n_atoms, len(shells)).index_add(0, graph.centre, RADIAL_FACTOR * terms)
    near = torch.nonzero(length < spec.angular_cutoff_ang)[:, 0]
    first, second = triples(graph.centre[near])
    a, b = near[first], near[second]
    cosine = COSINE_FACTOR * (vector[a] * vector[b]).sum(1) / (length[a] * length[b])
    angles = length.new_tensor(spec.angle_shifts_rad)
    turn = ((1.0 + torch.cos(torch.acos(cosine)[:, None] - angles)) / 2.0) ** spec.zeta
    near_cut = 0.5 + 0.5 * torch.cos(torch.pi * length / spec.angular_cutoff_ang)
    mean = 0.5 * (length[a] + length[b])[:, None] - length.new_tensor(spec.angular_shifts_ang)
    shell = (
        torch.exp(-spec.angular_eta_per_ang2 * mean**2)
        * (ANGULAR_FACTOR * near_cut[a] * near_cut[b])[:, None]
    )
    block = (shell[:, :, None] * turn[:, None, :]).flatten(1)
    angular = block.new_zeros(graph.n_atoms, block.shape[1]).index_add(0, graph.centre[a], block)
    return torch.cat((radial, angular), dim=1)


def triples(centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of all unordered pairs of entries with the same centre; centres ascend."""
    count = torch.bincount(centre)
    most = int(count.max())
    low, high = torch.triu_indices(most, most, offset=1)
    start = torch.cumsum(count, 0) - count
    inside = high[None, :] < count[:, None]
    first = (start[:, None] + low)[inside]
    return first, (start[:, None] + high)[inside]


def double_backward(
    networks: network.MemberNetworks, spec: DescriptorSpec, batch: ReadyBatch, members: int
) -> list[Tensor]:
    """Return the gradient of the loss of the first ``members`` members."""
    graph = batch.graph
    parameters = [p[:members].clone().requires_grad_(True) for p in networks.parameters()]
    inside = graph.vector.norm(dim=1) < spec.radial_cutoff_ang
    vector = graph.vector.clone().requires_grad_(True)
    assert bool(inside.all())
    atomic = network.energies(
        networks.with_parameters(parameters), descriptors(spec, graph, vector), graph.species
    )
    sizes = batch.n_atoms_per_frame
    total = torch.zeros((), dtype=torch.float64)
    for energies in atomic:
        (slope,) = torch.autograd.grad(energies.sum(), vector, create_graph=True)
        forces = torch.zeros_like(batch.forces).index_add(0, graph.centre, slope)
        off = forces.index_add(0, graph.neighbour, -slope) - batch.forces
        energy = torch.zeros_like(batch.energies_ev).index_add(0, graph.frame_index, energies.double())
        squares = torch.zeros_like(energy).index_add(0, graph.frame_index, off.double().square().sum(1))
        loss = LOSS.energy_weight * (energy - batch.energies_ev) ** 2 + LOSS.force_weight * squares
        total = total + (loss / sizes).mean()
    return list(torch.autograd.grad(total, parameters))


def least_cpu_s(call: Callable[[], object], repeats: int) -> float:
    """Return the least CPU time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


class Step:
    """One batch and the members to train on it."""

    def __init__(self, n_frames: int, n_atoms: int, n_members: int) -> None:
        config = AniConfig(n_members=n_members)
        self.spec = DescriptorSpec.from_config(config, 1)
        self.layout = ParameterLayout.of(self.spec, config)
        self.scaling = Scaling(
            centre=torch.zeros(1, self.spec.n_features),
            width=torch.ones(1, self.spec.n_features),
            energy_ev=torch.ones(n_members),
            shift_ev=torch.zeros(n_members, 1, dtype=torch.float64),
        )
        self.kernel = kernel_for(self.spec, "cpu")
        self.ready = ReadyFrames(disordered(n_frames, n_atoms), ["Al"], self.spec, self.kernel)
        self.flat = self.layout.initial(range(n_members))
        self.networks = self.layout.networks(self.flat, self.scaling, torch.zeros(1, dtype=torch.float64))
        self.weights = torch.full((n_members, n_frames), 1.0 / n_frames, dtype=torch.float64)

    def tangent(self, members: int) -> Tensor:
        """Return the gradients of the first ``members`` members by the form that training uses."""
        batch, scaling = self.ready.batch(range(len(self.ready))), self.scaling.of_members(range(members))
        weights = self.weights[:members]
        return loss_and_gradient(self.flat[:members], self.layout, scaling, batch, weights, LOSS)[1]

    def rival(self, members: int) -> list[Tensor]:
        """Return the same by double backward."""
        return double_backward(self.networks, self.spec, self.ready.batch(range(len(self.ready))), members)

    def difference(self) -> float:
        """Return how far the two are from each other, relative to their size."""
        ours = torch.cat([t.flatten() for layer in self.layout.layers(self.tangent(1))[0] for t in layer])
        theirs = torch.cat([gradient.flatten() for gradient in self.rival(1)])
        return float((ours - theirs).norm() / theirs.norm())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    step = Step(args.frames, args.atoms, args.members)
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    print(f"{args.frames} frames of {args.atoms} atoms; {step.kernel.name} kernel")
    print(f"gradients differ by {step.difference():.1e}")
    print(f"{'members':>8}  {'tangent form':>26}  {'double backward':>26}")
    for members in sorted({1, args.members}):
        ours = least_cpu_s(lambda members=members: step.tangent(members), args.repeats)
        theirs = least_cpu_s(lambda members=members: step.rival(members), 1)
        columns = [f"{1e3 * s:10.1f} ms {args.frames / s:8.1f} frames/s" for s in (ours, theirs)]
        print(f"{members:8d}  {columns[0]}  {columns[1]}  {theirs / ours:6.0f} times")


if __name__ == "__main__":
    main()
