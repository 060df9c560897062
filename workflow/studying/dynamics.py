"""Trajectories that run to their end whatever the ensemble thinks of them, seen in equal steps of time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from potentials.disagreement import Calibration
from potentials.ensemble import AniEnsemble
from sampling.builder import BuildError
from sampling.config import SamplingConfig
from sampling.search import advance
from sampling.slot_group import SlotGroup
from sampling.trajectory import Trajectory
from workflow.storage.files import load_npz, save_npz_atomic

_NEVER = 1e30


@dataclass(frozen=True)
class Snapshot:
    """A frame of a trajectory, with the trajectory's name, its age and the thermostat's temperature then."""

    frame: Atoms
    trajectory: str
    time_fs: float
    temperature_k: float


def never_stopping(config: SamplingConfig) -> SamplingConfig:
    """Return the settings without the stop for disagreement; what is not physical still ends."""
    thresholds = config.thresholds.model_copy(
        update={
            "max_energy_error_mev_per_sqrt_atom": _NEVER,
            "max_mean_force_error_ev_per_ang": _NEVER,
            "max_force_error_ev_per_ang": _NEVER,
        }
    )
    return config.model_copy(
        update={"thresholds": thresholds, "max_build_failures": 0, "label_completed": False}
    )


def run(
    trajectories: Sequence[Trajectory],
    ensemble: AniEnsemble,
    config: SamplingConfig,
    *,
    n_looks: int,
    seed: int,
) -> list[Snapshot]:
    """Run trajectories to the ends of their schedules, of one duration, and look at them ``n_looks`` times.

    One that blows up, or in which atoms come too close, ends there and gives what was seen before.

    Parameters
    ----------
    config
        Dynamics and the limits of what is physical; thresholds of disagreement are ignored.
    n_looks
        Looks at equal distances, the last just before the end; fewer where steps do not suffice.
    seed
        Of the thermostat's noise.
    """
    config = never_stopping(config)
    group = SlotGroup("study", seed, (), len(trajectories), trajectories=tuple(trajectories))
    n_steps = steps_between_looks(trajectories[0].schedule.duration_fs, config, n_looks)
    seen: list[Snapshot] = []
    while group.trajectories:
        group, _ = advance(group, ensemble, "study", Calibration(), _NoMoreCells(), config, n_steps)
        seen += [
            Snapshot(t.frame(), t.id, t.time_fs, float(t.schedule.temperature_k(t.time_fs)))
            for t in group.trajectories
        ]
    return seen


def steps_between_looks(duration_fs: float, config: SamplingConfig, n_looks: int) -> int:
    """Return how many steps lie between two looks, a multiple of ``check_every_steps``."""
    every = config.check_every_steps
    return every * max(1, int(duration_fs / config.dynamics.timestep_fs / every / (n_looks + 1)))


class _NoMoreCells:
    """Leaves the slots of trajectories that ended empty."""

    def build(self, seed: np.random.SeedSequence) -> Atoms:  # noqa: ARG002
        raise BuildError("no trajectory takes the place of one that ended")


def save_snapshots(path: Path, snapshots: Sequence[Snapshot]) -> None:
    """Write snapshots, all or none."""
    frames = [snapshot.frame for snapshot in snapshots]
    rows = [(s.trajectory, s.time_fs, s.temperature_k) for s in snapshots]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_npz_atomic(
        path,
        {
            "n_atoms": np.array([len(frame) for frame in frames], dtype=np.int64),
            "numbers": np.concatenate([np.zeros(0, np.int64), *(frame.numbers for frame in frames)]),
            "positions": np.concatenate([np.zeros((0, 3)), *(frame.positions for frame in frames)]),
            "cells": np.array([frame.cell.array for frame in frames]).reshape(-1, 3, 3),
            "rows": np.array(json.dumps(rows)),
        },
    )


def load_snapshots(path: Path) -> list[Snapshot]:
    """Read what `save_snapshots` wrote; every frame is periodic.

    Raises
    ------
    DamagedFileError
        If the file is torn or altered.
    """
    arrays = load_npz(path)
    ends = np.cumsum(arrays["n_atoms"])[:-1]
    numbers, positions = np.split(arrays["numbers"], ends), np.split(arrays["positions"], ends)
    rows = json.loads(str(arrays["rows"]))
    return [
        Snapshot(Atoms(n, positions=p, cell=cell, pbc=True), name, time_fs, temperature_k)
        for n, p, cell, (name, time_fs, temperature_k) in zip(
            numbers, positions, arrays["cells"], rows, strict=False
        )
    ]


def with_schedule(trajectory: Trajectory, **changes: float) -> Trajectory:
    """Return a trajectory whose temperature schedule is another in part."""
    return replace(trajectory, schedule=replace(trajectory.schedule, **changes))
