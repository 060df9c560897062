"""What a study will take: measured on a few labels before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.training.train import train_ensemble
from potentials.training.training_set import TrainingSet
from workflow.settings.config import CampaignConfig

_N_LABELS, _N_EPOCHS = 32, 3
_LISTS_AND_MOTION = 1.2
"""A step of dynamics against one evaluation."""


def seconds_per_label(config: CampaignConfig, labels: TrainingSet) -> float:
    """Return about what a training takes for each of its labels, s."""
    part = labels.subset(range(min(_N_LABELS, len(labels))))
    ends: list[float] = []
    train_ensemble(
        part,
        part.subset([]),
        elements=config.elements,
        potential=config.potential,
        training=config.training.model_copy(update={"max_epochs": _N_EPOCHS}),
        seed=0,
        on_epoch=lambda _: ends.append(time.process_time()),
    )
    epoch_s = (ends[-1] - ends[0]) / max(1, len(ends) - 1)  # the first has what is made only once
    return epoch_s / len(part) * config.training.max_epochs


def seconds_per_atom_step(ensemble: AniEnsemble, labels: TrainingSet) -> float:
    """Return about what a step of dynamics takes for each atom, s."""
    frames = labels.frames[: min(8, len(labels))]
    batch = Batch.from_frames(frames, ensemble.elements, dtype=torch.float32)
    times = []
    for _ in range(3):
        started = time.process_time()
        ensemble.evaluate(batch)
        times.append(time.process_time() - started)
    return _LISTS_AND_MOTION * min(times) / sum(len(frame) for frame in frames)


def mean_atoms(labels: Sequence[TrainingSet]) -> float:
    """Return the mean number of atoms of labelled frames."""
    sizes = [len(frame) for data in labels for frame in data.frames]
    return sum(sizes) / max(1, len(sizes))
