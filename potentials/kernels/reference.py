"""Descriptors in plain torch: any device, any floating-point type; what other kernels are checked against.

Triples are never kept: atoms are taken in chunks, and per centre the angular block is a small matrix product
(shells × triples)·(triples × angles), for the values as for both products with the Jacobian.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.descriptors import (
    ANGULAR_FACTOR,
    COSINE_FACTOR,
    RADIAL_FACTOR,
    SHORTEST_ANG,
    DescriptorSpec,
    PairGraph,
)

CHUNK_TRIPLES = 1 << 15
"""Triples handled at once on a CPU, where a chunk should stay in the cache; a GPU takes 128 times as many."""


class TorchKernel:
    """Computes descriptors with torch operations."""

    name = "torch"

    def __init__(self, spec: DescriptorSpec) -> None:
        self.spec = spec

    def __call__(self, graph: PairGraph) -> TorchDescriptors:
        """Evaluate the descriptors of every atom of ``graph``."""
        return TorchDescriptors(self.spec, graph)


class TorchDescriptors:
    """Descriptors of one graph; see `potentials.descriptors.Descriptors`."""

    def __init__(self, spec: DescriptorSpec, graph: PairGraph) -> None:
        self.spec = spec
        self.graph = graph
        self._pairs = _Pairs.of(graph)
        self._radial = _Radial(spec, graph, self._pairs)
        self._angular = _Angular(spec, graph, self._pairs)

    @functools.cached_property
    def values(self) -> Tensor:
        """Shape (n_atoms, n_features)."""
        return torch.cat((self._radial.values(), self._angular.values()), dim=-1)

    def vjp(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ·cotangent: from shape (n_cot, n_atoms, n_features) to (n_cot, n_pairs, 3)."""
        radial, angular = cotangent.tensor_split([self.spec.n_radial_features], dim=-1)
        return self._radial.vjp(radial) + self._angular.vjp(angular)

    def jvp(self, tangent: Tensor) -> Tensor:
        """Return J·tangent: from shape (n_tan, n_pairs, 3) to (n_tan, n_atoms, n_features)."""
        return torch.cat((self._radial.jvp(tangent), self._angular.jvp(tangent)), dim=-1)


@dataclass(frozen=True)
class _Pairs:
    """Length and direction of every pair."""

    length: Tensor
    unit: Tensor

    @classmethod
    def of(cls, graph: PairGraph) -> _Pairs:
        length = torch.linalg.vector_norm(graph.vector, dim=1).clamp(min=SHORTEST_ANG)
        return cls(length, graph.vector / length[:, None])


def _cutoff(length: Tensor, cutoff_ang: float) -> tuple[Tensor, Tensor]:
    """Return the cutoff function and its derivative."""
    phase = length * (math.pi / cutoff_ang)
    inside = length < cutoff_ang
    value = torch.where(inside, 0.5 + 0.5 * torch.cos(phase), 0.0)
    return value, torch.where(inside, (-0.5 * math.pi / cutoff_ang) * torch.sin(phase), 0.0)


def _gaussians(distance: Tensor, shifts: tuple[float, ...], eta: float) -> tuple[Tensor, Tensor]:
    """Return exp(−η(distance − shift)²) and its derivative, with the shifts as a last dimension."""
    offset = distance[..., None] - distance.new_tensor(shifts)
    value = torch.exp(-eta * offset * offset)
    return value, (-2.0 * eta) * offset * value


class _Radial:
    def __init__(self, spec: DescriptorSpec, graph: PairGraph, pairs: _Pairs) -> None:
        self.spec, self.n_atoms, self.n_pairs = spec, graph.n_atoms, graph.n_pairs
        self.inside = torch.nonzero(pairs.length < spec.radial_cutoff_ang)[:, 0]
        self.length, self.unit = pairs.length[self.inside], pairs.unit[self.inside]
        neighbour_species = graph.species[graph.neighbour[self.inside]]
        self.row = graph.centre[self.inside] * spec.n_elements + neighbour_species

    def _terms(self) -> tuple[Tensor, Tensor]:
        """Return the terms of each pair and their derivatives by its length, shape (n_inside, n_shells)."""
        spec = self.spec
        shell, d_shell = _gaussians(self.length, spec.radial_shifts_ang, spec.radial_eta_per_ang2)
        cut, d_cut = _cutoff(self.length, spec.radial_cutoff_ang)
        derivative = d_shell * cut[:, None] + shell * d_cut[:, None]
        return RADIAL_FACTOR * shell * cut[:, None], RADIAL_FACTOR * derivative

    def _sums(self, terms: Tensor) -> Tensor:
        """Sum (n_inside, n_shells) to (n_atoms, n_radial_features)."""
        sums = terms.new_zeros(self.n_atoms * self.spec.n_elements, terms.shape[-1])
        return sums.index_add_(0, self.row, terms).reshape(self.n_atoms, self.spec.n_radial_features)

    def values(self) -> Tensor:
        return self._sums(self._terms()[0])

    def vjp(self, cotangent: Tensor) -> Tensor:
        derivative = self._terms()[1]
        by_row = cotangent.reshape(len(cotangent), -1, derivative.shape[1])
        slope = (by_row[:, self.row] * derivative).sum(dim=-1)
        gradient = cotangent.new_zeros(len(cotangent), self.n_pairs, 3)
        gradient[:, self.inside] = slope[..., None] * self.unit
        return gradient

    def jvp(self, tangent: Tensor) -> Tensor:
        stretch = (tangent[:, self.inside] * self.unit).sum(dim=-1)
        derivative = self._terms()[1]
        return torch.stack([self._sums(one[:, None] * derivative) for one in stretch])


