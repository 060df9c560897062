"""The reference kernel against its definition, written as one loop over pairs and triples."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from ase import Atoms
from torch import Tensor

from potentials.batch import Batch
from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import DescriptorSpec, PairGraph
from potentials.kernels import reference
from potentials.kernels.reference import TorchKernel
from potentials.neighbours import NeighbourList

SETTINGS = AniConfig(
    radial_cutoff_ang=4.3, angular_cutoff_ang=3.4, n_radial=7, n_angular_radial=3, n_angles=5
)


def from_definition(spec: DescriptorSpec, graph: PairGraph) -> Tensor:
    return torch.stack([_features_of(spec, graph, atom) for atom in range(graph.n_atoms)])


def _features_of(spec: DescriptorSpec, graph: PairGraph, atom: int) -> Tensor:
    first, last = graph.first_pair[atom : atom + 2].tolist()
    vectors = [graph.vector[pair] for pair in range(first, last)]
    species = graph.species[graph.neighbour[first:last]].tolist()
    like = graph.vector
    radial = [like.new_zeros(len(spec.radial_shifts_ang)) for _ in range(spec.n_elements)]
    for vector, element in zip(vectors, species, strict=True):
        r = vector.norm()
        if r < spec.radial_cutoff_ang:
            gaussian = torch.exp(
                -spec.radial_eta_per_ang2 * (r - like.new_tensor(spec.radial_shifts_ang)) ** 2
            )
            radial[element] = radial[element] + 0.25 * gaussian * _cut(r, spec.radial_cutoff_ang)
    pairs = list(itertools.combinations_with_replacement(range(spec.n_elements), 2))
    shape = (len(spec.angular_shifts_ang), len(spec.angle_shifts_rad))
    angular = {pair: like.new_zeros(shape) for pair in pairs}
    for (v, j), (w, k) in itertools.combinations(zip(vectors, species, strict=True), 2):
        if max(v.norm(), w.norm()) < spec.angular_cutoff_ang:
            key = (min(j, k), max(j, k))
            angular[key] = angular[key] + _triple(spec, v, w)
    return torch.cat([*radial, *(angular[pair].flatten() for pair in pairs)])


def _triple(spec: DescriptorSpec, v: Tensor, w: Tensor) -> Tensor:
    r, s = v.norm(), w.norm()
    theta = torch.arccos(0.95 * (v @ w) / (r * s))
    angle = ((1 + torch.cos(theta - v.new_tensor(spec.angle_shifts_rad))) / 2) ** spec.zeta
    offset = (r + s) / 2 - v.new_tensor(spec.angular_shifts_ang)
    shell = torch.exp(-spec.angular_eta_per_ang2 * offset**2)
    both = _cut(r, spec.angular_cutoff_ang) * _cut(s, spec.angular_cutoff_ang)
    return 2 * shell[:, None] * angle * both


def _cut(r: Tensor, cutoff: float) -> Tensor:
    return (1 + torch.cos(math.pi * r / cutoff)) / 2


def graph_of(frames: list[Atoms], elements: list[str], skin: float = 0.5) -> PairGraph:
    batch = Batch.from_frames(frames, elements, dtype=torch.float64)
    return NeighbourList(SETTINGS.radial_cutoff_ang, skin).graph(batch)


@pytest.mark.parametrize("elements", [["Al", "Cu"], ["Cu", "Ni", "Al"]])
def test_values_and_both_products_follow_the_definition(
    elements: list[str], frames: dict[str, Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "CHUNK_TRIPLES", 700)
    chosen = [frames["skewed"], frames["wire"]]
    chosen[0].symbols[1] = elements[1]
    graph = graph_of(chosen, elements)
    spec = DescriptorSpec.from_config(SETTINGS, len(elements))
    vector = graph.vector.clone().requires_grad_()
    expected = from_definition(spec, replace(graph, vector=vector))
    descriptors = TorchKernel(spec)(graph)
    torch.testing.assert_close(descriptors.values, expected.detach(), rtol=1e-12, atol=1e-13)

    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(2, *expected.shape, dtype=torch.float64, generator=generator)
    tangent = torch.randn(2, *vector.shape, dtype=torch.float64, generator=generator)
    pulled = descriptors.vjp(cotangent)
    for one, result in zip(cotangent, pulled, strict=True):
        (gradient,) = torch.autograd.grad((expected * one).sum(), vector, retain_graph=True)
        torch.testing.assert_close(result, gradient, rtol=1e-10, atol=1e-12)
    pushed = descriptors.jvp(tangent)
    left = torch.einsum("caf,taf->ct", cotangent, pushed)
    torch.testing.assert_close(left, torch.einsum("cpx,tpx->ct", pulled, tangent), rtol=1e-12, atol=1e-10)


def test_one_element_is_several_elements_of_one_kind(frames: dict[str, Atoms]) -> None:
    frame = frames["skewed"]
    frame.symbols[:] = "Al"
    alone = TorchKernel(DescriptorSpec.from_config(SETTINGS, 1))(graph_of([frame], ["Al"])).values
    both = TorchKernel(DescriptorSpec.from_config(SETTINGS, 2))(graph_of([frame], ["Al", "Cu"])).values
    assert torch.count_nonzero(both) == torch.count_nonzero(alone)
    torch.testing.assert_close(both[both != 0], alone[alone != 0])


def test_pairs_of_the_skin_change_nothing(frames: dict[str, Atoms]) -> None:
    chosen = [frames["cubic"], frames["slab"]]
    kernel = TorchKernel(DescriptorSpec.from_config(SETTINGS, 2))
    bare, padded = (graph_of(chosen, ["Al", "Cu"], skin) for skin in (0.0, 2.0))
    assert padded.n_pairs > bare.n_pairs
    torch.testing.assert_close(kernel(padded).values, kernel(bare).values, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("cutoff", [SETTINGS.radial_cutoff_ang, SETTINGS.angular_cutoff_ang])
def test_values_and_slopes_vanish_smoothly_at_the_cutoffs(cutoff: float) -> None:
    """A third atom crosses a cutoff; descriptors and their slopes follow without a jump."""
    kernel = TorchKernel(DescriptorSpec.from_config(SETTINGS, 1))

    def at(distance: float) -> tuple[Tensor, Tensor]:
        trimer = Atoms("Al3", positions=[[0, 0, 0], [2.5, 0, 0], [0, distance, 0]])
        descriptors = kernel(graph_of([trimer], ["Al"]))
        slope = descriptors.vjp(torch.ones_like(descriptors.values)[None])
        return descriptors.values, slope.abs().max()

    for step in (1e-3, 1e-4):
        (inside, slope_inside), (outside, slope_outside) = at(cutoff - step), at(cutoff + step)
        assert (inside - outside).abs().max() < step
        assert (slope_inside - slope_outside).abs() < 10 * step


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-5, 0.05])
def test_coincident_atoms_give_finite_numbers(distance: float) -> None:
    frame = Atoms("Al3", positions=[[0, 0, 0], [distance, 0, 0], [0, 2.5, 0]])
    descriptors = TorchKernel(DescriptorSpec.from_config(SETTINGS, 1))(graph_of([frame], ["Al"]))
    ones = torch.ones_like(descriptors.values)[None]
    tangent = torch.ones_like(descriptors.graph.vector)[None]
    for result in (descriptors.values, descriptors.vjp(ones), descriptors.jvp(tangent)):
        assert torch.isfinite(result).all()


def test_an_atom_alone_has_no_features() -> None:
    descriptors = TorchKernel(DescriptorSpec.from_config(SETTINGS, 1))(graph_of([Atoms("Al")], ["Al"]))
    assert torch.count_nonzero(descriptors.values) == 0
    assert descriptors.vjp(torch.ones_like(descriptors.values)[None]).shape == (1, 0, 3)


def test_shells_and_angles_are_the_published_ones() -> None:
    spec = DescriptorSpec.from_config(AniConfig(), 1)
    assert spec.n_features == 96
    assert spec.radial_shifts_ang[-1] == pytest.approx(6.8203125)
    assert spec.angular_shifts_ang[-1] == pytest.approx(4.53125)
    assert spec.angle_shifts_rad[0] == pytest.approx(0.19634954)
    assert DescriptorSpec.from_config(AniConfig(), 3).n_features == 3 * 32 + 6 * 64


def test_shells_and_angles_overlap_unless_told_otherwise() -> None:
    """A bell has fallen to 1/√e at its standard deviation, here 0.8 times the distance to its neighbour."""
    spec = DescriptorSpec.from_config(AniConfig(radial_cutoff_ang=6.5, n_radial=24, n_angular_radial=6), 1)
    radial_step = spec.radial_shifts_ang[1] - spec.radial_shifts_ang[0]
    angular_step = spec.angular_shifts_ang[1] - spec.angular_shifts_ang[0]
    angle_step = spec.angle_shifts_rad[1] - spec.angle_shifts_rad[0]
    assert math.exp(-spec.radial_eta_per_ang2 * (0.8 * radial_step) ** 2) == pytest.approx(math.exp(-0.5))
    assert math.exp(-spec.angular_eta_per_ang2 * (0.8 * angular_step) ** 2) == pytest.approx(math.exp(-0.5))
    bell = ((1 + math.cos(0.8 * angle_step)) / 2) ** spec.zeta
    assert bell == pytest.approx(math.exp(-0.5), rel=0.05)
    given = DescriptorSpec.from_config(AniConfig(**PUBLISHED_WIDTHS), 1)
    assert (given.radial_eta_per_ang2, given.angular_eta_per_ang2, given.zeta) == (43.9, 6.5, 69.4)
    assert DescriptorSpec.from_config(AniConfig(n_angles=1), 1).zeta == 1.0
