"""Many steps in a row; on a GPU the host runs ahead of the device and reads from it only now and then."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from potentials.neighbours import NeighbourList
from sampling.dynamics import ACCELERATION, Motion, held_back

TakeStep = Callable[[Motion, int], Motion]
"""Makes the step of this number."""


def make_steps(
    motion: Motion,
    steps: range,
    take: TakeStep,
    neighbours: NeighbourList,
    timestep_fs: float,
    noise: torch.Generator,
) -> Motion:
    """Make ``steps``, with the neighbour lists right at each; the way depends on the device alone."""
    if motion.velocities.device.type == "cpu":
        return reduce(take, steps, motion)
    return glide(motion, steps, take, neighbours, timestep_fs, noise)


def glide(
    motion: Motion,
    steps: range,
    take: TakeStep,
    neighbours: NeighbourList,
    timestep_fs: float,
    noise: torch.Generator,
) -> Motion:
    """Make ``steps`` by as many at once as the neighbour lists are likely to last.

    Nothing is read from the device in between. If an atom outran its list all the same, those steps are made
    once more with a look at the lists before each; so the result is that of looking always, but for the
    order of sums.

    Parameters
    ----------
    motion
        State at the start.
    steps
        Numbers of the steps.
    take
        Makes one step; takes its pairs from ``neighbours`` and its noise from ``noise``, and has no other
        memory.
    neighbours
        Lists of these frames, made already.
    timestep_fs
        Time step, fs.
    noise
        Set back to repeat steps.
    """
    while steps:
        speed, acceleration = _speed_and_acceleration(motion, timestep_fs)
        lasting_fs = _shortest_time_fs(speed, acceleration, neighbours.limit_ang)
        n = max(1, min(len(steps), int(lasting_fs / timestep_fs)))
        time_fs = n * timestep_fs
        neighbours.renew(motion.batch, speed * time_fs + 0.5 * acceleration * time_fs**2)
        state = noise.get_state()
        with neighbours.unchecked() as excursion:
            after = reduce(take, steps[:n], motion)
        if excursion.too_far():
            noise.set_state(state)
            after = reduce(take, steps[:n], motion)
        motion, steps = after, steps[n:]
    return motion


def _speed_and_acceleration(motion: Motion, timestep_fs: float) -> tuple[Tensor, Tensor]:
    """Return both for every atom, shape (n_atoms,), Å/fs and Å/fs²; finite in any case."""
    speed = held_back(motion.velocities, timestep_fs).norm(dim=1)
    change = held_back(motion.forces * (ACCELERATION * timestep_fs) / motion.masses, timestep_fs)
    return speed, change.norm(dim=1) / timestep_fs


def _shortest_time_fs(speed: Tensor, acceleration: Tensor, distance_ang: float) -> float:
    """Return how long no atom goes this far, if all its acceleration drives it the way it goes already.

    Reads from the device.
    """
    root = (speed.square() + 2.0 * distance_ang * acceleration).sqrt()
    return 2.0 * distance_ang / float((speed + root).max().clamp(min=1e-9))
