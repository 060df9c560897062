"""The set that people make by hand: dynamics of FCC crystals and of melts, at many volumes and temperatures.

Half of the trajectories are crystals at one temperature each; half begin as crystals at a temperature far
above melting and are cooled to one near it. The first half of each is thrown away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from ase.build import bulk

import potentials
from qm.fingerprint import fingerprint
from sampling.config import SamplingConfig
from sampling.dynamics import thermal_velocities
from sampling.schedule import TemperatureSchedule
from sampling.strain import NO_STRAIN
from sampling.trajectory import Trajectory
from validation.crystal_cells import typical_volume_ang3
from workflow.storage.files import DamagedFileError
from workflow.studying.dynamics import Snapshot, load_snapshots, run, save_snapshots, steps_between_looks

Phase = Literal["crystal", "melt"]
PHASES: tuple[Phase, Phase] = ("crystal", "melt")

_REPEATS = ((2, 2, 2), (2, 2, 3), (2, 3, 3))
_RELATIVE_VOLUME: dict[Phase, tuple[float, float]] = {"crystal": (0.9, 1.1), "melt": (0.95, 1.2)}
_TOO_MANY = 1.2
"""So many more frames than asked for are made: some trajectories end early, and labels are refused."""


@dataclass(frozen=True)
class ConventionalConfig:
    """How the set is made.

    Attributes
    ----------
    duration_ps
        Of each trajectory, half of which is kept.
    frames_per_trajectory
        Taken at equal distances from the second half.
    crystal_k, melt_k
        Ranges of the temperatures of crystals, and of those that melts are cooled to, K.
    heat_k
        At which melts begin, K.
    """

    duration_ps: float = 4.0
    frames_per_trajectory: int = 8
    crystal_k: tuple[float, float] = (50.0, 900.0)
    melt_k: tuple[float, float] = (900.0, 2000.0)
    heat_k: float = 3000.0


def n_trajectories(n_frames: int, config: ConventionalConfig, sampling: SamplingConfig) -> int:
    """Return how many trajectories of one phase give half of ``n_frames``."""
    duration_fs = 1000.0 * config.duration_ps
    steps = steps_between_looks(duration_fs, sampling, 2 * config.frames_per_trajectory)
    every_fs = steps * sampling.dynamics.timestep_fs
    n_kept = ceil(duration_fs / every_fs) - ceil(0.5 * duration_fs / every_fs)
    return max(1, ceil(_TOO_MANY * n_frames / 2 / max(1, n_kept)))


def snapshots(
    phase: Phase,
    element: str,
    n: int,
    model: str,
    sampling: SamplingConfig,
    config: ConventionalConfig,
    seed: int,
) -> list[Snapshot]:
    """Run ``n`` trajectories of a phase and return their frames, trajectory after trajectory.

    Parameters
    ----------
    model
        Directory of the ensemble that drives them.
    sampling
        Time step and friction; the rest of the dynamics is ``config``'s.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, PHASES.index(phase)])
    started = [_start(f"{phase}-{seed}-{i:04d}", phase, element, config, rng) for i in range(n)]
    n_looks = 2 * config.frames_per_trajectory
    seen = run(started, potentials.load(Path(model)), sampling, n_looks=n_looks, seed=seed)
    half_fs = 500.0 * config.duration_ps
    return sorted((s for s in seen if s.time_fs >= half_fs), key=lambda s: s.trajectory)


def kept_snapshots(
    phase: Phase,
    element: str,
    n: int,
    model: str,
    sampling: SamplingConfig,
    config: ConventionalConfig,
    seed: int,
    directory: str,
) -> list[Snapshot]:
    """Return the same from a file in ``directory``, or make it."""
    name = fingerprint(
        {
            "phase": phase,
            "element": element,
            "n": n,
            "model": model,
            "sampling": sampling.model_dump(mode="json"),
            "config": asdict(config),
            "seed": seed,
        }
    )
    file = Path(directory) / f"{phase}-{seed}-{name[:12]}.npz"
    try:
        return load_snapshots(file)
    except (FileNotFoundError, DamagedFileError):
        save_snapshots(file, snapshots(phase, element, n, model, sampling, config, seed))
    return load_snapshots(file)


def _start(
    name: str, phase: Phase, element: str, config: ConventionalConfig, rng: np.random.Generator
) -> Trajectory:
    volume = typical_volume_ang3(element) * rng.uniform(*_RELATIVE_VOLUME[phase])
    frame = bulk(element, "fcc", a=(4.0 * volume) ** (1.0 / 3.0), cubic=True)
    frame = frame.repeat(_REPEATS[rng.integers(len(_REPEATS))])
    end_k = float(rng.uniform(*(config.crystal_k if phase == "crystal" else config.melt_k)))
    start_k = end_k if phase == "crystal" else config.heat_k
    duration_fs = 1000.0 * config.duration_ps
    return Trajectory(
        id=name,
        seed=name,
        schedule=TemperatureSchedule(start_k, end_k, 0.0, duration_fs, duration_fs),
        strain=NO_STRAIN,
        time_fs=0.0,
        numbers=frame.numbers.astype(np.int64),
        positions=frame.positions.copy(),
        velocities=thermal_velocities(frame.get_masses(), 2.0 * start_k, rng),  # half goes to the springs
        cell=np.array(frame.cell.array),
        pbc=np.array(frame.pbc),
    )