@dataclass(frozen=True)
class _Triples:
    """Triples of a chunk of centres, padded to shape (n_centres, n_triples); padding has weight zero.

    ``pairs`` are the places of the two neighbours among the pairs inside the angular cutoff; what follows
    belongs to them or to both.
    """

    pairs: tuple[Tensor, Tensor]
    units: tuple[Tensor, Tensor]
    lengths: tuple[Tensor, Tensor]
    cosine: Tensor
    weight: Tensor
    d_weight: tuple[Tensor, Tensor]
    shell: Tensor
    d_shell: Tensor
    angle: Tensor
    d_angle: Tensor
    masks: Tensor | None

    def turns(self) -> tuple[Tensor, Tensor]:
        """Return the derivatives of the cosine by either vector."""
        (u1, u2), (r1, r2), c = self.units, self.lengths, self.cosine[..., None]
        return (u2 - c * u1) / r1[..., None], (u1 - c * u2) / r2[..., None]


class _Angular:
    def __init__(self, spec: DescriptorSpec, graph: PairGraph, pairs: _Pairs) -> None:
        self.spec, self.graph = spec, graph
        self.inside = torch.nonzero(pairs.length < spec.angular_cutoff_ang)[:, 0]
        self.length, self.unit = pairs.length[self.inside], pairs.unit[self.inside]
        self.species = graph.species[graph.neighbour[self.inside]]
        self.cut, self.d_cut = _cutoff(self.length, spec.angular_cutoff_ang)
        self.slots = self._slots()

    def _slots(self) -> Tensor:
        """Return which pairs (by place in ``inside``) each centre has, padded with −1: (n_atoms, most)."""
        centre = self.graph.centre[self.inside]
        count = torch.bincount(centre, minlength=self.graph.n_atoms)
        start = torch.cumsum(count, 0) - count
        order = torch.arange(len(centre), device=centre.device)
        most = int(count.max()) if len(centre) else 0
        slots = torch.full((self.graph.n_atoms, most), -1, dtype=torch.int64, device=centre.device)
        slots[centre, order - start[centre]] = order
        return slots

    def _chunks(self) -> Iterator[tuple[slice, _Triples]]:
        n_atoms, most = self.slots.shape
        n_triples = most * (most - 1) // 2
        if n_triples == 0:
            return
        limit = CHUNK_TRIPLES * (128 if self.slots.is_cuda else 1)
        step = max(1, limit // n_triples)
        first, second = torch.triu_indices(most, most, offset=1, device=self.slots.device)
        for start in range(0, n_atoms, step):
            part = slice(start, min(start + step, n_atoms))
            yield part, self._triples(self.slots[part, first], self.slots[part, second])

    def _triples(self, p1: Tensor, p2: Tensor) -> _Triples:
        spec = self.spec
        factor = torch.where((p1 >= 0) & (p2 >= 0), ANGULAR_FACTOR, 0.0).to(self.unit.dtype)
        p1, p2 = p1.clamp(min=0), p2.clamp(min=0)
        r1, r2, u1, u2 = self.length[p1], self.length[p2], self.unit[p1], self.unit[p2]
        cut1, cut2 = self.cut[p1], factor * self.cut[p2]
        cosine = (u1 * u2).sum(dim=-1)
        shell, d_shell = _gaussians(0.5 * (r1 + r2), spec.angular_shifts_ang, spec.angular_eta_per_ang2)
        angle, d_angle = self._angle_terms(cosine)
        return _Triples(
            pairs=(p1, p2),
            units=(u1, u2),
            lengths=(r1, r2),
            cosine=cosine,
            weight=cut1 * cut2,
            d_weight=(self.d_cut[p1] * cut2, cut1 * factor * self.d_cut[p2]),
            shell=shell,
            d_shell=d_shell,
            angle=angle,
            d_angle=d_angle,
            masks=self._element_pair_masks(self.species[p1], self.species[p2]),
        )

    def _angle_terms(self, cosine: Tensor) -> tuple[Tensor, Tensor]:
        """Return ((1 + cos(θ − θ_z))/2)^ζ and its derivative by the true cosine, (..., n_angles).

        cos(θ − θ_z) comes from the addition theorem; with θ = arccos(0.95 c) its sine never vanishes.
        """
        damped = COSINE_FACTOR * cosine[..., None]
        sine = torch.sqrt(1.0 - damped * damped)
        shifts = cosine.new_tensor(self.spec.angle_shifts_rad)
        cos_z, sin_z = torch.cos(shifts), torch.sin(shifts)
        base = 0.5 + 0.5 * (damped * cos_z + sine * sin_z)
        power = base ** (self.spec.zeta - 1.0)
        d_base = (0.5 * COSINE_FACTOR) * (cos_z - (damped / sine) * sin_z)
        return power * base, self.spec.zeta * power * d_base

    def _element_pair_masks(self, species1: Tensor, species2: Tensor) -> Tensor | None:
        """Return which triples belong to each element pair, (n_element_pairs, n_centres, n_triples)."""
        if self.spec.n_elements == 1:
            return None
        low, high = torch.minimum(species1, species2), torch.maximum(species1, species2)
        index = low * (2 * self.spec.n_elements - low - 1) // 2 + high
        pairs = torch.arange(self.spec.n_element_pairs, device=index.device)
        return (index == pairs[:, None, None]).to(self.unit.dtype)

    def values(self) -> Tensor:
        result = self.unit.new_zeros(self.graph.n_atoms, self.spec.n_angular_features)
        for part, t in self._chunks():
            result[part] = self._contract(t, t.weight[..., None] * t.shell, t.angle)
        return result

    def vjp(self, cotangent: Tensor) -> Tensor:
        inside = cotangent.new_zeros(len(cotangent), len(self.inside), 3)
        for part, t in self._chunks():
            turns = t.turns()
            for one, out in zip(cotangent, inside, strict=True):
                d_lengths, d_cosine = self._chunk_vjp(t, one[part])
                for k in range(2):
                    gradient = d_lengths[k][..., None] * t.units[k] + d_cosine[..., None] * turns[k]
                    out.index_add_(0, t.pairs[k].flatten(), gradient.reshape(-1, 3))
        gradient = cotangent.new_zeros(len(cotangent), self.graph.n_pairs, 3)
        gradient[:, self.inside] = inside
        return gradient

    def jvp(self, tangent: Tensor) -> Tensor:
        result = tangent.new_zeros(len(tangent), self.graph.n_atoms, self.spec.n_angular_features)
        for part, t in self._chunks():
            turns = t.turns()
            for one, out in zip(tangent[:, self.inside], result, strict=True):
                v1, v2 = one[t.pairs[0]], one[t.pairs[1]]
                dot_r1, dot_r2 = (t.units[0] * v1).sum(dim=-1), (t.units[1] * v2).sum(dim=-1)
                dot_cosine = (turns[0] * v1 + turns[1] * v2).sum(dim=-1)
                out[part] = self._chunk_jvp(t, dot_r1, dot_r2, dot_cosine)
        return result

    def _chunk_vjp(self, t: _Triples, cotangent: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return the derivatives by both lengths and by the cosine of each triple."""
        shape = (self.spec.n_element_pairs, t.shell.shape[-1], t.angle.shape[-1])
        block = cotangent.reshape(-1, *shape)
        by_shell = self._times(t, t.angle, block.mT)
        d_weight = (t.shell * by_shell).sum(dim=-1)
        d_mean = 0.5 * t.weight * (t.d_shell * by_shell).sum(dim=-1)
        d_cosine = t.weight * (self._times(t, t.shell, block) * t.d_angle).sum(dim=-1)
        return (d_mean + d_weight * t.d_weight[0], d_mean + d_weight * t.d_weight[1]), d_cosine

    def _chunk_jvp(self, t: _Triples, dot_r1: Tensor, dot_r2: Tensor, dot_cosine: Tensor) -> Tensor:
        """Return the change of the features that goes with changes of the lengths and the cosine."""
        dot_weight = t.d_weight[0] * dot_r1 + t.d_weight[1] * dot_r2
        dot_mean = 0.5 * t.weight * (dot_r1 + dot_r2)
        stretched = dot_weight[..., None] * t.shell + dot_mean[..., None] * t.d_shell
        turned = (t.weight * dot_cosine)[..., None] * t.d_angle
        return self._contract(t, stretched, t.angle) + self._contract(t, t.shell, turned)

    def _contract(self, t: _Triples, left: Tensor, right: Tensor) -> Tensor:
        """Return Σ_triples left ⊗ right by element pair: shape (n_centres, n_angular_features)."""
        if t.masks is None:
            block = left.mT @ right
        else:
            block = ((left * t.masks[..., None]).mT @ right).transpose(0, 1)
        return block.reshape(len(left), self.spec.n_angular_features)

    def _times(self, t: _Triples, terms: Tensor, block: Tensor) -> Tensor:
        """Return terms·block of each triple's own element pair: (n_centres, n_triples, columns)."""
        if t.masks is None:
            return terms @ block[:, 0]
        products = terms[:, None] @ block
        return (products * t.masks.transpose(0, 1)[..., None]).sum(dim=1)
