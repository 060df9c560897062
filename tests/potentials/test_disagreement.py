from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials.batch import Batch
from potentials.disagreement import Calibration, Disagreement, calibrate, disagreement
from potentials.ensemble import AniEnsemble
from potentials.protocol import Prediction

MakeEnsemble = Callable[..., AniEnsemble]


def batch_of(*frames: Atoms) -> Batch:
    return Batch.from_frames(frames, ["Al"], dtype=torch.float64)


def test_spreads_of_two_frames_by_hand() -> None:
    batch = batch_of(Atoms("Al4"), Atoms("Al"))
    energies = torch.tensor([[1.0, 5.0], [3.0, 5.0]], dtype=torch.float64)
    member_forces = torch.zeros(2, 5, 3)
    member_forces[0, 0] = torch.tensor([3.0, 4.0, 0.0])
    member_forces[1, 0] = -member_forces[0, 0]
    member_forces[:, 4] = 7.0
    found = disagreement(Prediction(energies, member_forces.mean(dim=0), member_forces=member_forces), batch)
    np.testing.assert_allclose(found.energy_ev_per_sqrt_atom, [1.0 / 2.0, 0.0])
    np.testing.assert_allclose(found.force_mean_ev_per_ang, [5.0 / 4.0, 0.0])
    np.testing.assert_allclose(found.force_max_ev_per_ang, [5.0, 0.0])


def test_copies_of_a_frame_disagree_as_much_as_one(make_ensemble: MakeEnsemble) -> None:
    """The energy spread of n equal cells grows like n; over √n it must grow like √n and not more."""
    ensemble = make_ensemble("Al")
    frame = bulk("Al", cubic=True)
    frame.rattle(0.2, seed=4)
    batch = batch_of(frame, frame.repeat((3, 1, 1)))
    found = disagreement(ensemble.evaluate(batch, member_forces=True), batch)
    one, three = found.energy_ev_per_sqrt_atom
    assert three == pytest.approx(np.sqrt(3.0) * one)
    for values in (found.force_mean_ev_per_ang, found.force_max_ev_per_ang):
        assert values[0] > 0.0
        assert values[1] == pytest.approx(values[0])


def test_member_forces_and_two_members_are_needed(make_ensemble: MakeEnsemble) -> None:
    batch = batch_of(bulk("Al", cubic=True))
    with pytest.raises(ValueError, match="no member forces"):
        disagreement(make_ensemble("Al").evaluate(batch), batch)
    lonely = make_ensemble("Al", n_members=1).evaluate(batch, member_forces=True)
    with pytest.raises(ValueError, match="1 member cannot disagree"):
        disagreement(lonely, batch)


def test_calibrated_spreads_have_the_size_of_the_errors(rng: np.random.Generator) -> None:
    true_energy, true_force = rng.uniform(0.01, 0.1, 20_000), rng.uniform(0.05, 0.5, 20_000)
    calibration = calibrate(
        true_energy / 3.0, true_energy * rng.normal(size=20_000), true_force / 0.5, true_force
    )
    assert calibration.energy == pytest.approx(3.0, rel=0.03)
    assert calibration.force == pytest.approx(0.5)


def test_one_frame_far_off_does_not_make_every_frame_suspect(rng: np.random.Generator) -> None:
    spread = rng.uniform(0.01, 0.1, 200)
    error = 2.0 * spread * rng.normal(size=200)
    sound = calibrate(spread, error, spread, np.abs(error)).energy
    error[0] = 100.0
    assert calibrate(spread, error, spread, np.abs(error)).energy == pytest.approx(sound, rel=0.05)


def test_a_calibration_scales_energies_and_forces_apart() -> None:
    spread = Disagreement(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]))
    expected = Calibration(energy=2.0, force=10.0).apply(spread)
    np.testing.assert_array_equal(expected.energy_ev_per_sqrt_atom, [2.0, 4.0])
    np.testing.assert_array_equal(expected.force_mean_ev_per_ang, [30.0, 40.0])
    np.testing.assert_array_equal(expected.force_max_ev_per_ang, [50.0, 60.0])


def test_calibration_knows_nothing_without_labels_and_refuses_nonsense() -> None:
    assert calibrate([], [], [], []) == Calibration(1.0, 1.0)
    with pytest.raises(ValueError, match="energy: 1 spreads for 2 errors"):
        calibrate([1.0], [1.0, 2.0], [], [])
    with pytest.raises(ValueError, match="force: spreads or errors are not finite"):
        calibrate([], [], [1.0], [np.nan])
    with pytest.raises(ValueError, match="force: every spread is zero"):
        calibrate([], [], [0.0], [1.0])
