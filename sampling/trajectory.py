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
from sampling.strain import NO_STRAIN, StrainSchedule, draw_strain


@dataclass(frozen=True)
class Trajectory:
    """State of one trajectory.

    Attributes
    ----------
    id
        Name, unique within a campaign.
    seed
        The seed that made it, as text.
    schedule, strain
        Its temperatures, and the strain of its cell.
    time_fs
        Its clock.
    numbers
        Atomic numbers, shape (n_atoms,).
    positions
        Not wrapped, shape (n_atoms, 3), Å.
    velocities
        Shape (n_atoms, 3), Å/fs.
    cell
        Cell vectors it started with, as rows, shape (3, 3), Å.
    pbc
        Which cell vectors repeat, shape (3,).
    """

    id: str
    seed: str
    schedule: TemperatureSchedule
    strain: StrainSchedule
    time_fs: float
    numbers: NDArray[np.int64]
    positions: NDArray[np.floating]
    velocities: NDArray[np.floating]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    def cell_at(self, time_fs: float) -> NDArray[np.float64]:
        """Return the cell vectors as rows at a time of its clock, shape (3, 3), Å."""
        return self.cell if self.strain.is_none else self.cell @ self.strain.deformation(time_fs)

    def frame(self) -> Atoms:
        """Return the frame where it stands, atoms wrapped into the cell."""
        return self.frame_at(self.time_fs, self.positions)

    def frame_at(self, time_fs: float, positions: NDArray[np.floating]) -> Atoms:
        """Return the frame of another time, with the positions it had then."""
        cell = self.cell_at(time_fs)
        frame = Atoms(self.numbers, positions=positions.astype(np.float64), cell=cell, pbc=self.pbc)
        frame.wrap()
        frame.info["seed"] = self.seed
        return frame


def start_trajectory(
    trajectory_id: str, seed: np.random.SeedSequence, builder: Builder, config: ScheduleConfig
) -> Trajectory:
    """Return a new trajectory: cell, schedules and velocities all follow from ``seed``.

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
        strain=draw_strain(config, np.random.default_rng(child(seed, 3))) if cell.pbc.all() else NO_STRAIN,
        time_fs=0.0,
        numbers=cell.numbers.astype(np.int64),
        positions=cell.positions.copy(),
        velocities=velocities,
        cell=np.array(cell.cell.array),
        pbc=np.array(cell.pbc),
    )
