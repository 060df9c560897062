"""What the dynamics keeps and what it forgets, seen from outside: groups go in, groups come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from numpy.typing import NDArray
from toy_builders import ToyCrystals
from toy_potentials import ToyMorse

from potentials.batch import Batch
from potentials.disagreement import Calibration
from potentials.ensemble import AniEnsemble
from potentials.protocol import Potential
from sampling.builder import Builder
from sampling.config import DynamicsConfig, SamplingConfig, ScheduleConfig, ThresholdConfig
from sampling.search import advance
from sampling.slot_group import SlotGroup, new_group
from sampling.trajectory import Trajectory

MASS = 26.9815385
NOTHING_STOPS_IT = ThresholdConfig(
    max_energy_error_mev_per_sqrt_atom=1e6,
    max_mean_force_error_ev_per_ang=1e6,
    max_force_error_ev_per_ang=1e6,
    close_contact_ang=0.5,
)


def settings(temperature_k: float, friction_per_ps: float, look_every: int = 20) -> SamplingConfig:
    """Return settings of dynamics at one temperature that nothing stops."""
    steady = (temperature_k, temperature_k)
    return SamplingConfig(
        schedule=ScheduleConfig(start_k=steady, end_k=steady, modulation_k=(0, 0), duration_ps=1000.0),
        dynamics=DynamicsConfig(timestep_fs=1.0, friction_per_ps=friction_per_ps, settle_ps=0.0),
        thresholds=NOTHING_STOPS_IT,
        check_every_steps=look_every,
    )


def going_on(
    group: SlotGroup, potential: Potential, builder: Builder, config: SamplingConfig, n_steps: int
) -> Iterator[SlotGroup]:
    """Yield the group every ``n_steps``, for ever."""
    while True:
        group, _ = advance(group, potential, "e", Calibration(), builder, config, n_steps)
        yield group


def kinetic_ev(trajectory: Trajectory) -> float:
    return float(0.5 * MASS / units.fs**2 * np.sum(trajectory.velocities.astype(np.float64) ** 2))


def total_ev(trajectory: Trajectory, potential: Potential) -> float:
    batch = Batch.from_frames([trajectory.frame()], potential.elements, dtype=potential.dtype)
    return float(potential.evaluate(batch).member_energies.mean()) + kinetic_ev(trajectory)


def momentum(trajectory: Trajectory) -> NDArray[np.float64]:
    """Return the momentum of the whole frame, u Å/fs."""
    return np.asarray(MASS * trajectory.velocities.astype(np.float64).sum(axis=0))


@dataclass(frozen=True)
class Fcc:
    """Aluminium at rest on its lattice, of as many cubic cells as the seed says or as given."""

    a_ang: float
    size: int | None = None

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        size = self.size or int(np.random.default_rng(seed).integers(1, 3))
        return bulk("Al", a=self.a_ang, cubic=True) * (size, size, 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_published_ani_al_drifts_by_less_than_a_hundredth_of_a_mev_per_atom_and_ps(
    ani_al: AniEnsemble,
) -> None:
    """5 ps at 300 K and 1 fs in float32: on its lattice half the first heat becomes potential energy."""
    potential, builder = ani_al.to(dtype=torch.float32), Fcc(4.0543, size=2)
    config = settings(700.0, friction_per_ps=0.0, look_every=50)
    groups = going_on(new_group("nve", 1, 1), potential, builder, config, 50)
    trajectories = [next(groups).trajectories[0] for _ in range(100)]
    n_atoms = len(trajectories[0].numbers)
    assert n_atoms == 32
    times_ps = np.array([t.time_fs for t in trajectories]) / 1000
    assert times_ps[-1] == pytest.approx(5.0)
    energies = np.array([total_ev(t, potential) for t in trajectories]) / n_atoms
    kinetic = np.array([kinetic_ev(t) for t in trajectories]) / n_atoms
    assert kinetic[10:].mean() / (1.5 * units.kB) == pytest.approx(300, abs=50)
    drift = np.polyfit(times_ps, energies, 1)[0]
    assert abs(drift) < 1e-5
    assert kinetic.std() > 100 * energies.std()


def test_without_friction_the_centre_keeps_its_motion() -> None:
    config = settings(800.0, friction_per_ps=0.0)
    groups = going_on(new_group("p", 2, 4), ToyMorse(), ToyCrystals(), config, 100)
    start, end = next(groups), next(groups)
    for trajectory in (*start.trajectories, *end.trajectories):
        assert np.abs(momentum(trajectory)).max() < 1e-11
        assert np.abs(MASS * trajectory.velocities).max() > 1e-3


@pytest.fixture(scope="module")
def thermal_groups() -> list[SlotGroup]:
    """Return 120 small crystals at 500 K, seen every 60 fs under strong friction, once they are warm."""
    config = settings(500.0, friction_per_ps=50.0, look_every=60)
    groups = going_on(new_group("t", 3, 120), ToyMorse(), ToyCrystals(size=1), config, 60)
    return [next(groups) for _ in range(15)][3:]


def test_the_centre_has_the_temperature_of_everything_else(thermal_groups: list[SlotGroup]) -> None:
    """The noise of each atom is its own, so the frame as a whole moves as one atom of its mass would."""
    momenta = np.array([[momentum(t) for t in group.trajectories] for group in thermal_groups])
    n_atoms = len(thermal_groups[0].trajectories[0].numbers)
    expected = n_atoms * MASS * units.kB * 500.0 * units.fs**2
    assert momenta.var() == pytest.approx(expected, rel=0.06)
    assert abs(momenta.mean()) < 4 * np.sqrt(expected / momenta.size)


def test_kinetic_energy_fluctuates_as_in_the_canonical_ensemble_with_forces_that_are_not_harmonic(
    thermal_groups: list[SlotGroup],
) -> None:
    energies = np.array([[kinetic_ev(t) for t in group.trajectories] for group in thermal_groups])
    n_degrees, heat = 3 * len(thermal_groups[0].trajectories[0].numbers), units.kB * 500.0
    assert energies.mean() == pytest.approx(0.5 * n_degrees * heat, rel=0.02)
    assert energies.var() == pytest.approx(0.5 * n_degrees * heat**2, rel=0.15)


def test_frames_of_one_batch_feel_noise_of_their_own(thermal_groups: list[SlotGroup]) -> None:
    velocities = np.array(
        [[t.velocities.ravel() for t in group.trajectories] for group in thermal_groups]
    )  # look, frame, component
    across = np.corrcoef(velocities.transpose(1, 0, 2).reshape(velocities.shape[1], -1))
    off_diagonal = across[~np.eye(len(across), dtype=bool)]
    n = velocities.shape[0] * velocities.shape[2]
    assert off_diagonal.std() == pytest.approx(1 / np.sqrt(n), rel=0.15)
    assert np.abs(off_diagonal).max() < 6 / np.sqrt(n)


def test_refilling_a_slot_does_not_disturb_the_others(ani_al: AniEnsemble) -> None:
    """One of three trajectories ends and a frame of another size takes its place; the two others go on."""
    builder = Fcc(4.06)
    config = settings(700.0, friction_per_ps=0.0, look_every=10)

    def last_positions(ends_fs: float) -> tuple[SlotGroup, list[NDArray[np.float64]]]:
        groups = going_on(new_group("r", 9, 3), ani_al, builder, config, 10)
        group = next(groups)
        hasty = replace(group.trajectories[1].schedule, duration_fs=ends_fs)
        first = replace(group.trajectories[1], schedule=hasty)
        kept = group.trajectories[0], group.trajectories[2]
        group = replace(group, trajectories=(kept[0], first, kept[1]))
        group, _ = advance(group, ani_al, "e", Calibration(), builder, config, 60)
        by_id = {t.id: t for t in group.trajectories}
        return group, [by_id[t.id].positions for t in kept]

    undisturbed, expected = last_positions(1e6)
    refilled, found = last_positions(20.0)
    assert undisturbed.next_trajectory == 3
    assert refilled.next_trajectory == 4
    assert len(refilled.trajectories[2].numbers) != len(undisturbed.trajectories[1].numbers)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
