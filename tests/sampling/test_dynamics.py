from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from toy_potentials import ToyMorse, ToyWells

from potentials.batch import Batch
from potentials.neighbours import NeighbourList
from sampling.dynamics import (
    ACCELERATION,
    MAX_STEP_ANG,
    Motion,
    Thermostat,
    kinetic_temperature_k,
    langevin_step,
    thermal_velocities,
)

MASS = 26.98


def at_rest(frames, potential):
    batch = Batch.from_frames(frames, potential.elements, dtype=potential.dtype)
    zeros = torch.zeros_like(batch.positions)
    masses = torch.full_like(zeros[:, :1], MASS)
    forces = potential.evaluate(batch).forces
    return Motion(batch, zeros, masses, forces, fastest=zeros[:, 0].clone())


def thermostat(temperatures, friction_per_fs, timestep_fs, dtype=torch.float64):
    shape = (1, len(temperatures))
    return Thermostat.from_arrays(
        np.array(temperatures, dtype=float).reshape(shape),
        np.broadcast_to(friction_per_fs, shape).astype(float),
        timestep_fs,
        dtype=dtype,
        device="cpu",
    )


def run(motion, bath, potential, n_steps, observe=None, seed=0):
    noise = torch.Generator().manual_seed(seed)
    lists = NeighbourList(potential.cutoff_ang, skin_ang=1.0)
    for _ in range(n_steps):
        motion = langevin_step(
            motion, bath, 0, lambda b: potential.evaluate(b, neighbours=lists).forces, noise
        )
        if observe is not None:
            observe(motion)
    return motion


def warm_crystal(dtype=torch.float64, temperature=600.0, size=3):
    crystal = bulk("Al", a=4.2, cubic=True) * (size, size, size)
    potential = ToyMorse(dtype=dtype)
    velocities = thermal_velocities(np.full(len(crystal), MASS), temperature, np.random.default_rng(1))
    motion = at_rest([crystal], potential)
    return replace(motion, velocities=torch.as_tensor(velocities, dtype=dtype)), potential


def kinetic_energy_ev(motion):
    return 1.5 * units.kB * motion.batch.n_atoms_per_frame * kinetic_temperature_k(motion)


def energy(motion, potential):
    return float(potential.evaluate(motion.batch).member_energies.mean(0)[0] + kinetic_energy_ev(motion)[0])


def test_one_unit_of_force_per_mass_accelerates_as_in_si_units():
    ev, u, angstrom, fs = 1.602176634e-19, 1.66053906892e-27, 1e-10, 1e-15
    from_si = ev / u / angstrom**2 * fs**2
    assert from_si == pytest.approx(ACCELERATION, rel=1e-7)


def test_positions_in_harmonic_wells_have_exactly_the_boltzmann_spread_of_each_frame():
    """BAOAB's claim: no time-step error in positions, even at a third of the largest stable step."""
    n, temperatures = 400, (300.0, 1200.0)
    frames = [Atoms(f"Al{n}", positions=np.zeros((n, 3)), cell=[50] * 3, pbc=False)] * 2
    potential = ToyWells(torch.zeros(2 * n, 3, dtype=torch.float64))
    period_fs = 2 * np.pi * np.sqrt(MASS / (potential.stiffness_ev_per_ang2 * ACCELERATION))
    bath = thermostat(temperatures, 0.02, 0.1 * period_fs)
    motion = run(at_rest(frames, potential), bath, potential, 300)
    positions, speeds = [], []

    def observe(m):
        positions.append(m.batch.positions.reshape(2, -1))
        speeds.append(kinetic_temperature_k(m))

    run(motion, bath, potential, 1500, observe, seed=1)
    expected = units.kB * np.array(temperatures) / potential.stiffness_ev_per_ang2
    samples = torch.cat(positions[::5], dim=1)
    assert samples.var(dim=1).numpy() == pytest.approx(expected, rel=0.015)
    kurtosis = (samples**4).mean(dim=1) / samples.var(dim=1) ** 2
    assert kurtosis.numpy() == pytest.approx([3.0, 3.0], abs=0.08)
    omega_dt = 2 * np.pi * 0.1
    biased = np.array(temperatures) * (1 - omega_dt**2 / 4)
    assert torch.stack(speeds).mean(dim=0).numpy() == pytest.approx(biased, rel=0.015)


