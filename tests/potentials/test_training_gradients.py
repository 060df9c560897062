"""The weight gradient of the loss against a double backward pass through descriptors and networks."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec, PairGraph
from potentials.kernels.reference import TorchKernel
from potentials.training.config import TrainingConfig
from potentials.training.frames import ReadyBatch, ReadyFrames
from potentials.training.gradients import loss_and_gradient
from potentials.training.parameters import ParameterLayout, Scaling
from potentials.training.training_set import TrainingSet

CONFIG = AniConfig(
    radial_cutoff_ang=4.5,
    angular_cutoff_ang=3.5,
    n_radial=5,
    radial_eta_per_ang2=4.0,
    n_angular_radial=2,
    n_angles=3,
    zeta=8.0,
    angular_eta_per_ang2=2.0,
    hidden=(7, 6),
    n_members=3,
)


def differentiable_descriptors(spec: DescriptorSpec, graph: PairGraph, vector: torch.Tensor) -> torch.Tensor:
    """The definition, term by term, for automatic differentiation."""
    lengths = vector.norm(dim=1)
    rows = []
    for i in range(graph.n_atoms):
        pairs = range(int(graph.first_pair[i]), int(graph.first_pair[i + 1]))
        species = {p: int(graph.species[graph.neighbour[p]]) for p in pairs}
        row = [torch.zeros((), dtype=vector.dtype) for _ in range(spec.n_features)]
        for p in (p for p in pairs if lengths[p] < spec.radial_cutoff_ang):
            cut = 0.5 * (1 + torch.cos(math.pi * lengths[p] / spec.radial_cutoff_ang))
            for s, shift in enumerate(spec.radial_shifts_ang):
                feature = species[p] * len(spec.radial_shifts_ang) + s
                term = 0.25 * torch.exp(-spec.radial_eta_per_ang2 * (lengths[p] - shift) ** 2) * cut
                row[feature] = row[feature] + term
        near = [p for p in pairs if lengths[p] < spec.angular_cutoff_ang]
        for a, b in ((a, b) for a in near for b in near if a < b):
            low, high = sorted((species[a], species[b]))
            block = low * spec.n_elements - low * (low - 1) // 2 + high - low
            theta = torch.acos(0.95 * (vector[a] @ vector[b]) / (lengths[a] * lengths[b]))
            cut_a, cut_b = (
                0.5 * (1 + torch.cos(math.pi * lengths[p] / spec.angular_cutoff_ang)) for p in (a, b)
            )
            for s, shift in enumerate(spec.angular_shifts_ang):
                shell = torch.exp(-spec.angular_eta_per_ang2 * ((lengths[a] + lengths[b]) / 2 - shift) ** 2)
                for z, angle in enumerate(spec.angle_shifts_rad):
                    index = (block * len(spec.angular_shifts_ang) + s) * len(spec.angle_shifts_rad) + z
                    index += spec.n_radial_features
                    term = 2 * ((1 + torch.cos(theta - angle)) / 2) ** spec.zeta * shell * cut_a * cut_b
                    row[index] = row[index] + term
        rows.append(torch.stack(row))
    return torch.stack(rows)


def double_backward(
    networks: network.MemberNetworks,
    spec: DescriptorSpec,
    batch: ReadyBatch,
    shift_ev: torch.Tensor,
    frame_weights: torch.Tensor,
    config: TrainingConfig,
    power: int,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    graph = batch.graph
    vector = graph.vector.clone().requires_grad_(True)
    parameters = [p.clone().requires_grad_(True) for p in networks.parameters()]
    atomic = network.energies(
        networks.with_parameters(parameters), differentiable_descriptors(spec, graph, vector), graph.species
    )
    frames = graph.frame_index
    sizes = batch.n_atoms_per_frame
    losses = []
    for m in range(networks.n_members):
        energy = torch.zeros(graph.n_frames, dtype=torch.float64).index_add(0, frames, atomic[m])
        (slope,) = torch.autograd.grad(atomic[m].sum(), vector, create_graph=True)
        forces = torch.zeros_like(batch.forces).index_add(0, graph.centre, slope)
        forces = forces.index_add(0, graph.neighbour, -slope) - batch.forces
        squares = torch.zeros(graph.n_frames, dtype=torch.float64).index_add(
            0, frames, forces.square().sum(1)
        )
        outer = vector[:, :, None] * slope[:, None, :]
        virial = torch.zeros(graph.n_frames, 3, 3, dtype=torch.float64)
        virial = virial.index_add(0, frames[graph.centre], outer)
        stress = 0.5 * (virial + virial.mT) * batch.inverse_volume[:, None, None] - batch.stress
        stress = stress * (batch.inverse_volume > 0)[:, None, None]
        off = energy + batch.element_counts @ shift_ev - batch.energies_ev
        loss = config.energy_weight * off**2 / sizes**power + config.force_weight * squares / sizes
        loss = loss + config.stress_weight * stress.square().sum((1, 2))
        losses.append((frame_weights[m] * loss).sum())
    total = torch.stack(losses)
    return total.detach(), list(torch.autograd.grad(total.sum(), parameters))


def labelled_frames(elements: tuple[str, ...], rng: np.random.Generator) -> TrainingSet:
    sizes, cells = (5, 7), (4.6, 5.2)
    frames = [
        Atoms(rng.choice(elements, n), positions=rng.uniform(0, side, (n, 3)), cell=[side] * 3, pbc=True)
        for n, side in zip(sizes, cells, strict=True)
    ]
    frames[1].pbc = (True, False, True)
    stress = rng.normal(size=(3, 3))
    return TrainingSet(
        ids=["a", "b"],
        frames=frames,
        energies_ev=rng.normal(size=2),
        forces_ev_per_ang=[rng.normal(size=(n, 3)) for n in sizes],
        stresses_ev_per_ang3=[stress + stress.T, None],
    )


@pytest.mark.parametrize("elements", [("Al",), ("Al", "Cu")])
@pytest.mark.parametrize(("energy_term", "power"), [("frame", 0), ("root_atom", 1), ("atom", 2)])
def test_weight_gradient_equals_double_backward(elements, energy_term, power):
    rng = np.random.default_rng(3)
    spec = DescriptorSpec.from_config(CONFIG, len(elements))
    layout = ParameterLayout.of(spec, CONFIG)
    scaling = Scaling(
        centre=torch.as_tensor(rng.normal(size=(len(elements), spec.n_features))),
        width=torch.as_tensor(rng.uniform(0.5, 2.0, size=(len(elements), spec.n_features))),
        energy_ev=torch.as_tensor(rng.uniform(0.5, 2.0, size=3)),
        shift_ev=torch.as_tensor(rng.normal(size=(3, len(elements)))),
    )
    shift_ev = torch.as_tensor(rng.normal(size=len(elements)))
    config = TrainingConfig(energy_term=energy_term, energy_weight=0.7, force_weight=0.3, stress_weight=5.0)
    data = labelled_frames(elements, rng)
    batch = ReadyFrames(data, elements, spec, TorchKernel(spec), dtype=torch.float64).batch([0, 1])
    flat = torch.as_tensor(rng.normal(size=(3, layout.n_parameters))) * 0.4
    frame_weights = torch.tensor([[1.0, 0.5], [0.0, 1.0], [0.3, 0.0]], dtype=torch.float64)

    loss, gradient, _ = loss_and_gradient(flat, layout, scaling, batch, frame_weights, config)

    leaf = flat.clone().requires_grad_(True)
    networks = layout.networks(leaf, scaling, shift_ev)
    expected_loss, slopes = double_backward(networks, spec, batch, shift_ev, frame_weights, config, power)
    (expected,) = torch.autograd.grad(networks.parameters(), leaf, slopes)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-11, atol=1e-11)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-9
    assert bool((expected.abs().sum(dim=1) > 1e-3).all())
