"""One trajectory between two looks: where its atoms are, how they move, what it will be heated to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from sampling.builder import Builder
from sampling.config import ScheduleConfig
from sampling.dynamics import thermal_velocities
from sampling.schedule import TemperatureSchedule, draw
from sampling.seeds import child, describe_seed


@dataclass(frozen=True)
class Trajectory:
    """State of one trajectory.

    Attributes
    ----------
    id
        Name, unique within a campaign.
    seed
        The seed that made it, as text.
    schedule
        Its temperatures.
    time_fs
        Its clock.
    numbers
        Atomic numbers, shape (n_atoms,).
    positions
        Not wrapped, shape (n_atoms, 3), Å.
    velocities
        Shape (n_atoms, 3), Å/fs.
    cell
        Cell vectors as rows, shape (3, 3), Å.
    pbc
        Which cell vectors repeat, shape (3,).
    """

    id: str
    seed: str
    schedule: TemperatureSchedule
    time_fs: float
    numbers: NDArray[np.int64]
    positions: NDArray[np.floating]
    velocities: NDArray[np.floating]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    def frame(self, positions: NDArray[np.floating] | None = None) -> Atoms:
        """Return the frame, atoms wrapped into the cell; with other positions if these are given."""
        places = self.positions if positions is None else positions
        frame = Atoms(self.numbers, positions=places.astype(np.float64), cell=self.cell, pbc=self.pbc)
        frame.wrap()
        frame.info["seed"] = self.seed
        return frame


def start_trajectory(
    trajectory_id: str, seed: np.random.SeedSequence, builder: Builder, config: ScheduleConfig
) -> Trajectory:
    """Return a new trajectory: cell, schedule and velocities all follow from ``seed``.

    Raises
    ------
    BuildError
        If the builder cannot make a cell from this seed.
    """
    cell = builder.build(child(seed, 0))
    schedule = draw(config, np.random.default_rng(child(seed, 1)))
    velocities = thermal_velocities(
        cell.get_masses(), float(schedule.temperature_k(0.0)), np.random.default_rng(child(seed, 2))
    )
    return Trajectory(
        id=trajectory_id,
        seed=describe_seed(seed),
        schedule=schedule,
        time_fs=0.0,
        numbers=cell.numbers.astype(np.int64),
        positions=cell.positions.copy(),
        velocities=velocities,
        cell=np.array(cell.cell.array),
        pbc=np.array(cell.pbc),
    )
