"""Trajectories that advance together, and their checkpoint."""

from __future__ import annotations

import io
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potentials.durable import replace_file
from sampling.schedule import TemperatureSchedule
from sampling.seeds import child
from sampling.strain import StrainSchedule
from sampling.trajectory import Trajectory

_FORMAT = 2


@dataclass(frozen=True)
class SlotGroup:
    """The complete state of a group: whoever has it can go on as if nothing had happened.

    Attributes
    ----------
    id
        Name; trajectories are named after it.
    entropy, spawn_key
        The group's seed. Trajectory k has the key (*spawn_key, 1, k); the noise has (*spawn_key, 0).
    n_slots
        How many trajectories advance together.
    next_trajectory
        Number of the next trajectory to be started.
    trajectories
        Those under way, at most ``n_slots``.
    noise_device
        Kind of device of the noise generator; empty before the first step.
    noise_state
        State of that generator, bytes.
    """

    id: str
    entropy: int
    spawn_key: tuple[int, ...]
    n_slots: int
    next_trajectory: int = 0
    trajectories: tuple[Trajectory, ...] = ()
    noise_device: str = ""
    noise_state: bytes = b""

    def trajectory_id(self, number: int) -> str:
        """Return the name of trajectory ``number``."""
        return f"{self.id}-{number:06d}"

    def trajectory_seed(self, number: int) -> np.random.SeedSequence:
        """Return the seed of trajectory ``number``."""
        return child(self._seed, 1, number)

    def noise_seed(self) -> int:
        """Return the seed of a new noise generator, another one for each number of trajectories started."""
        return int(child(self._seed, 0, self.next_trajectory).generate_state(1, np.uint64)[0] >> np.uint64(1))

    @property
    def _seed(self) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.entropy, spawn_key=self.spawn_key)

    def save(self, path: Path) -> None:
        """Write the checkpoint; after a crash ``path`` holds the old one or the new one, whole."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **self._arrays())
        replace_file(path, buffer.getvalue())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        slots = self.trajectories
        return {
            "format": np.array(_FORMAT),
            "id": np.array(self.id),
            "entropy": np.array(str(self.entropy)),
            "spawn_key": np.array(self.spawn_key, dtype=np.int64),
            "counts": np.array([self.n_slots, self.next_trajectory]),
            "noise_device": np.array(self.noise_device),
            "noise_state": np.frombuffer(self.noise_state, dtype=np.uint8),
            "trajectory_ids": np.array([t.id for t in slots], dtype=np.str_),
            "seeds": np.array([t.seed for t in slots], dtype=np.str_),
            "schedules": np.array([astuple(t.schedule) for t in slots]).reshape(-1, 5),
            "strains": np.array([(*t.strain.voigt, t.strain.period_fs) for t in slots]).reshape(-1, 7),
            "times_fs": np.array([t.time_fs for t in slots]),
            "cells": np.array([t.cell for t in slots]).reshape(-1, 3, 3),
            "pbc": np.array([t.pbc for t in slots], dtype=np.bool_).reshape(-1, 3),
            "n_atoms": np.array([len(t.numbers) for t in slots], dtype=np.int64),
            "numbers": np.concatenate([np.empty(0, dtype=np.int64), *(t.numbers for t in slots)]),
            **{f"positions_{i}": t.positions for i, t in enumerate(slots)},
            **{f"velocities_{i}": t.velocities for i, t in enumerate(slots)},
        }

    @classmethod
    def load(cls, path: Path) -> SlotGroup:
        """Read a checkpoint.

        Raises
        ------
        ValueError
            If the file is not a whole checkpoint of this format.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return cls._from_arrays(arrays)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not a readable trajectory checkpoint: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> SlotGroup:
        if int(arrays["format"]) != _FORMAT:
            raise ValueError(f"format {int(arrays['format'])}, expected {_FORMAT}")
        ends = np.cumsum(arrays["n_atoms"])
        numbers = np.split(arrays["numbers"], ends[:-1])
        return cls(
            id=str(arrays["id"]),
            entropy=int(str(arrays["entropy"])),
            spawn_key=tuple(int(k) for k in arrays["spawn_key"]),
            n_slots=int(arrays["counts"][0]),
            next_trajectory=int(arrays["counts"][1]),
            noise_device=str(arrays["noise_device"]),
            noise_state=arrays["noise_state"].tobytes(),
            trajectories=tuple(
                Trajectory(
                    id=str(arrays["trajectory_ids"][i]),
                    seed=str(arrays["seeds"][i]),
                    schedule=TemperatureSchedule(*(float(x) for x in arrays["schedules"][i])),
                    strain=_strain(arrays["strains"][i]),
                    time_fs=float(arrays["times_fs"][i]),
                    numbers=numbers[i],
                    positions=arrays[f"positions_{i}"],
                    velocities=arrays[f"velocities_{i}"],
                    cell=arrays["cells"][i],
                    pbc=arrays["pbc"][i],
                )
                for i in range(len(ends))
            ),
        )


def _strain(row: NDArray[np.float64]) -> StrainSchedule:
    xx, yy, zz, yz, xz, xy, period_fs = (float(x) for x in row)
    return StrainSchedule((xx, yy, zz, yz, xz, xy), period_fs)


def new_group(group_id: str, seed: int | np.random.SeedSequence, n_slots: int) -> SlotGroup:
    """Return a group in which nothing runs yet; its first `advance` starts the trajectories.

    Parameters
    ----------
    group_id
        Unique within the campaign.
    seed
        Decides every cell, schedule and velocity of the group. Groups must have different seeds:
        spawn them from one sequence.
    n_slots
        How many trajectories advance together.
    """
    sequence = np.random.SeedSequence(seed) if isinstance(seed, int) else seed
    if not isinstance(sequence.entropy, int):
        raise TypeError("the seed of a group needs one integer as entropy, so that it can be written down")
    return SlotGroup(group_id, sequence.entropy, tuple(sequence.spawn_key), n_slots)
