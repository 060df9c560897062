from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from potentials.batch import Batch
from potentials.descriptors import PairGraph
from potentials.neighbours import NeighbourList

CUTOFF = 5.0
ELEMENTS = ["Al", "Cu"]


def batch_of(*frames: Atoms) -> Batch:
    return Batch.from_frames(frames, ELEMENTS, dtype=torch.float64)


def pairs(graph: PairGraph, cutoff: float = CUTOFF) -> list[tuple[float, ...]]:
    """Return the pairs within the cutoff in an order that does not depend on the list's."""
    inside = graph.vector.norm(dim=1) < cutoff
    rows = zip(
        graph.centre[inside].tolist(), graph.neighbour[inside].tolist(), graph.vector[inside], strict=True
    )
    return sorted((i, j, *(round(x, 8) + 0.0 for x in vector.tolist())) for i, j, vector in rows)


def pairs_by_ase(frame: Atoms) -> list[tuple[float, ...]]:
    i, j, vectors = neighbor_list("ijD", frame, CUTOFF)
    return sorted(
        (int(a), int(b), *(round(float(x), 8) + 0.0 for x in v))
        for a, b, v in zip(i, j, vectors, strict=True)
    )


def check_layout(graph: PairGraph) -> None:
    assert graph.first_pair.shape == (graph.n_atoms + 1,)
    assert int(graph.first_pair[-1]) == graph.n_pairs
    counts = torch.diff(graph.first_pair)
    assert torch.equal(torch.repeat_interleave(torch.arange(graph.n_atoms), counts), graph.centre)
    assert torch.equal(graph.frame_index[graph.centre], graph.frame_index[graph.neighbour])


@pytest.mark.parametrize("skin", [0.0, 1.0])
def test_every_kind_of_cell_has_the_pairs_that_ase_finds(frames: dict[str, Atoms], skin: float) -> None:
    for name, frame in frames.items():
        graph = NeighbourList(CUTOFF, skin).graph(batch_of(frame))
        check_layout(graph)
        assert pairs(graph) == pairs_by_ase(frame), name


def test_a_batch_holds_the_pairs_of_its_frames(frames: dict[str, Atoms]) -> None:
    graph = NeighbourList(CUTOFF).graph(batch_of(*frames.values()))
    check_layout(graph)
    expected, first = [], 0
    for frame in frames.values():
        expected += [(i + first, j + first, *v) for i, j, *v in pairs_by_ase(frame)]
        first += len(frame)
    assert pairs(graph) == expected


def test_atoms_far_outside_the_cell_see_the_same_neighbours(frames: dict[str, Atoms]) -> None:
    frame = frames["skewed"]
    moved = frame.copy()
    moved.positions += np.array([[3, -40, 7], [0, 0, 0], [-1, 100, 2], [5, 5, 5]]) @ frame.cell.array
    a, b = (NeighbourList(CUTOFF).graph(batch_of(f)) for f in (frame, moved))
    assert [p[:2] for p in pairs(a)] == [p[:2] for p in pairs(b)]
    torch.testing.assert_close(a.vector.norm(dim=1).sort()[0], b.vector.norm(dim=1).sort()[0])


def test_a_skinned_list_stays_right_along_a_random_walk(
    frames: dict[str, Atoms], rng: np.random.Generator
) -> None:
    batch = batch_of(frames["cubic"], frames["slab"], frames["cluster"])
    kept = NeighbourList(CUTOFF, skin_ang=0.8)
    for _ in range(40):
        step = torch.from_numpy(rng.normal(scale=0.04, size=(batch.n_atoms, 3)))
        batch = replace(batch, positions=batch.positions + step)
        assert pairs(kept.graph(batch)) == pairs(NeighbourList(CUTOFF).graph(batch))
    assert 3 < kept.n_frames_rebuilt < 60


def test_slow_drift_is_measured_from_where_the_list_was_made(frames: dict[str, Atoms]) -> None:
    batch = batch_of(frames["cluster"])
    kept = NeighbourList(CUTOFF, skin_ang=0.5)
    direction = torch.zeros_like(batch.positions)
    direction[0, 0] = 0.1
    for _ in range(60):
        batch = replace(batch, positions=batch.positions + direction)
        assert pairs(kept.graph(batch)) == pairs(NeighbourList(CUTOFF).graph(batch))
    assert kept.n_frames_rebuilt > 10


def test_only_frames_that_need_it_are_rebuilt(frames: dict[str, Atoms]) -> None:
    first, second, third = frames["cubic"], frames["slab"], frames["tiny"]
    kept = NeighbourList(CUTOFF, skin_ang=1.0)
    kept.graph(batch_of(first, second, third))
    assert kept.n_frames_rebuilt == 3

    second.positions[0, 0] += 0.49
    kept.graph(batch_of(first, second, third))
    assert kept.n_frames_rebuilt == 3

    second.positions[0, 0] += 0.02
    third.set_cell(third.cell * 1.01)
    assert pairs(kept.graph(batch_of(first, second, third))) == pairs(
        NeighbourList(CUTOFF).graph(batch_of(first, second, third))
    )
    assert kept.n_frames_rebuilt == 5


