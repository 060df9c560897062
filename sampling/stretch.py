"""A stretch of motion between two looks, and what is known at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from potentials.batch import Batch
from potentials.neighbours import NeighbourList
from potentials.protocol import Potential, Prediction
from sampling.config import SamplingConfig
from sampling.dynamics import Motion, langevin_step
from sampling.gliding import make_steps
from sampling.moving import motion_of, strained, thermostat_for
from sampling.trajectory import Trajectory


@dataclass(frozen=True)
class Standing:
    """Frames as they stand at a look.

    Attributes
    ----------
    motion
        Positions, velocities and forces.
    neighbours
        Their neighbour list, made at these very positions.
    prediction
        Energies and forces of every member.
    """

    motion: Motion
    neighbours: NeighbourList
    prediction: Prediction


class _MemberForces:
    """Evaluates every member once, with a new neighbour list, so that nothing depends on older steps."""

    neighbours: NeighbourList
    prediction: Prediction

    def __init__(self, potential: Potential, reach_ang: float, skin_ang: float) -> None:
        self._potential = potential
        self.neighbours = NeighbourList(reach_ang, skin_ang=skin_ang)

    def __call__(self, batch: Batch) -> Tensor:
        self.prediction = self._potential.evaluate(batch, neighbours=self.neighbours, member_forces=True)
        return self.prediction.forces


def stand(
    trajectories: Sequence[Trajectory], potential: Potential, reach_ang: float, config: SamplingConfig
) -> Standing:
    """Put trajectories on the potential's device and evaluate them where they are."""
    motion = motion_of(trajectories, potential.elements, dtype=potential.dtype, device=potential.device)
    members = _MemberForces(potential, reach_ang, config.dynamics.neighbour_skin_ang)
    motion = replace(motion, forces=members(motion.batch))
    return Standing(motion, members.neighbours, members.prediction)


def move(
    standing: Standing,
    trajectories: Sequence[Trajectory],
    times_fs: NDArray[np.float64],
    potential: Potential,
    config: SamplingConfig,
    noise: torch.Generator,
) -> Standing:
    """Make ``check_every_steps`` time steps; at the end of the last all members are evaluated.

    Cells under a strain are deformed once, in the last step, where neighbour lists are made anew in any case:
    a strain of 0.05 in 10 ps is 5e-4 in the 50 fs between two looks.
    """
    motion = standing.motion
    dtype, device = motion.velocities.dtype, motion.velocities.device
    n_steps, dynamics = config.check_every_steps, config.dynamics
    thermostat = thermostat_for(trajectories, times_fs, dynamics, n_steps, dtype=dtype, device=device)
    members = _MemberForces(potential, standing.neighbours.cutoff_ang, dynamics.neighbour_skin_ang)

    def mean_forces(batch: Batch) -> Tensor:
        return potential.evaluate(batch, neighbours=standing.neighbours).forces

    def take(motion: Motion, step: int) -> Motion:
        return langevin_step(motion, thermostat, step, mean_forces, noise)

    motion = replace(motion, fastest=torch.zeros_like(motion.fastest))
    motion = make_steps(motion, range(n_steps - 1), take, standing.neighbours, dynamics.timestep_fs, noise)
    ends_fs = times_fs + n_steps * dynamics.timestep_fs

    def deform(batch: Batch) -> Batch:
        return strained(batch, trajectories, times_fs, ends_fs)

    motion = langevin_step(motion, thermostat, n_steps - 1, members, noise, deform)
    return Standing(motion, members.neighbours, members.prediction)
