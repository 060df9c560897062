import numpy as np
import torch

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.training.network_gradients import forward_and_back
from potentials.training.parameters import ParameterLayout, Scaling

CONFIG = AniConfig(n_radial=3, n_angular_radial=2, n_angles=2, hidden=(6, 5), n_members=2)
SPEC = DescriptorSpec.from_config(CONFIG, 2)
LAYOUT = ParameterLayout.of(SPEC, CONFIG)


def some_scaling():
    rng = np.random.default_rng(1)
    return Scaling(
        centre=torch.as_tensor(rng.normal(size=(2, SPEC.n_features))),
        width=torch.as_tensor(rng.uniform(0.3, 3.0, size=(2, SPEC.n_features))),
        energy_ev=torch.tensor([0.7, 2.5], dtype=torch.float64),
        shift_ev=torch.as_tensor(rng.normal(size=(2, 2))),
    )


def some_rows():
    return torch.as_tensor(np.random.default_rng(2).normal(size=(2, LAYOUT.n_parameters)))


def test_networks_give_the_energies_of_the_rows_they_come_from():
    rows, scaling, shift = some_rows(), some_scaling(), torch.tensor([-3.0, 4.0], dtype=torch.float64)
    species = torch.tensor([0, 1, 1, 0])
    values = torch.as_tensor(np.random.default_rng(3).normal(size=(4, SPEC.n_features)))
    found = network.energies(LAYOUT.networks(rows, scaling, shift), values, species) + shift[species]
    for element in (0, 1):
        atoms = species == element
        scaled = (values[atoms] - scaling.centre[element]) / scaling.width[element]
        energies = forward_and_back(LAYOUT.layers(rows)[element], scaled, CONFIG.celu_alpha).energies
        expected = energies * scaling.energy_ev[:, None] + scaling.shift_ev[:, element, None]
        torch.testing.assert_close(found[:, atoms], expected, rtol=1e-10, atol=1e-10)


def test_rows_come_back_from_networks():
    rows, scaling, shift = some_rows(), some_scaling(), torch.tensor([-3.0, 4.0], dtype=torch.float64)
    back = LAYOUT.rows(LAYOUT.networks(rows, scaling, shift), scaling, shift)
    torch.testing.assert_close(back, rows.float(), rtol=1e-6, atol=1e-6)


def test_layers_and_matrices_are_views_of_the_whole_row():
    rows = torch.zeros(2, LAYOUT.n_parameters)
    for layers in LAYOUT.layers(rows):
        for weight, bias in layers:
            weight += 1.0
            bias += 1.0
    for matrix in LAYOUT.matrices(rows):
        matrix += 1.0
    assert bool((rows == 2.0).all())


def test_first_weights_depend_on_the_seed_alone():
    together, alone = LAYOUT.initial([4, 9]), LAYOUT.initial([9])
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
