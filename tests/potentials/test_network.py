from __future__ import annotations

import pytest
import torch
from torch import Tensor

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.network import MemberNetworks

SETTINGS = AniConfig(n_radial=6, n_angular_radial=2, n_angles=2, hidden=(9, 7, 5))


def networks_and_data(n_elements: int) -> tuple[MemberNetworks, Tensor, Tensor]:
    spec = DescriptorSpec.from_config(SETTINGS, n_elements)
    generator = torch.Generator().manual_seed(3)
    networks = network.initial(spec, SETTINGS, [5, 6, 7]).map(torch.Tensor.double)
    biased = [p + 0.1 * torch.randn(p.shape, generator=generator) for p in networks.parameters()]
    descriptors = torch.randn(11, spec.n_features, dtype=torch.float64, generator=generator)
    species = torch.arange(11) * 7 % 11 % n_elements
    return networks.with_parameters(biased), descriptors, species


def directly(networks: MemberNetworks, descriptors: Tensor, species: Tensor) -> Tensor:
    """Evaluate one member and one atom at a time with torch's own CELU."""
    rows = []
    for member in range(networks.n_members):
        atoms = []
        for values, element in zip(descriptors, species.tolist(), strict=True):
            layers = list(zip(networks.weights[element], networks.biases[element], strict=True))
            for weight, bias in layers[:-1]:
                values = torch.nn.functional.celu(
                    values @ weight[member] + bias[member, 0], networks.celu_alpha
                )
            weight, bias = layers[-1]
            atoms.append((values @ weight[member] + bias[member, 0])[0])
        rows.append(torch.stack(atoms))
    return torch.stack(rows)


@pytest.mark.parametrize("n_elements", [1, 2, 3])
def test_stacked_networks_equal_one_at_a_time(n_elements: int) -> None:
    networks, descriptors, species = networks_and_data(n_elements)
    descriptors.requires_grad_()
    expected = directly(networks, descriptors, species)
    torch.testing.assert_close(network.energies(networks, descriptors, species), expected)

    energies, gradient = network.energies_and_gradient(networks, descriptors, species)
    torch.testing.assert_close(energies, expected)
    for member in range(networks.n_members):
        (slope,) = torch.autograd.grad(expected[member].sum(), descriptors, retain_graph=True)
        torch.testing.assert_close(gradient[member], slope)
    energies, mean = network.energies_and_mean_gradient(networks, descriptors, species)
    torch.testing.assert_close(energies, expected)
    torch.testing.assert_close(mean, gradient.mean(dim=0))


def test_an_element_may_be_absent() -> None:
    networks, descriptors, _ = networks_and_data(3)
    species = torch.full((11,), 1)
    energies, gradient = network.energies_and_gradient(networks, descriptors, species)
    torch.testing.assert_close(energies, directly(networks, descriptors, species))
    assert gradient.shape == (3, *descriptors.shape)


def test_each_member_has_descriptors_of_its_own_where_given() -> None:
    networks, descriptors, species = networks_and_data(2)
    own = torch.stack([descriptors, 2 * descriptors, 3 * descriptors])
    energies = network.energies(networks, own, species)
    torch.testing.assert_close(energies[1], network.energies(networks, 2 * descriptors, species)[1])


def test_start_depends_on_each_members_own_seed() -> None:
    spec = DescriptorSpec.from_config(SETTINGS, 2)
    three, two = (network.initial(spec, SETTINGS, seeds) for seeds in ([1, 2, 3], [3, 1]))
    for a, b in zip(three.parameters(), two.parameters(), strict=True):
        assert torch.equal(a[[2, 0]], b)
    assert not torch.equal(three.weights[0][0][0], three.weights[0][0][1])
    assert not torch.equal(three.weights[0][0], three.weights[1][0])
