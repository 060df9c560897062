"""What is compiled beside the descriptors, against PyTorch and NumPy, which serve without a compiler."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials.batch import Batch
from potentials.kernels.celu import celu
from potentials.kernels.library import forgone, library
from potentials.kernels.pairs import both_ends, forces_from_pairs
from potentials.neighbours import NeighbourList

compiled = pytest.mark.skipif(library()[0] is None, reason=library()[1])
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}


def alloy() -> Atoms:
    frame = bulk("Al", cubic=True) * (2, 1, 3)
    frame.rattle(0.2, seed=1)
    return frame


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("way", [pytest.param("compiled", marks=compiled), "torch"])
def test_celu_and_its_slope(dtype: torch.dtype, way: str) -> None:
    z = torch.cat([torch.linspace(-3.0, 2.0, 1001), torch.tensor([0.0, -1e4, 1e4])]).to(dtype)
    expected = torch.nn.functional.celu(z, 0.1)
    slope = torch.exp(z.clamp(max=0.0) / 0.1)
    if way == "torch":
        with forgone():
            found = celu(z.clone(), 0.1)
    else:
        found = celu(z.clone(), 0.1)
    for a, b in zip(found, (expected, slope), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=2.0 * TOLERANCE[dtype])


@pytest.mark.parametrize("way", [pytest.param("compiled", marks=compiled), "torch"])
def test_celu_passes_on_what_is_not_a_number(way: str) -> None:
    z = torch.tensor([1.0, math.nan, -1.0])
    if way == "torch":
        with forgone():
            hidden, _ = celu(z, 0.1)
    else:
        hidden, _ = celu(z, 0.1)
    assert hidden.isnan().tolist() == [False, True, False]


def test_celu_leaves_alone_what_is_differentiated() -> None:
    z = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: celu(z, 0.1), (z,))


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_compiled_forces_are_those_of_torch(dtype: torch.dtype) -> None:
    batch = Batch.from_frames([alloy(), alloy()[:7]], ["Al"], dtype=dtype)
    graph = NeighbourList(5.0).graph(batch)
    gradients = torch.randn(3, graph.n_pairs, 3, dtype=dtype, generator=torch.Generator().manual_seed(2))
    found = forces_from_pairs(graph, gradients)
    with forgone():
        expected = forces_from_pairs(graph, gradients)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=100 * TOLERANCE[dtype])


@compiled
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_compiled_vectors_are_those_of_torch(dtype: torch.dtype) -> None:
    batch = Batch.from_frames([alloy(), alloy()[:7]], ["Al"], dtype=dtype)
    lists = NeighbourList(5.0)
    found = lists.graph(batch).vector
    with forgone():
        assert torch.equal(lists.graph(batch).vector, found)
    assert lists.n_frames_rebuilt == 2


@compiled
def test_vectors_can_be_differentiated() -> None:
    batch = Batch.from_frames([alloy()], ["Al"], dtype=torch.float64)
    lists = NeighbourList(3.0)
    lists.graph(batch)
    positions = batch.positions.clone().requires_grad_()
    graph = lists.graph(replace(batch, positions=positions))
    weights = torch.arange(3.0 * graph.n_pairs, dtype=torch.float64).reshape(-1, 3)
    (slope,) = torch.autograd.grad((graph.vector * weights).sum(), positions)
    torch.testing.assert_close(slope, -forces_from_pairs(graph, weights[None])[0])


@compiled
def test_forces_can_be_differentiated() -> None:
    graph = NeighbourList(3.0).graph(Batch.from_frames([alloy()], ["Al"], dtype=torch.float64))
    gradients = torch.ones(1, graph.n_pairs, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(3.0 * graph.n_atoms, dtype=torch.float64).reshape(1, -1, 3)
    (slope,) = torch.autograd.grad((forces_from_pairs(graph, gradients) * weights).sum(), gradients)
    assert torch.equal(slope, weights[:, graph.centre] - weights[:, graph.neighbour])


@compiled
def test_compiled_lists_are_those_of_numpy() -> None:
    rng = np.random.default_rng(4)
    pairs = rng.integers(0, 20, (150, 2)).astype(np.uint64)
    shifts, box = rng.integers(-2, 3, (150, 3)).astype(np.int32), rng.normal(size=(3, 3))
    found = both_ends(pairs, shifts, box, 22)
    with forgone():
        expected = both_ends(pairs, shifts, box, 22)
    for a, b in zip(found[:3], expected[:3], strict=True):
        assert a.dtype == b.dtype == np.int64
        assert (a == b).all()
    np.testing.assert_allclose(found.offset_ang, expected.offset_ang, rtol=0.0, atol=1e-14)


@compiled
def test_lists_without_pairs() -> None:
    found = both_ends(np.empty((0, 2), np.uint64), np.empty((0, 3), np.int32), np.eye(3), 3)
    assert found.first_pair.tolist() == [0, 0, 0, 0]
    assert found.offset_ang.shape == (0, 3)