def test_a_slot_refilled_with_another_size_rebuilds_that_slot_alone(frames: dict[str, Atoms]) -> None:
    kept = NeighbourList(CUTOFF, skin_ang=1.0)
    kept.graph(batch_of(frames["cubic"], frames["slab"], frames["skewed"]))
    moved = frames["skewed"].copy()
    moved.positions[0, 1] += 0.3
    refilled = batch_of(frames["cubic"], frames["cluster"], moved)
    assert pairs(kept.graph(refilled)) == pairs(NeighbourList(CUTOFF).graph(refilled))
    assert kept.n_frames_rebuilt == 4
    moved.positions[0, 1] += 0.3
    later = batch_of(frames["cubic"], frames["cluster"], moved)
    assert pairs(kept.graph(later)) == pairs(NeighbourList(CUTOFF).graph(later))
    assert kept.n_frames_rebuilt == 5


@pytest.mark.parametrize("what", ["positions", "cells"])
def test_the_caller_may_change_a_batch_in_place(what: str) -> None:
    batch = batch_of(bulk("Al", cubic=True))
    kept = NeighbourList(CUTOFF, skin_ang=0.5)
    kept.graph(batch)
    getattr(batch, what)[0, 0] += 1.0
    assert pairs(kept.graph(batch)) == pairs(NeighbourList(CUTOFF).graph(batch))
    assert kept.n_frames_rebuilt == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_positions_that_are_not_finite_are_named(value: float) -> None:
    good, bad = bulk("Al", cubic=True), bulk("Al", cubic=True)
    kept = NeighbourList(CUTOFF, skin_ang=1.0)
    kept.graph(batch_of(good, bad))
    bad.positions[2, 1] = value
    with pytest.raises(ValueError, match="frame 1: atom 2 is at"):
        kept.graph(batch_of(good, bad))


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), np.diag([4.0, 4.0, 0.0]), [[4, 0, 0], [0, 4, 0], [4, 4, 0]]]
)
def test_a_singular_periodic_cell_is_refused(cell: object) -> None:
    frame = Atoms("Al", cell=cell, pbc=True)
    with pytest.raises(ValueError, match=r"frame 0: periodic cell vectors .* linearly dependent"):
        NeighbourList(CUTOFF).graph(batch_of(frame))
    frame.pbc = False
    assert NeighbourList(CUTOFF).graph(batch_of(frame)).n_pairs == 0


def test_directions_that_do_not_repeat_need_no_cell_vector() -> None:
    chain = Atoms("Al", cell=[[0, 0, 0], [0, 0, 2.5], [0, 5, 0]], pbc=(False, True, False))
    graph = NeighbourList(CUTOFF + 0.1).graph(batch_of(chain))
    assert sorted(graph.vector[:, 2].tolist()) == [-5.0, -2.5, 2.5, 5.0]
    assert torch.count_nonzero(graph.vector[:, :2]) == 0


@pytest.mark.parametrize(("cutoff", "skin"), [(0.0, 1.0), (5.0, -0.1), (float("nan"), 0.0)])
def test_senseless_cutoffs_are_refused(cutoff: float, skin: float) -> None:
    with pytest.raises(ValueError, match="expected > 0 and >= 0"):
        NeighbourList(cutoff, skin)


def test_a_list_that_will_not_last_is_renewed_beforehand(frames: dict[str, Atoms]) -> None:
    first, second = frames["cubic"], frames["slab"]
    kept = NeighbourList(CUTOFF, skin_ang=1.0)
    kept.graph(batch_of(first, second))
    second.positions[0, 0] += 0.3
    batch = batch_of(first, second)
    ahead = torch.full((batch.n_atoms,), 0.1, dtype=torch.float64)
    kept.renew(batch, ahead)
    assert kept.n_frames_rebuilt == 2
    ahead[len(first)] = 0.21
    kept.renew(batch, ahead)
    assert kept.n_frames_rebuilt == 3
    ahead[:] = 0.4
    kept.renew(batch, ahead)
    assert kept.n_frames_rebuilt == 3


def test_unchecked_lists_tell_afterwards_whether_they_held(frames: dict[str, Atoms]) -> None:
    batch = batch_of(frames["cubic"], frames["slab"])
    kept = NeighbourList(CUTOFF, skin_ang=1.0)
    kept.graph(batch)

    def at(shift: float) -> Batch:
        positions = batch.positions.clone()
        positions[5, 1] += shift
        return replace(batch, positions=positions)

    with kept.unchecked() as excursion:
        assert pairs(kept.graph(at(0.49))) == pairs(NeighbourList(CUTOFF).graph(at(0.49)))
    assert not excursion.too_far()
    with kept.unchecked() as excursion:
        for shift in (0.1, 0.51, 0.2):
            kept.graph(at(shift))
    assert excursion.too_far()
    assert kept.n_frames_rebuilt == 2
    with kept.unchecked() as excursion:
        kept.graph(at(float("nan")))
    assert excursion.too_far()
    kept.graph(at(0.51))
    assert kept.n_frames_rebuilt == 3
