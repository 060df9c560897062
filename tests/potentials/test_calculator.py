from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.batch import Batch
from potentials.calculator import EnsembleCalculator
from potentials.ensemble import AniEnsemble

MakeEnsemble = Callable[..., AniEnsemble]


def test_results_are_those_of_the_ensemble(make_ensemble: MakeEnsemble, frames: dict[str, Atoms]) -> None:
    ensemble = make_ensemble("Al", "Cu")
    for frame in (frames["skewed"], frames["tiny"]):
        frame.calc = ensemble.calculator()
        batch = Batch.from_frames([frame], ensemble.elements, dtype=torch.float64)
        expected = ensemble.evaluate(batch, stress=True, member_forces=True)
        assert expected.stress is not None
        assert expected.member_forces is not None
        energies = expected.member_energies[:, 0].numpy()
        assert frame.get_potential_energy() == pytest.approx(energies.mean(), rel=1e-14)
        assert frame.get_potential_energy(force_consistent=True) == frame.get_potential_energy()
        np.testing.assert_allclose(frame.get_forces(), expected.forces, rtol=0, atol=1e-13)
        np.testing.assert_allclose(frame.get_stress(voigt=False), expected.stress[0], rtol=0, atol=1e-14)
        np.testing.assert_allclose(
            frame.get_stress(), full_3x3_to_voigt_6_stress(expected.stress[0].numpy()), rtol=0, atol=1e-14
        )
        results = frame.calc.results
        np.testing.assert_allclose(results["member_energies"], energies)
        assert results["energy_std"] == pytest.approx(energies.std())
        np.testing.assert_allclose(
            results["forces_std"], expected.member_forces.numpy().std(axis=0), rtol=0, atol=1e-13
        )


def test_only_frames_periodic_in_three_directions_have_a_stress(
    make_ensemble: MakeEnsemble, frames: dict[str, Atoms]
) -> None:
    frame = frames["slab"]
    frame.calc = make_ensemble("Al", "Cu").calculator()
    assert np.isfinite(frame.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        frame.get_stress()


def test_an_unknown_element_is_named_beside_the_known(make_ensemble: MakeEnsemble) -> None:
    frame = bulk("Cu")
    frame.calc = make_ensemble("Al").calculator()
    with pytest.raises(ValueError, match="frames contain Cu; the potential knows Al"):
        frame.get_potential_energy()


def test_one_calculator_may_serve_many_frames(make_ensemble: MakeEnsemble, frames: dict[str, Atoms]) -> None:
    ensemble = make_ensemble("Al", "Cu")
    shared = ensemble.calculator()
    for frame in [*frames.values(), *frames.values()]:
        alone = frame.copy()
        frame.calc, alone.calc = shared, ensemble.calculator()
        assert frame.get_potential_energy() == pytest.approx(alone.get_potential_energy(), rel=1e-13)


def test_dynamics_with_ase_keeps_the_energy(make_ensemble: MakeEnsemble) -> None:
    """The kept neighbour list must not show: total energy over 60 steps of an untrained potential."""
    frame = bulk("Al", cubic=True)
    frame.rattle(0.02, seed=1)
    frame.calc = EnsembleCalculator(make_ensemble("Al"), skin_ang=0.5, forces_std=False)
    dynamics = VelocityVerlet(frame, timestep=0.5 * units.fs)
    before = frame.get_total_energy()
    start = frame.get_kinetic_energy()
    dynamics.run(60)
    assert frame.get_kinetic_energy() > start + 1e-4
    assert frame.get_total_energy() == pytest.approx(before, abs=1e-4)
    assert "forces_std" not in frame.calc.results


def test_frames_with_results_can_be_written(make_ensemble: MakeEnsemble, tmp_path) -> None:
    frame = bulk("Al", cubic=True)
    frame.rattle(0.1, seed=1)
    frame.calc = make_ensemble("Al").calculator()
    energy = frame.get_potential_energy()
    for name in ("frame.extxyz", "frame.traj"):
        write(tmp_path / name, frame)
        assert read(tmp_path / name).get_potential_energy() == pytest.approx(energy)
