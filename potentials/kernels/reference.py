"""Descriptors in plain torch: any device, any floating-point type; what other kernels are checked against.

Centres are taken in chunks of like numbers of neighbours, which fill the slots of a row; slots left over hold
a neighbour at the cutoff, where every term is zero. Shells and angles come before slots and triples, so that
operations run along memory. Terms of triples are never kept: per centre the angular block is a small product
(shells × triples)·(triples × angles), for the values as for both products with the Jacobian.

With an odd number m of slots, the triples of a centre are the slots j and j + d (mod m), d = 1 to (m − 1)/2:
what belongs to the second slot is the first's shifted by d, which costs a view instead of a gather.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
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

CHUNK_TRIPLES = 1 << 14
"""Triples (or pairs) handled at once on a CPU, to stay in its cache; a GPU takes 256 times as many."""


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
        self._radial = _Radial(spec, graph)
        self._angular = _Angular(spec, graph)

    @functools.cached_property
    def values(self) -> Tensor:
        """Shape (n_atoms, n_features)."""
        return torch.cat((self._radial.values(), self._angular.values()), dim=-1)

    def vjp(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ·cotangent: from shape (n_cot, n_atoms, n_features) to (n_cot, n_pairs, 3)."""
        radial, angular = cotangent.tensor_split([self.spec.n_radial_features], dim=-1)
        gradient = cotangent.new_zeros(len(cotangent), self.graph.n_pairs, 3)
        self._radial.add_vjp(radial, gradient)
        self._angular.add_vjp(angular, gradient)
        return gradient

    def jvp(self, tangent: Tensor) -> Tensor:
        """Return J·tangent: from shape (n_tan, n_pairs, 3) to (n_tan, n_atoms, n_features)."""
        return torch.cat((self._radial.jvp(tangent), self._angular.jvp(tangent)), dim=-1)


