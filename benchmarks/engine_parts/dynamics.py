"""Molecular dynamics against ASE's Langevin loop with the same forces."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from benchmarks.engine_parts.bench import SKIN_ANG, Bench
from benchmarks.engine_parts.frames import crystal
from potentials.batch import Batch
from potentials.calculator import EnsembleCalculator
from potentials.neighbours import NeighbourList
from sampling.dynamics import Motion, Thermostat, langevin_step, thermal_velocities

STEPS = 20
TEMPERATURE_K, FRICTION_PER_PS, TIMESTEP_FS = 300.0, 2.0, 1.0


def dynamics(bench: Bench) -> None:
    """Print the time of a step of one atom."""
    rows = []
    for n_atoms in (32, 108) if bench.quick else (32, 108, 500):
        n_cells = max(1, min(64, (500 if bench.quick else 7000) // n_atoms))
        single, many = Loop(bench, [crystal(n_atoms)]), Loop(bench, [crystal(n_atoms)] * n_cells)
        by_ase = ase_loop(bench, crystal(n_atoms))
        turns = {
            "ours": bench.turn(single.run),
            "batch": bench.turn(many.run),
            "ase": bench.turn(lambda loop=by_ase: loop.run(STEPS)),
        }
        timings = bench.take_turns(turns)
        sizes = {"ours": n_atoms, "batch": n_atoms * n_cells, "ase": n_atoms}
        least = {n: 1e6 * t.least(bench.device) / (STEPS * sizes[n]) for n, t in timings.items()}
        rows.append(
            [n_atoms, least["ours"], f"{least['batch']:.3g} ({n_cells})", least["ase"],
             least["ase"] / least["ours"], least["ase"] / least["batch"]]
        )  # fmt: skip
    bench.table(
        "Langevin dynamics, 300 K, 1 fs, 8 members, µs per atom and step",
        ["atoms", "ours, one cell", "ours, a batch (cells)", "ASE's loop", "×", "× in a batch"],
        rows,
        "ASE's Langevin with our calculator. Lists are rebuilt when an atom has moved half the skin.",
    )


class Loop:
    """Our dynamics of some cells."""

    def __init__(self, bench: Bench, frames: list[Atoms], temperature_k: float = TEMPERATURE_K) -> None:
        ensemble = bench.ensemble
        batch = bench.batch(frames)
        lists = NeighbourList(ensemble.cutoff_ang, SKIN_ANG)
        self.forces_at = lambda batch: ensemble.evaluate(batch, neighbours=lists).forces
        rng = np.random.default_rng(0)
        masses = [frame.get_masses() for frame in frames]
        velocities = np.concatenate([thermal_velocities(m, 2 * temperature_k, rng) for m in masses])
        like = batch.positions
        self.motion = Motion(
            batch=batch,
            velocities=torch.as_tensor(velocities).to(like),
            masses=torch.as_tensor(np.concatenate(masses)[:, None]).to(like),
            forces=self.forces_at(batch),
            fastest=torch.zeros_like(like[:, 0]),
        )
        table = np.ones((1, batch.n_frames))
        self.thermostat = Thermostat.from_arrays(
            temperature_k * table,
            FRICTION_PER_PS / 1000 * table,
            TIMESTEP_FS,
            dtype=like.dtype,
            device=like.device,
        )
        self.noise = torch.Generator(device=like.device).manual_seed(0)

    def run(self) -> Batch:
        """Take the steps."""
        for _ in range(STEPS):
            self.motion = langevin_step(self.motion, self.thermostat, 0, self.forces_at, self.noise)
        return self.motion.batch


def ase_loop(bench: Bench, frame: Atoms) -> Langevin:
    """ASE's loop over one cell."""
    frame.calc = EnsembleCalculator(bench.ensemble, skin_ang=SKIN_ANG, forces_std=False)
    rng = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(frame, temperature_K=2 * TEMPERATURE_K, rng=rng)
    return Langevin(
        frame,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=FRICTION_PER_PS / (1000 * units.fs),
        fixcm=False,
        rng=rng,
    )


def melt(bench: Bench, frame: Atoms, temperature_k: float, n_steps: int = 1000) -> Atoms:
    """Heat a frame with our forces and return it as it is then."""
    loop = Loop(bench, [frame], temperature_k)
    for _ in range(n_steps // STEPS):
        loop.run()
    molten = frame.copy()
    molten.positions = loop.motion.batch.positions.double().cpu().numpy()
    return molten
