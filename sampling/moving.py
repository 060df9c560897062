"""Trajectories as tensors on a device, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase.data import atomic_masses
from numpy.typing import NDArray
from torch import Tensor

from potentials.batch import Batch
from sampling.config import DynamicsConfig
from sampling.dynamics import Motion, Thermostat
from sampling.trajectory import Trajectory

Floats = NDArray[np.float64]


def motion_of(
    trajectories: Sequence[Trajectory],
    elements: Sequence[str],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Motion:
    """Lay trajectories end to end on ``device``; the forces are not known yet and are NaN."""

    def stacked(arrays: Sequence[NDArray[np.floating]]) -> Tensor:
        return torch.as_tensor(np.concatenate(arrays), dtype=dtype).to(device)

    batch = Batch.from_frames([t.frame() for t in trajectories], elements, dtype=dtype, device=device)
    velocities = stacked([t.velocities for t in trajectories])
    return Motion(
        batch=replace(batch, positions=stacked([t.positions for t in trajectories])),
        velocities=velocities,
        masses=stacked([atomic_masses[t.numbers] for t in trajectories])[:, None],
        forces=torch.full_like(velocities, torch.nan),
        fastest=torch.zeros_like(velocities[:, 0]),
    )


def trajectories_after(
    trajectories: Sequence[Trajectory], motion: Motion, times_fs: Floats
) -> list[Trajectory]:
    """Return the trajectories as ``motion`` has them, with new clocks."""
    ends = np.cumsum([len(t.numbers) for t in trajectories])
    places = np.split(motion.batch.positions.cpu().numpy(), ends[:-1])
    velocities = np.split(motion.velocities.cpu().numpy(), ends[:-1])
    return [
        replace(t, time_fs=float(time_fs), positions=r.copy(), velocities=v.copy())
        for t, time_fs, r, v in zip(trajectories, times_fs, places, velocities, strict=True)
    ]


def strained(batch: Batch, trajectories: Sequence[Trajectory], starts_fs: Floats, ends_fs: Floats) -> Batch:
    """Return frames with their cells as they are at later times, and their atoms carried along."""
    if all(t.strain.is_none for t in trajectories):
        return batch
    spans = zip(trajectories, starts_fs, ends_fs, strict=True)
    steps = np.stack([t.strain.between(float(start), float(end)) for t, start, end in spans])
    cells = np.stack([t.cell_at(float(end)) for t, end in zip(trajectories, ends_fs, strict=True)])
    like = batch.positions
    carry = torch.as_tensor(steps, dtype=like.dtype).to(like.device)[batch.frame_index]
    return replace(
        batch,
        positions=torch.einsum("ni,nij->nj", like, carry),
        cells=torch.as_tensor(cells, dtype=like.dtype).to(like.device),
    )


def thermostat_for(
    trajectories: Sequence[Trajectory],
    times_fs: Floats,
    config: DynamicsConfig,
    n_steps: int,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Thermostat:
    """Prepare the next steps; friction and temperature are those of the middle of each step."""
    middle = times_fs[None, :] + config.timestep_fs * (np.arange(n_steps)[:, None] + 0.5)
    temperature = np.stack(
        [t.schedule.temperature_k(middle[:, i]) for i, t in enumerate(trajectories)], axis=1
    )
    settling = middle < 1000 * config.settle_ps
    friction = np.where(settling, config.settle_friction_per_ps, config.friction_per_ps) / 1000
    return Thermostat.from_arrays(temperature, friction, config.timestep_fs, dtype=dtype, device=device)
