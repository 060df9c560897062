"""Member networks, stacked: descriptors to atomic energies and back, all members in one batched product.

Automatic differentiation may pass through every function; where it does not, memory is used again.
Where an argument may differ between members it has a leading dimension n_members, otherwise it is shared.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.kernels.celu import celu

Layers = tuple[Tensor, ...]


@dataclass(frozen=True)
class MemberNetworks:
    """Weights of all members: ``weights[element][layer]``.

    Attributes
    ----------
    weights
        Each of shape (n_members, n_in, n_out).
    biases
        Each of shape (n_members, 1, n_out).
    celu_alpha
        α of the activation CELU of the hidden layers; the last layer is linear, in eV.
    """

    weights: tuple[Layers, ...]
    biases: tuple[Layers, ...]
    celu_alpha: float

    @property
    def n_members(self) -> int:
        """Number of members."""
        return int(self.weights[0][0].shape[0])

    @property
    def n_elements(self) -> int:
        """Number of elements, each with networks of its own."""
        return len(self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self.weights[0][0].dtype

    def parameters(self) -> list[Tensor]:
        """Return all tensors in a fixed order: by element, by layer, weight before bias."""
        return [
            tensor
            for layers in zip(self.weights, self.biases, strict=True)
            for pair in zip(*layers, strict=True)
            for tensor in pair
        ]

    def with_parameters(self, parameters: Sequence[Tensor]) -> MemberNetworks:
        """Return networks of the same shape with other tensors, in the order of `parameters`."""
        n_layers = len(self.weights[0])
        starts = range(0, 2 * n_layers * self.n_elements, 2 * n_layers)
        return MemberNetworks(
            weights=tuple(tuple(parameters[s : s + 2 * n_layers : 2]) for s in starts),
            biases=tuple(tuple(parameters[s + 1 : s + 2 * n_layers : 2]) for s in starts),
            celu_alpha=self.celu_alpha,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> MemberNetworks:
        """Return networks with ``function`` applied to every tensor."""
        return self.with_parameters([function(tensor) for tensor in self.parameters()])


def initial(spec: DescriptorSpec, config: AniConfig, seeds: Sequence[int]) -> MemberNetworks:
    """Draw random networks in float32, one seed per member: normal weights of variance 1/n_in, no biases."""
    widths = (spec.n_features, *config.hidden, 1)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def weight(n_in: int, n_out: int) -> Tensor:
        return torch.stack([torch.randn(n_in, n_out, generator=g) for g in generators]) * math.sqrt(1 / n_in)

    layers = list(pairwise(widths))
    return MemberNetworks(
        weights=tuple(tuple(weight(i, o) for i, o in layers) for _ in range(spec.n_elements)),
        biases=tuple(tuple(torch.zeros(len(seeds), 1, o) for _, o in layers) for _ in range(spec.n_elements)),
        celu_alpha=config.celu_alpha,
    )


def energies(networks: MemberNetworks, descriptors: Tensor, species: Tensor) -> Tensor:
    """Return atomic energies, shape (n_members, n_atoms), eV.

    Parameters
    ----------
    networks
        All members.
    descriptors
        Shape (n_atoms, n_features), or (n_members, n_atoms, n_features).
    species
        Element index of each atom, shape (n_atoms,).
    """

    def one(element: int, values: Tensor) -> Tensor:
        return _forward(networks, element, values)[0]

    return _by_element(networks, species, one, descriptors)


def energies_and_gradient(
    networks: MemberNetworks, descriptors: Tensor, species: Tensor
) -> tuple[Tensor, Tensor]:
    """Return atomic energies, (n_members, n_atoms), eV, and dE/dD, (n_members, n_atoms, n_features)."""

    def one(element: int, values: Tensor) -> Tensor:
        result, slopes = _forward(networks, element, values)
        back = _reverse(networks, element, slopes)
        gradient = back @ networks.weights[element][0].mT
        return torch.cat((result[..., None], gradient), dim=-1)

    both = _by_element(networks, species, one, descriptors)
    return both[..., 0], both[..., 1:]


def energies_and_mean_gradient(
    networks: MemberNetworks, descriptors: Tensor, species: Tensor
) -> tuple[Tensor, Tensor]:
    """Return atomic energies, (n_members, n_atoms), eV, and the mean dE/dD, (n_atoms, n_features)."""
    gradients: list[Tensor] = []

    def one(element: int, values: Tensor) -> Tensor:
        result, slopes = _forward(networks, element, values)
        back = _reverse(networks, element, slopes)
        first = networks.weights[element][0].mT
        total = torch.addbmm(back.new_zeros(()), back, first, beta=0.0, alpha=1.0 / networks.n_members)
        gradients.append(total)
        return result

    result = _by_element(networks, species, one, descriptors)
    if networks.n_elements == 1:
        return result, gradients[0]
    return result, torch.cat(gradients)[_restoring(_members_of(networks, species))]


def _forward(networks: MemberNetworks, element: int, values: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return energies of atoms of one element and the slopes of the activations, layer by layer."""
    weights, biases = networks.weights[element], networks.biases[element]
    slopes = []
    hidden = values
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden, slope = celu(_affine(hidden, weight, bias), networks.celu_alpha)
        slopes.append(slope)
    return (hidden * weights[-1].mT).sum(dim=-1) + biases[-1][..., 0], slopes


def _affine(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if values.dim() == 2:
        values = values.expand(weight.shape[0], *values.shape)
    return torch.baddbmm(bias, values, weight)


def _reverse(networks: MemberNetworks, element: int, slopes: list[Tensor]) -> Tensor:
    """Return dE/dz of the first layer's z, shape (n_members, n_atoms of the element, width)."""
    weights = networks.weights[element]
    back = slopes[-1] * weights[-1].mT
    for slope, weight in zip(reversed(slopes[:-1]), reversed(weights[1:-1]), strict=True):
        back = slope * (back @ weight.mT)
    return back


def _by_element(
    networks: MemberNetworks, species: Tensor, one: Callable[..., Tensor], *arguments: Tensor
) -> Tensor:
    """Apply ``one(element, *arguments of its atoms)`` and put the results back in the order of the atoms."""
    if networks.n_elements == 1:
        return one(0, *arguments)
    members_of = _members_of(networks, species)
    parts = [
        one(element, *(a.index_select(-2, atoms) for a in arguments))
        for element, atoms in enumerate(members_of)
    ]
    return torch.cat(parts, dim=1).index_select(1, _restoring(members_of))


def _members_of(networks: MemberNetworks, species: Tensor) -> tuple[Tensor, ...]:
    return _atoms_of_elements(species, species._version, networks.n_elements)


@functools.lru_cache(maxsize=16)
def _atoms_of_elements(species: Tensor, _version: int, n_elements: int) -> tuple[Tensor, ...]:
    """Return the places of each element's atoms; remembered, since a GPU has to be waited for."""
    return tuple(torch.nonzero(species == element)[:, 0] for element in range(n_elements))


def _restoring(members_of: tuple[Tensor, ...]) -> Tensor:
    return torch.argsort(torch.cat(members_of))
