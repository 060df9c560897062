"""Langevin dynamics of many frames at once, by the BAOAB splitting of Leimkuhler & Matthews (2013).

One step is: half a kick by the forces (B), half a drift (A), friction and noise solved exactly (O), half a
drift, half a kick by the new forces. Averages over positions are exact for harmonic forces at any stable
time step; without friction it is velocity Verlet. Lengths in Å, times in fs, masses in u, energies in eV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase import units
from numpy.typing import NDArray
from torch import Tensor

from potentials.batch import Batch

ACCELERATION = float(units.fs**2)
"""The acceleration of 1 u under 1 eV/Å, Å/fs²."""

MAX_STEP_ANG = 0.5
"""An atom that would move farther than this along an axis in one step is held back, and remembered, Å."""


@dataclass(frozen=True)
class Motion:
    """Frames on the move.

    Attributes
    ----------
    batch
        Where the atoms are; positions are never wrapped.
    velocities
        Shape (n_atoms, 3), Å/fs.
    masses
        Shape (n_atoms, 1), u.
    forces
        At these positions, shape (n_atoms, 3), eV/Å.
    fastest
        Largest velocity component each atom has had since this was last cleared, before it was held back,
        shape (n_atoms,), Å/fs; NaN if a velocity was not a number.
    """

    batch: Batch
    velocities: Tensor
    masses: Tensor
    forces: Tensor
    fastest: Tensor


@dataclass(frozen=True)
class Thermostat:
    """Friction and temperature of every frame in each of the coming steps.

    Attributes
    ----------
    timestep_fs
        Time step, the same for all frames.
    decay
        exp(−friction × time step), shape (n_steps, n_frames).
    thermal
        (1 − decay²) k T, in u Å²/fs², shape (n_steps, n_frames).
    """

    timestep_fs: float
    decay: Tensor
    thermal: Tensor

    @classmethod
    def from_arrays(
        cls,
        temperature_k: NDArray[np.float64],
        friction_per_fs: NDArray[np.float64],
        timestep_fs: float,
        *,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> Thermostat:
        """Prepare the steps; temperature and friction have shape (n_steps, n_frames)."""
        decay = np.exp(-friction_per_fs * timestep_fs)
        thermal = -np.expm1(-2 * friction_per_fs * timestep_fs) * units.kB * temperature_k * ACCELERATION
        return cls(
            timestep_fs,
            torch.as_tensor(decay, dtype=dtype).to(device),
            torch.as_tensor(thermal, dtype=dtype).to(device),
        )


def langevin_step(
    motion: Motion,
    thermostat: Thermostat,
    step: int,
    forces_at: Callable[[Batch], Tensor],
    generator: torch.Generator,
    deform: Callable[[Batch], Batch] | None = None,
) -> Motion:
    """Return the state one time step later.

    Nothing here waits for the device. Velocities that are not numbers are set to zero and those beyond
    `MAX_STEP_ANG` per step are held back, so that one broken frame cannot harm the others; ``fastest`` keeps
    the evidence.

    Parameters
    ----------
    motion
        State at the start of the step.
    thermostat
        Of which row ``step`` is used.
    step
        Number of the step within the thermostat.
    forces_at
        Gives forces, shape (n_atoms, 3), eV/Å.
    generator
        Source of the noise, on the device of the positions.
    deform
        Done to cells and positions after the drift, before the forces are computed.
    """
    dt = thermostat.timestep_fs
    frame = motion.batch.frame_index
    decay, thermal = thermostat.decay[step][frame, None], thermostat.thermal[step][frame, None]
    kick = (0.5 * dt * ACCELERATION) / motion.masses
    before = motion.velocities + kick * motion.forces
    noise = torch.randn(before.shape, generator=generator, dtype=before.dtype, device=before.device)
    after = decay * before + torch.sqrt(thermal / motion.masses) * noise
    fastest = torch.maximum(motion.fastest, after.abs().amax(dim=1))
    before, after = held_back(before, dt), held_back(after, dt)
    batch = replace(motion.batch, positions=motion.batch.positions + (0.5 * dt) * (before + after))
    batch = deform(batch) if deform else batch
    forces = forces_at(batch)
    return replace(motion, batch=batch, velocities=after + kick * forces, forces=forces, fastest=fastest)


def held_back(velocities: Tensor, timestep_fs: float) -> Tensor:
    """Return the velocities that atoms really move with: finite, and at most `MAX_STEP_ANG` per step."""
    limit = MAX_STEP_ANG / timestep_fs
    held: Tensor = velocities.nan_to_num(nan=0.0).clamp(-limit, limit)
    return held


def kinetic_temperature_k(motion: Motion) -> Tensor:
    """Return the temperature of the velocities of every frame, shape (n_frames,), K."""
    twice_energy = (motion.masses * motion.velocities**2).sum(dim=1) / ACCELERATION
    sums = twice_energy.new_zeros(motion.batch.n_frames).index_add_(0, motion.batch.frame_index, twice_energy)
    temperature: Tensor = sums / motion.batch.n_atoms_per_frame / (3 * float(units.kB))
    return temperature


def thermal_velocities(
    masses_u: NDArray[np.float64], temperature_k: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw velocities of one frame from the Maxwell-Boltzmann distribution, at rest as a whole.

    Returns
    -------
    NDArray[np.float64]
        Shape (n_atoms, 3), Å/fs; the total momentum is zero.
    """
    spread = np.sqrt(units.kB * temperature_k * ACCELERATION / masses_u)[:, None]
    velocities = spread * rng.standard_normal((len(masses_u), 3))
    return np.asarray(velocities - masses_u @ velocities / masses_u.sum())
