"""New trajectories for free slots."""

from __future__ import annotations

from dataclasses import dataclass

from sampling.builder import Builder, BuildError
from sampling.config import SamplingConfig
from sampling.slot_group import SlotGroup
from sampling.trajectory import Trajectory, start_trajectory


@dataclass(frozen=True)
class Recruits:
    """Trajectories just started.

    Attributes
    ----------
    trajectories
        As many as asked for, or fewer if too many cells in a row could not be made.
    next_trajectory
        Number of the next one to start; a failed cell uses up its number too.
    n_failures
        Cells that could not be made.
    last_failure
        Why the last of them could not be made.
    """

    trajectories: list[Trajectory]
    next_trajectory: int
    n_failures: int
    last_failure: str


def recruit(group: SlotGroup, n_wanted: int, builder: Builder, config: SamplingConfig) -> Recruits:
    """Start up to ``n_wanted`` trajectories of ``group``."""
    started: list[Trajectory] = []
    number, n_failures, in_a_row, last_failure = group.next_trajectory, 0, 0, ""
    while len(started) < n_wanted and in_a_row <= config.max_build_failures:
        seed, name = group.trajectory_seed(number), group.trajectory_id(number)
        number += 1
        try:
            started.append(start_trajectory(name, seed, builder, config.schedule))
            in_a_row = 0
        except BuildError as error:
            in_a_row += 1
            n_failures += 1
            last_failure = str(error)
    return Recruits(started, number, n_failures, last_failure)
