"""A campaign's own trajectories once more, without the stop for disagreement.

The same cells, schedules and velocities (all follow from a trajectory's seed), driven by the same round's
ensemble with the same dynamics. Only the thermostat's noise is another, so that paths part after a while.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch

import potentials
from sampling.builder import BuildError
from sampling.builders import make_builder
from sampling.slot_group import SlotGroup
from sampling.trajectory import Trajectory, start_trajectory
from workflow.settings.config import CampaignConfig
from workflow.storage.files import DamagedFileError
from workflow.studying.campaign_labels import StudiedCampaign
from workflow.studying.dynamics import Snapshot, load_snapshots, run, save_snapshots
from workflow.tasks.context import SAMPLING_STREAM

N_LOOKS = 50
"""Frames kept of each trajectory, to draw from."""

_NAME = re.compile(r"c(\d+)-g(\d+)-(\d+)")
_HELD_OUT_SHARE = 0.15


@dataclass(frozen=True)
class Replay:
    """The trajectories of one round to run again.

    Attributes
    ----------
    round_name
        Whose ensemble drives them.
    n_labels
        How many labels the campaign took from that round's trajectories.
    learnt, held_out
        Names of the trajectories: those to draw labels from, and those to test on.
    """

    round_name: str
    n_labels: int
    learnt: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All trajectories."""
        return (*self.learnt, *self.held_out)


def plan_replays(campaign: StudiedCampaign, frames_per_trajectory: int) -> list[Replay]:
    """Return what to run again: of each round so many trajectories that each gives a few labels.

    Which ones is drawn at random, always the same ones for the same campaign.
    """
    replays = []
    for name in sorted(campaign.trajectories):
        n_labels = sum(record.provenance.ensemble == name for record in campaign.learnt)
        if not n_labels:
            continue
        n_learnt = ceil(n_labels / frames_per_trajectory)
        known = campaign.trajectories[name]
        n_all = n_learnt + ceil(_HELD_OUT_SHARE * n_learnt)
        rng = np.random.default_rng([campaign.config.seed, int(name.rpartition("-")[2])])
        drawn = [known[i] for i in rng.permutation(len(known))[:n_all]]
        n_learnt = max(1, min(n_learnt, len(drawn) - 1))
        replays.append(Replay(name, n_labels, tuple(drawn[:n_learnt]), tuple(drawn[n_learnt:])))
    return replays


def replay(directory: str, config: CampaignConfig, planned: Replay, file: str) -> int:
    """Run the trajectories of one round and keep what was seen in ``file``; return how many frames.

    What is in the file already is not run again.
    """
    try:
        return len(load_snapshots(Path(file)))
    except (FileNotFoundError, DamagedFileError):
        pass
    torch.set_num_threads(1)
    started = [t for name in planned.names if (t := _start(name, config)) is not None]
    number = int(planned.round_name.rpartition("-")[2])
    ensemble = potentials.load(Path(directory) / "models" / planned.round_name)
    seen = run(started, ensemble, config.sampling, n_looks=N_LOOKS, seed=config.seed + number)
    save_snapshots(Path(file), seen)
    return len(seen)


def _start(name: str, config: CampaignConfig) -> Trajectory | None:
    """Return a trajectory of the campaign as it began, by its name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    cycle, group, number = (int(text) for text in match.groups())
    seed = SlotGroup("", config.seed, (SAMPLING_STREAM, cycle, group), 1).trajectory_seed(number)
    try:
        return start_trajectory(
            name, seed, make_builder(config.builder, config.elements), config.sampling.schedule
        )
    except BuildError:
        return None


def drawn_at_random(
    pools: Sequence[tuple[Replay, Sequence[Snapshot]]], n_passes: int, seed: int
) -> list[tuple[Replay, Snapshot]]:
    """Return frames in the order in which random selection takes them, each once.

    In each pass every round gives as many frames as the campaign labelled of it, round after round; the
    second and later passes go on where the campaign ended. All frames of a round are as likely.
    """
    rng = np.random.default_rng([seed, 2])
    order = [rng.permutation(len(seen)) for _, seen in pools]
    taken = []
    for i in range(n_passes):
        for (planned, seen), rows in zip(pools, order, strict=True):
            part = rows[i * planned.n_labels : (i + 1) * planned.n_labels]
            taken += [(planned, seen[row]) for row in part]
    return taken
