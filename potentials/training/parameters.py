"""The numbers that training changes: all of one member in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.network import MemberNetworks

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Scaling:
    """Puts descriptors and energies on a scale of one, where learning is easy.

    The networks of training take ``(descriptor - centre) / width`` and return energies in units of
    ``energy_ev``; both are folded into the weights of the finished ensemble.

    Attributes
    ----------
    centre, width
        Per element and feature, shape (n_elements, n_features).
    energy_ev
        Per member, shape (n_members,).
    shift_ev
        Energy of a lone atom, per member and element, shape (n_members, n_elements), float64.
    """

    centre: Tensor
    width: Tensor
    energy_ev: Tensor
    shift_ev: Tensor

    def of_members(self, members: Sequence[int]) -> Scaling:
        """Return the scaling of some of the members."""
        return Scaling(self.centre, self.width, self.energy_ev[list(members)], self.shift_ev[list(members)])


@dataclass(frozen=True)
class ParameterLayout:
    """Where each weight lies in a member's row.

    Attributes
    ----------
    n_elements
        Networks per member.
    widths
        Numbers per layer, from the descriptors to the energy.
    celu_alpha
        α of the activation φ(z) = max(z, 0) + α (exp(min(z, 0)/α) - 1).
    """

    n_elements: int
    widths: tuple[int, ...]
    celu_alpha: float

    @classmethod
    def of(cls, spec: DescriptorSpec, config: AniConfig) -> ParameterLayout:
        """Return the layout of the networks that ``config`` describes."""
        return cls(spec.n_elements, (spec.n_features, *config.hidden, 1), config.celu_alpha)

    @property
    def n_parameters(self) -> int:
        """Length of a row."""
        return sum(n_rows * n_columns for n_rows, n_columns in self.blocks)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Shape of every layer's weights with the bias as a last row, in the order of a row."""
        return [(n_in + 1, n_out) for n_in, n_out in pairwise(self.widths)] * self.n_elements

    def matrices(self, flat: Tensor) -> list[Tensor]:
        """Return views of the rows: per layer weights over a row of biases, (n_members, in + 1, out)."""
        sizes = [n_rows * n_columns for n_rows, n_columns in self.blocks]
        parts = torch.split(flat, sizes, dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.blocks, strict=True)]

    def layers(self, flat: Tensor) -> list[list[Layer]]:
        """Return views of the rows: per element and layer, (n_members, in, out) and (n_members, 1, out)."""
        layers = [(matrix[:, :-1], matrix[:, -1:]) for matrix in self.matrices(flat)]
        depth = len(self.widths) - 1
        return [layers[start : start + depth] for start in range(0, len(layers), depth)]

    def initial(self, seeds: Sequence[int]) -> Tensor:
        """Return random rows, one per seed, shape (n_members, n_parameters), float32.

        Weights are normal with variance 1/n_in, biases zero; the last layer starts at a tenth of that, so
        that the first energies are near those of lone atoms.
        """
        rows = torch.zeros(len(seeds), self.n_parameters)
        for row, seed in zip(rows, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            for layers in self.layers(row.unsqueeze(0)):
                for weight, _ in layers:
                    weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
                layers[-1][0].mul_(0.1)
        return rows

    def networks(self, flat: Tensor, scaling: Scaling, shift_ev: Tensor) -> MemberNetworks:
        """Return the networks that take raw descriptors and return eV above ``shift_ev``, (n_elements,)."""
        weights, biases = [], []
        for element, layers in enumerate(self.layers(flat.double())):
            w = [weight.clone() for weight, _ in layers]
            b = [bias.clone() for _, bias in layers]
            w[0] /= scaling.width[element].double().unsqueeze(-1)
            b[0] -= (scaling.centre[element].double() @ w[0]).unsqueeze(1)
            w[-1] *= scaling.energy_ev.view(-1, 1, 1)
            extra = scaling.shift_ev[:, element] - shift_ev[element]
            b[-1] = b[-1] * scaling.energy_ev.view(-1, 1, 1) + extra.view(-1, 1, 1)
            weights.append(tuple(x.to(flat.dtype) for x in w))
            biases.append(tuple(x.to(flat.dtype) for x in b))
        return MemberNetworks(tuple(weights), tuple(biases), self.celu_alpha)

    def rows(self, networks: MemberNetworks, scaling: Scaling, shift_ev: Tensor) -> Tensor:
        """Return the rows whose ``networks`` these are: the inverse of `networks`."""
        flat = scaling.shift_ev.new_zeros(len(scaling.energy_ev), self.n_parameters)
        for element, layers in enumerate(self.layers(flat)):
            w = [weight.to(flat) for weight in networks.weights[element]]
            b = [bias.to(flat) for bias in networks.biases[element]]
            b[0] = b[0] + (scaling.centre[element].double() @ w[0]).unsqueeze(1)
            w[0] = w[0] * scaling.width[element].double().unsqueeze(-1)
            extra = scaling.shift_ev[:, element] - shift_ev[element]
            w[-1] = w[-1] / scaling.energy_ev.view(-1, 1, 1)
            b[-1] = (b[-1] - extra.view(-1, 1, 1)) / scaling.energy_ev.view(-1, 1, 1)
            for (weight, bias), new_weight, new_bias in zip(layers, w, b, strict=True):
                weight.copy_(new_weight)
                bias.copy_(new_bias)
        return flat.float()