def test_the_kinetic_temperature_fluctuates_as_in_the_canonical_ensemble():
    n, temperature = 50, 500.0
    frames = [Atoms(f"Al{n}", positions=np.zeros((n, 3)), cell=[50] * 3, pbc=False)] * 20
    potential = ToyWells(torch.zeros(20 * n, 3, dtype=torch.float64))
    seen = []
    bath = thermostat([temperature] * 20, 0.05, 2.0)
    motion = run(at_rest(frames, potential), bath, potential, 200)
    run(motion, bath, potential, 2000, lambda m: seen.append(kinetic_temperature_k(m)), seed=1)
    values = torch.stack(seen)
    assert float(values.mean()) == pytest.approx(temperature, rel=0.01)
    assert float(values.std()) == pytest.approx(temperature * np.sqrt(2 / (3 * n)), rel=0.05)


def test_without_friction_energy_is_conserved_in_single_precision():
    motion, potential = warm_crystal(torch.float32)
    n_atoms = motion.batch.n_atoms
    before = energy(motion, potential)
    after = energy(run(motion, thermostat([0.0], 0.0, 1.0, torch.float32), potential, 400), potential)
    assert abs(after - before) / n_atoms < 2e-5
    assert float(kinetic_energy_ev(motion)[0]) / n_atoms > 0.05


def test_the_energy_error_falls_with_the_square_of_the_time_step():
    motion, potential = warm_crystal(temperature=900.0, size=2)
    start = energy(motion, potential)

    def largest_error(timestep_fs):
        errors = []
        bath = thermostat([0.0], 0.0, timestep_fs)
        run(motion, bath, potential, round(120 / timestep_fs), lambda m: errors.append(energy(m, potential)))
        return max(abs(e - start) for e in errors)

    assert largest_error(8.0) / largest_error(4.0) == pytest.approx(4.0, rel=0.25)


def test_motion_without_friction_runs_backwards_to_its_start():
    motion, potential = warm_crystal(size=2)
    bath = thermostat([0.0], 0.0, 2.0)
    there = run(motion, bath, potential, 100)
    back = run(replace(there, velocities=-there.velocities), bath, potential, 100)
    moved = float((there.batch.positions - motion.batch.positions).abs().max())
    missed = float((back.batch.positions - motion.batch.positions).abs().max())
    assert moved > 0.1
    assert missed < 1e-9


def test_positions_are_not_wrapped():
    frame = Atoms("Al", positions=[[9.9, 5, 5]], cell=[10, 10, 10], pbc=True)
    potential = ToyWells(torch.tensor([[9.9, 5.0, 5.0]], dtype=torch.float64), stiffness_ev_per_ang2=0.0)
    motion = replace(
        at_rest([frame], potential), velocities=torch.tensor([[0.01, 0, 0]], dtype=torch.float64)
    )
    after = run(motion, thermostat([0.0], 0.0, 1.0), potential, 100)
    assert float(after.batch.positions[0, 0]) == pytest.approx(10.9)


def test_a_broken_frame_is_remembered_and_harms_no_other():
    frames = [Atoms("Al2", positions=[[0, 0, 0], [3, 0, 0]], cell=[20] * 3, pbc=True)] * 3
    potential = ToyMorse()
    whole = at_rest(frames, potential)
    forces = whole.forces.clone()
    forces[0], forces[3] = torch.nan, 1e6
    bath = thermostat([300.0] * 3, 0.002, 1.0)
    noise = torch.Generator().manual_seed(0)
    after = langevin_step(
        replace(whole, forces=forces), bath, 0, lambda b: potential.evaluate(b).forces, noise
    )
    alone = run(whole, bath, potential, 1)
    assert torch.isfinite(after.batch.positions).all()
    assert torch.isnan(after.fastest[0])
    assert float(after.fastest[3]) > MAX_STEP_ANG
    assert float((after.batch.positions - whole.batch.positions).abs().max()) <= MAX_STEP_ANG
    assert torch.equal(after.batch.positions[4:], alone.batch.positions[4:])


def test_drawn_velocities_are_maxwell_boltzmann_and_the_frame_is_at_rest():
    masses = np.tile([26.98, 63.55], 4000)
    velocities = thermal_velocities(masses, 700.0, np.random.default_rng(2))
    assert masses @ velocities == pytest.approx([0, 0, 0], abs=1e-9)
    for k in (0, 1):
        spread = velocities[k::2].std() ** 2 * masses[k] / ACCELERATION / units.kB
        assert spread == pytest.approx(700.0, rel=0.02)
