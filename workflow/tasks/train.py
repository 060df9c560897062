"""Task: train the next ensemble of a cycle on a snapshot, and hold it against the promoted one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potentials import storage
from potentials.durable import synchronise, temporary_sibling
from potentials.ensemble import AniEnsemble
from potentials.training.errors import evaluate_errors
from potentials.training.train import TrainingError, TrainingResult, start_problem, train_ensemble
from potentials.training.training_set import TrainingSet, is_validation
from workflow.dataset import Dataset, Snapshot
from workflow.settings.config import CampaignConfig
from workflow.settings.load import settings_hash
from workflow.state import round_name
from workflow.storage.files import read_json, save_npz_atomic, write_json_atomic
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import LabelRecord
from workflow.tasks.context import TRAINING_STREAM, campaign, seed_sequence
from workflow.tasks.models import ensemble, worker_device

SUMMARY = "summary.json"
HELD_OUT = "held_out.npz"


@dataclass
class TrainingSummary:
    """How a training went; on disk beside the ensemble. ``interrupted``: it goes on from its checkpoint."""

    round: int
    cycle: int
    version: int
    interrupted: bool = False
    n_labels: int = 0
    n_validation: int = 0
    validation: dict[str, Any] | None = None
    previous_validation: dict[str, Any] | None = None
    calibration: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    wall_s: float = 0.0
    failed_members: list[int] = field(default_factory=list)
    restarted_members: list[int] = field(default_factory=list)


def train_round(
    directory: str, round_number: int, cycle: int, version: int, promoted: int | None
) -> TrainingSummary:
    """Train the ensemble of a round on snapshot ``version``.

    ``promoted`` is the cycle's promoted round: it is measured on the same validation set, and with a warm
    start its weights are where training begins, unless the settings of the potential have changed. A round
    whose ensemble is on disk is not trained again.
    """
    paths, config = campaign(directory)
    finished = paths.model(round_number) / SUMMARY
    if finished.exists():
        return TrainingSummary(**read_json(finished))
    started = time.perf_counter()
    previous = None if promoted is None else ensemble(paths.model(promoted))
    train, validation = training_sets(Dataset.open(paths.dataset).snapshot(version), config)
    place = paths.training(round_number)
    place.mkdir(parents=True, exist_ok=True)
    # Under its settings, which may have changed since: it is then trained from the beginning.
    settings = settings_hash(config.potential) + settings_hash(config.training)
    warm = (
        config.synchronisation.warm_start
        and previous is not None
        and start_problem(previous, config.elements, config.potential) is None
    )
    result = train_ensemble(
        train,
        validation,
        elements=config.elements,
        potential=config.potential,
        training=config.training,
        seed=int(seed_sequence(config, TRAINING_STREAM, round_number).generate_state(1)[0]),
        start=previous if warm else None,
        checkpoint=place / f"{settings}.safetensors",
        should_stop=paths.stop_training.exists,
        device=worker_device(),
    )
    summary = TrainingSummary(round_number, cycle, version)
    if result is None:
        summary.interrupted = True
        return summary
    if len(result.members) < 2:
        raise TrainingError(
            f"{len(result.failed_members)} of {config.potential.n_members} members diverged; "
            "an ensemble needs two to disagree"
        )
    summary.n_labels, summary.n_validation = len(train) + len(validation), len(validation)
    summary.validation = _errors(result.ensemble, validation)
    summary.previous_validation = None if previous is None else _errors(previous, validation)
    summary.calibration = asdict(result.calibration)
    summary.epochs = len(result.history)
    summary.failed_members = list(result.failed_members)
    summary.restarted_members = list(result.restarted_members)
    summary.wall_s = time.perf_counter() - started
    _save(paths, result, summary, config)
    shutil.rmtree(place, ignore_errors=True)
    return TrainingSummary(**read_json(finished))


def training_sets(snapshot: Snapshot, config: CampaignConfig) -> tuple[TrainingSet, TrainingSet]:
    """Return the labels of a snapshot that train, and those, chosen by hash, that never do."""
    everything = training_set(list(snapshot.records()))
    fraction = config.synchronisation.validation_fraction
    held_out = [is_validation(id_, fraction) for id_ in everything.ids]
    return (
        everything.subset([i for i, out in enumerate(held_out) if not out]),
        everything.subset([i for i, out in enumerate(held_out) if out]),
    )


def training_set(records: Sequence[LabelRecord]) -> TrainingSet:
    """Return labels as a training takes them."""
    return TrainingSet(
        ids=[record.id for record in records],
        frames=[record.frame for record in records],
        energies_ev=np.array([record.label.energy_ev for record in records]),
        forces_ev_per_ang=[record.label.forces_ev_per_ang for record in records],
        stresses_ev_per_ang3=[record.label.stress_ev_per_ang3 for record in records],
    )


def _errors(model: AniEnsemble, validation: TrainingSet) -> dict[str, Any]:
    errors = evaluate_errors(model, validation)
    return {"n_labels": 0} if errors is None else {"n_labels": errors.n_frames, **asdict(errors)}


def _save(
    paths: CampaignPaths, result: TrainingResult, summary: TrainingSummary, config: CampaignConfig
) -> None:
    """Save ensemble, held-out predictions and summary as one directory, complete or not at all.

    A worker taken for lost may do the same at the same time: the first one counts.
    """
    target = paths.model(summary.round)
    building = temporary_sibling(target)
    card = {
        **result.ensemble.card,
        "campaign": config.name,
        "round": summary.round,
        "cycle": summary.cycle,
        "snapshot": summary.version,
        "validation": summary.validation,
    }
    storage.save(replace(result.ensemble, card=card), building)
    save_npz_atomic(building / HELD_OUT, _held_out(result))
    write_json_atomic(building / SUMMARY, asdict(summary))
    try:
        building.replace(target)
    except OSError:
        if not (target / SUMMARY).exists():
            raise
        shutil.rmtree(building)
    synchronise(paths.models)


def _held_out(result: TrainingResult) -> dict[str, NDArray[Any]]:
    """Return errors and spreads of each validation frame, to hold one against the other."""
    errors, spread = result.validation_frames.errors, result.validation_frames.spread
    return {
        "ids": np.array(errors.ids, dtype=np.str_),
        "n_atoms": errors.n_atoms,
        "energy_error_ev_per_sqrt_atom": errors.energy_ev_per_sqrt_atom,
        "energy_spread_ev_per_sqrt_atom": spread.energy_ev_per_sqrt_atom,
        "force_error_mean_ev_per_ang": errors.force_mean_ev_per_ang,
        "force_spread_mean_ev_per_ang": spread.force_mean_ev_per_ang,
        "force_error_max_ev_per_ang": errors.force_max_ev_per_ang,
        "force_spread_max_ev_per_ang": spread.force_max_ev_per_ang,
    }


def point_current_at(paths: CampaignPaths, round_number: int) -> None:
    """Make ``models/current`` the ensemble of a round, atomically."""
    temporary = paths.models / ".current.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(round_name(round_number), target_is_directory=True)
    temporary.replace(paths.current)