class _Inside:
    """The pairs inside a cutoff, and one more at the cutoff itself that fills empty slots.

    Attributes
    ----------
    places
        Which pairs of the graph, shape (n_inside,).
    length, unit
        Of each, shape (n_inside + 1,) and (3, n_inside + 1); the filling has no direction.
    cut, d_cut
        The cutoff function and its derivative; zero for the filling.
    species
        Element of the neighbour.
    """

    def __init__(self, graph: PairGraph, cutoff_ang: float) -> None:
        length = torch.linalg.vector_norm(graph.vector, dim=1).clamp(min=SHORTEST_ANG)
        self.places = torch.nonzero(length < cutoff_ang)[:, 0]
        length = length[self.places]
        unit = (graph.vector[self.places] / length[:, None]).mT
        self.length = torch.cat((length, length.new_full((1,), cutoff_ang)))
        self.unit = torch.cat((unit, unit.new_zeros(3, 1)), dim=1)
        phase = self.length * (math.pi / cutoff_ang)
        within = self.length < cutoff_ang
        self.cut = torch.where(within, 0.5 + 0.5 * torch.cos(phase), 0.0)
        self.d_cut = torch.where(within, (-0.5 * math.pi / cutoff_ang) * torch.sin(phase), 0.0)
        species = graph.species[graph.neighbour[self.places]]
        self.species = torch.cat((species, species.new_zeros(1)))
        self._centre, self._n_atoms = graph.centre[self.places], graph.n_atoms

    def chunks(self, n_terms: Callable[[int], int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield centres, shape (c,), and which of the inside pairs fill their slots, shape (c, most).

        ``n_terms`` gives the number of terms of so many neighbours; centres that have none are left out.
        """
        count = torch.bincount(self._centre, minlength=self._n_atoms)
        start, order = torch.cumsum(count, 0) - count, torch.argsort(count)
        counts = count[order].tolist()
        limit = CHUNK_TRIPLES * (256 if count.is_cuda else 1)
        end = len(counts)
        while end > 0 and n_terms(counts[end - 1]) > 0:
            most = counts[end - 1]
            first = max(0, end - max(1, limit // n_terms(most)))
            centres = order[first:end]
            slots = torch.arange(most, device=count.device)
            filled = slots < count[centres, None]
            yield centres, torch.where(filled, start[centres, None] + slots, len(self.places))
            end = first

    def scatter(self, slots: Tensor, values: Tensor, out: Tensor) -> None:
        """Add ``values``, shape (c, 3, most), to the pairs of ``out`` that are in ``slots``."""
        filled = slots < len(self.places)
        out.index_add_(0, self.places[slots[filled]], values.mT[filled])

    def of_pairs(self, values: Tensor) -> Tensor:
        """Return ``values``, shape (n_pairs, 3), of inside pairs and filling, shape (3, n_inside + 1)."""
        inside = values[self.places].mT
        return torch.cat((inside, inside.new_zeros(3, 1)), dim=1)


class _Radial:
    def __init__(self, spec: DescriptorSpec, graph: PairGraph) -> None:
        self.spec, self.n_atoms = spec, graph.n_atoms
        self.inside = _Inside(graph, spec.radial_cutoff_ang)
        self.shifts = graph.vector.new_tensor(spec.radial_shifts_ang)[:, None]
        self.elements = torch.eye(spec.n_elements, dtype=graph.vector.dtype, device=graph.vector.device)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield centres, slots, Gaussians (c, n_shells, most), and which element is where (c, most, n)."""
        for centres, slots in self.inside.chunks(lambda n: n):
            shells = _gaussians(self.inside.length[slots], self.shifts, self.spec.radial_eta_per_ang2)
            yield centres, slots, shells, self.elements[self.inside.species[slots]]

    def values(self) -> Tensor:
        result = self.shifts.new_zeros(self.n_atoms, self.spec.n_elements, len(self.shifts))
        for centres, slots, shells, element in self._chunks():
            weight = RADIAL_FACTOR * self.inside.cut[slots]
            result[centres] = (shells @ (weight[..., None] * element)).mT
        return result.flatten(1)

    def add_vjp(self, cotangent: Tensor, out: Tensor) -> None:
        eta, near = self.spec.radial_eta_per_ang2, self.inside
        by_element = cotangent.reshape(len(cotangent), self.n_atoms, self.spec.n_elements, -1)
        for centres, slots, shells, element in self._chunks():
            length, cut, d_cut = near.length[slots], near.cut[slots], near.d_cut[slots]
            for one, gradient in zip(by_element, out, strict=True):
                both = torch.cat((one[centres], one[centres] * self.shifts[:, 0]), dim=1) @ shells
                level, moment = ((part * element.mT).sum(dim=1) for part in both.chunk(2, dim=1))
                slope = d_cut * level - 2.0 * eta * cut * (length * level - moment)
                near.scatter(slots, RADIAL_FACTOR * slope[:, None] * _at(near.unit, slots), gradient)

    def jvp(self, tangent: Tensor) -> Tensor:
        eta, near = self.spec.radial_eta_per_ang2, self.inside
        result = tangent.new_zeros(len(tangent), self.n_atoms, self.spec.n_elements, len(self.shifts))
        stretches = [(near.of_pairs(one) * near.unit).sum(dim=0) for one in tangent]
        for centres, slots, shells, element in self._chunks():
            length, cut, d_cut = near.length[slots], near.cut[slots], near.d_cut[slots]
            for stretch, out in zip(stretches, result, strict=True):
                dot = RADIAL_FACTOR * stretch[slots]
                level = shells @ (((d_cut - 2.0 * eta * length * cut) * dot)[..., None] * element)
                moment = shells @ ((2.0 * eta * cut * dot)[..., None] * element)
                out[centres] = (level + self.shifts * moment).mT
        return result.flatten(2)


@dataclass(frozen=True)
class _Triples:
    """Triples of a chunk of centres, n of each: what belongs to slots and to triples of slots.

    Attributes
    ----------
    slots
        Shape (c, m).
    length, cut, d_cut, unit
        Of slots, (c, m), and (c, 3, m).
    cosine, mean, weight
        True cosine, mean distance, and product of the cutoff functions, (c, n).
    shell, power, base
        Gaussians of the mean distance, (c, n_shells, n); (1 + cos(θ − θ_z))/2 to the power ζ − 1 and itself,
        (c, n_angles, n).
    ratio
        Cosine over sine of θ, (c, n).
    masks
        For each element pair, which triples are of it, (c, n); ``None`` with one element.
    """

    slots: Tensor
    length: Tensor
    cut: Tensor
    d_cut: Tensor
    unit: Tensor
    cosine: Tensor
    mean: Tensor
    weight: Tensor
    shell: Tensor
    power: Tensor
    base: Tensor
    ratio: Tensor
    masks: list[Tensor] | None

    def contract(self, left: Tensor, right: Tensor) -> Tensor:
        """Return Σ_triples left ⊗ right by element pair, (c, n_angular_features)."""
        if self.masks is None:
            return (left @ right.mT).flatten(1)
        blocks = [(left * mask[:, None]) @ right.mT for mask in self.masks]
        return torch.stack(blocks, dim=1).flatten(1)

    def times(self, blocks: Tensor, terms: Tensor) -> Tensor:
        """Return each triple's own block, (c, n_element_pairs, rows, columns), times its terms."""
        if self.masks is None:
            return blocks[:, 0] @ terms
        products = [blocks[:, i] @ (terms * mask[:, None]) for i, mask in enumerate(self.masks)]
        return torch.stack(products).sum(dim=0)


class _Angular:
    def __init__(self, spec: DescriptorSpec, graph: PairGraph) -> None:
        self.spec, self.n_atoms = spec, graph.n_atoms
        self.inside = _Inside(graph, spec.angular_cutoff_ang)
        self.shifts = graph.vector.new_tensor(spec.angular_shifts_ang)[:, None]
        angles = graph.vector.new_tensor(spec.angle_shifts_rad)[:, None]
        self.half_cosine, self.half_sine = 0.5 * torch.cos(angles), 0.5 * torch.sin(angles)

    def _chunks(self) -> Iterator[tuple[Tensor, _Triples]]:
        for centres, slots in self.inside.chunks(lambda n: n * (n - 1) // 2):
            if slots.shape[1] % 2 == 0:
                slots = torch.nn.functional.pad(slots, (0, 1), value=len(self.inside.places))
            yield centres, self._triples(slots)

    def _triples(self, slots: Tensor) -> _Triples:
        near = self.inside
        length, cut, unit = near.length[slots], near.cut[slots], _at(near.unit, slots)
        cosine = _of_both(unit).sum(dim=1).flatten(1)
        mean = (0.5 * (length[:, None] + _partners(length))).flatten(1)
        damped = COSINE_FACTOR * cosine
        sine = torch.sqrt(1.0 - damped * damped)  # of θ = arccos(0.95 c), which never vanishes
        # cos(θ − θ_z) by the addition theorem
        base = torch.addcmul(damped.new_tensor(0.5), damped[:, None], self.half_cosine)
        base.addcmul_(sine[:, None], self.half_sine)
        return _Triples(
            slots=slots,
            length=length,
            cut=cut,
            d_cut=near.d_cut[slots],
            unit=unit,
            cosine=cosine,
            mean=mean,
            weight=(ANGULAR_FACTOR * _of_both(cut)).flatten(1),
            shell=_gaussians(mean, self.shifts, self.spec.angular_eta_per_ang2),
            power=torch.log2(base).mul_(self.spec.zeta - 1.0).exp2_(),
            base=base,
            ratio=damped / sine,
            masks=self._masks(near.species[slots]),
        )

    def _masks(self, species: Tensor) -> list[Tensor] | None:
        """Return which triples belong to each element pair."""
        n = self.spec.n_elements
        if n == 1:
            return None
        first, second = species[:, None].expand_as(_partners(species)), _partners(species)
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        index = (low * (2 * n - low - 1) // 2 + high).flatten(1)
        return [(index == pair).to(self.shifts.dtype) for pair in range(self.spec.n_element_pairs)]

    def values(self) -> Tensor:
        result = self.shifts.new_zeros(self.n_atoms, self.spec.n_angular_features)
        for centres, t in self._chunks():
            result[centres] = t.contract(t.weight[:, None] * t.shell, t.power * t.base)
        return result

    def add_vjp(self, cotangent: Tensor, out: Tensor) -> None:
        shape = (self.spec.n_element_pairs, len(self.shifts), len(self.half_cosine))
        blocks = cotangent.reshape(len(cotangent), self.n_atoms, *shape)
        for centres, t in self._chunks():
            angle = t.power * t.base
            for one, gradient in zip(blocks, out, strict=True):
                self.inside.scatter(t.slots, self._chunk_vjp(t, angle, one[centres]), gradient)

    def _chunk_vjp(self, t: _Triples, angle: Tensor, block: Tensor) -> Tensor:
        """Return the derivative by the vector of every slot, (c, 3, m)."""
        by_shell = t.times(block, angle).mul_(t.shell)
        level, moment = by_shell.sum(dim=1), (self.shifts * by_shell).sum(dim=1)
        d_mean = -self.spec.angular_eta_per_ang2 * t.weight * (t.mean * level - moment)
        by_angle = t.times(block.mT, t.shell).mul_(t.power)
        along, across = (self.half_cosine * by_angle).sum(dim=1), (self.half_sine * by_angle).sum(dim=1)
        d_cosine = (self.spec.zeta * COSINE_FACTOR) * t.weight * (along - t.ratio * across)
        d_length = _sums(d_mean, torch.ones_like(t.cut)) + t.d_cut * _sums(ANGULAR_FACTOR * level, t.cut)
        turned = _sums(d_cosine * t.cosine, torch.ones_like(t.cut)) / t.length
        pulled = torch.stack([_sums(d_cosine, axis) for axis in t.unit.unbind(1)], dim=1)
        return t.unit * (d_length - turned)[:, None] + pulled / t.length[:, None]

    def jvp(self, tangent: Tensor) -> Tensor:
        result = tangent.new_zeros(len(tangent), self.n_atoms, self.spec.n_angular_features)
        inside = [self.inside.of_pairs(one) for one in tangent]
        for centres, t in self._chunks():
            angle = t.power * t.base
            for one, out in zip(inside, result, strict=True):
                out[centres] = self._chunk_jvp(t, angle, _at(one, t.slots))
        return result

    def _chunk_jvp(self, t: _Triples, angle: Tensor, vector: Tensor) -> Tensor:
        """Return the change of the features that goes with a change of the slots' vectors, (c, 3, m)."""
        stretch = (vector * t.unit).sum(dim=1)
        turn = (vector - stretch[:, None] * t.unit) / t.length[:, None]
        dot_mean = (0.5 * (stretch[:, None] + _partners(stretch))).flatten(1)
        dot_weight = ANGULAR_FACTOR * _both_ways(t.d_cut * stretch, t.cut).flatten(1)
        dot_cosine = _both_ways(turn, t.unit).sum(dim=1).flatten(1)
        slope = 2.0 * self.spec.angular_eta_per_ang2 * t.weight * dot_mean
        change = torch.addcmul((dot_weight - slope * t.mean)[:, None], slope[:, None], self.shifts)
        spin = (self.spec.zeta * COSINE_FACTOR) * t.weight * dot_cosine
        turned = spin[:, None] * self.half_cosine - (spin * t.ratio)[:, None] * self.half_sine
        return t.contract(change * t.shell, angle) + t.contract(t.shell, turned * t.power)


def _gaussians(distance: Tensor, shifts: Tensor, eta: float) -> Tensor:
    """Return exp(−η(distance − shift)²): from (c, n) and (n_shells, 1) to (c, n_shells, n).

    As a power of 2: where the result underflows, as most do, exp takes ten times as long on a CPU.
    """
    return (distance[:, None] - shifts).square_().mul_(-eta / math.log(2.0)).exp2_()


def _at(values: Tensor, slots: Tensor) -> Tensor:
    """Return (3, n) at ``slots``, (c, m), as (c, 3, m)."""
    return torch.stack([axis[slots] for axis in values], dim=1)


def _partners(values: Tensor) -> Tensor:
    """Return what belongs to the second slot of each triple: from (..., m) to (..., (m − 1)/2, m)."""
    m = values.shape[-1]
    return torch.cat((values, values[..., :-1]), dim=-1).unfold(-1, m, 1)[..., 1 : (m + 1) // 2, :]


def _of_both(values: Tensor) -> Tensor:
    """Return the product of both slots' values, (..., (m − 1)/2, m)."""
    return values[..., None, :] * _partners(values)


def _both_ways(one: Tensor, other: Tensor) -> Tensor:
    """Return one·other' + one'·other, the prime for the second slot, (..., (m − 1)/2, m)."""
    return one[..., None, :] * _partners(other) + _partners(one) * other[..., None, :]


def _sums(terms: Tensor, values: Tensor) -> Tensor:
    """Sum over the triples of each slot: a term, (c, n), times the other slot's value, (c, m)."""
    m = values.shape[-1]
    terms = terms.reshape(len(terms), -1, m)
    here = (terms * _partners(values)).sum(dim=1)
    there = terms * values[:, None]
    doubled = torch.cat((there, there), dim=-1)
    # the term of slots k − d and k, seen from slot k: row d − 1, column m + k − d
    seen = doubled.as_strided(terms.shape, (doubled.stride(0), 2 * m - 1, 1), m - 1)
    return here + seen.sum(dim=1)
