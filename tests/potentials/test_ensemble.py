"""Energies, forces and stress as physics has them, in float64 with untrained networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.neighbours import NeighbourList
from potentials.protocol import Prediction

MakeEnsemble = Callable[..., AniEnsemble]


@pytest.fixture(params=[("Al",), ("Al", "Cu")], ids="-".join)
def ensemble(request: pytest.FixtureRequest, make_ensemble: MakeEnsemble) -> AniEnsemble:
    return make_ensemble(*request.param)


@pytest.fixture
def known(ensemble: AniEnsemble, frames: dict[str, Atoms]) -> dict[str, Atoms]:
    """Return the frames with only elements that the ensemble knows."""
    for frame in frames.values():
        if "Cu" not in ensemble.elements:
            frame.symbols[:] = "Al"
    return frames


def predict(ensemble: AniEnsemble, *frames: Atoms) -> Prediction:
    batch = Batch.from_frames(frames, ensemble.elements, dtype=ensemble.dtype)
    return ensemble.evaluate(batch, stress=True, member_forces=True)


def energies(ensemble: AniEnsemble, frame: Atoms) -> NDArray[np.float64]:
    return predict(ensemble, frame).member_energies[:, 0].numpy()


def assert_relative(found: object, expected: object, tolerance: float = 1e-6) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("name", ["skewed", "left-handed", "slab", "wire", "cluster", "tiny"])
def test_forces_of_every_member_are_the_slope_of_its_energy(
    ensemble: AniEnsemble, known: dict[str, Atoms], name: str
) -> None:
    frame, step = known[name], 1e-4
    forces = predict(ensemble, frame).member_forces
    assert forces is not None
    for atom, axis in [(0, 0), (len(frame) - 1, 1), (len(frame) // 2, 2)]:
        ends = []
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[atom, axis] += sign * step
            ends.append(energies(ensemble, moved))
        slope = -(ends[0] - ends[1]) / (2 * step)
        assert np.abs(forces[:, atom, axis].numpy() - slope).max() <= 1e-6 * max(
            1.0, float(forces.abs().max())
        )


@pytest.mark.parametrize("name", ["skewed", "left-handed", "tiny"])
def test_stress_is_the_slope_of_the_energy_in_strain(
    ensemble: AniEnsemble, known: dict[str, Atoms], name: str
) -> None:
    frame, step = known[name], 1e-5
    stress = predict(ensemble, frame).stress
    assert stress is not None
    numerical = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * step
            strain[b, a] += 0.5 * step
            ends = []
            for sign in (1, -1):
                strained = frame.copy()
                strained.set_cell(frame.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
                ends.append(energies(ensemble, strained).mean())
            numerical[a, b] = (ends[0] - ends[1]) / (2 * step * frame.get_volume())
    assert_relative(stress[0], numerical)
    assert_relative(stress[0], stress[0].mT, 1e-14)


@pytest.mark.parametrize("name", ["slab", "wire", "cluster"])
def test_frames_not_periodic_in_three_directions_have_no_stress(
    ensemble: AniEnsemble, known: dict[str, Atoms], name: str
) -> None:
    stress = predict(ensemble, known["cubic"], known[name]).stress
    assert stress is not None
    assert stress[0].abs().max() > 0
    assert torch.count_nonzero(stress[1]) == 0


def test_a_batch_is_its_frames_one_by_one(ensemble: AniEnsemble, known: dict[str, Atoms]) -> None:
    together = predict(ensemble, *known.values())
    alone = [predict(ensemble, frame) for frame in known.values()]
    assert together.member_forces is not None
    assert together.stress is not None
    assert_relative(together.member_energies, torch.cat([p.member_energies for p in alone], dim=1), 1e-13)
    assert_relative(together.forces, torch.cat([p.forces for p in alone]), 1e-12)
    for i, prediction in enumerate(alone):
        assert prediction.stress is not None
        assert_relative(together.stress[i], prediction.stress[0], 1e-12)


def test_no_net_force_and_the_mean_is_that_of_the_members(
    ensemble: AniEnsemble, known: dict[str, Atoms]
) -> None:
    batch = Batch.from_frames([known["slab"], known["cubic"]], ensemble.elements, dtype=torch.float64)
    members = ensemble.evaluate(batch, member_forces=True).member_forces
    mean_only = ensemble.evaluate(batch)
    assert members is not None
    assert mean_only.member_forces is None
    assert mean_only.stress is None
    assert_relative(mean_only.forces, members.mean(dim=0), 1e-12)
    assert members.sum(dim=1).abs().max() < 1e-11


def test_coincident_atoms_give_finite_numbers(ensemble: AniEnsemble) -> None:
    for dtype in (torch.float32, torch.float64):
        frame = Atoms("Al3", positions=[[1, 1, 1], [1, 1, 1], [1, 3, 1]], cell=[5, 5, 5], pbc=True)
        prediction = predict(ensemble.to(dtype=dtype), frame)
        assert prediction.stress is not None
        for values in (prediction.member_energies, prediction.forces, prediction.stress):
            assert torch.isfinite(values).all()


def test_float32_keeps_the_energy_of_large_frames(make_ensemble: MakeEnsemble) -> None:
    """With the shifts inside a float32 sum, 864 atoms of −70 eV could not be better than 4 meV."""
    ensemble = make_ensemble("Al")
    frame = bulk("Al", cubic=True).repeat(6)
    frame.rattle(0.1, seed=2)
    double = energies(ensemble, frame)
    single = predict(ensemble.to(dtype=torch.float32), frame)
    assert single.member_energies.dtype == torch.float64
    assert np.abs(single.member_energies[:, 0].numpy() - double).max() < 5e-4
    assert single.forces.dtype == torch.float32


def test_shifts_may_differ_between_members(make_ensemble: MakeEnsemble) -> None:
    ensemble = make_ensemble("Al", "Cu")
    shift = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], dtype=torch.float64)
    frame = Atoms("AlCuAl", positions=[[0, 0, 0], [9, 0, 0], [0, 9, 0]])
    bare = energies(replace(ensemble, shift_ev=torch.zeros(2, dtype=torch.float64)), frame)
    assert_relative(
        energies(replace(ensemble, shift_ev=shift), frame), bare + np.array([12.0, 24.0, 36.0]), 1e-13
    )


def test_what_cannot_be_evaluated_is_named(make_ensemble: MakeEnsemble) -> None:
    ensemble = make_ensemble("Al")
    frame = bulk("Al", cubic=True)
    with pytest.raises(ValueError, match=r"float32, the ensemble is torch\.float64"):
        ensemble.evaluate(Batch.from_frames([frame], ["Al"]))
    with pytest.raises(ValueError, match="element index 1 in the batch; the ensemble knows Al"):
        ensemble.evaluate(Batch.from_frames([frame], ["Cu", "Al"], dtype=torch.float64))
    batch = Batch.from_frames([frame], ["Al"], dtype=torch.float64)
    with pytest.raises(ValueError, match="reaches 5 Å, the ensemble needs 7 Å"):
        ensemble.evaluate(batch, neighbours=NeighbourList(5.0))
