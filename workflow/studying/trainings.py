"""Trainings of a study: ensembles and errors are kept, and an interrupted training goes on where it was."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import potentials
from potentials import storage
from potentials.config import AniConfig
from potentials.training.config import TrainingConfig
from potentials.training.errors import Errors, evaluate_errors
from potentials.training.train import TrainingError, train_ensemble
from potentials.training.training_set import TrainingSet
from qm.fingerprint import fingerprint
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingJob:
    """An ensemble to train and to test.

    Attributes
    ----------
    name
        As it is shown; what it is trained on, not which seed.
    train
        Labels to learn from.
    tests
        Labels to measure it on, by the name of the set.
    elements, potential, training, seed
        Settings.
    """

    name: str
    train: TrainingSet
    tests: Mapping[str, TrainingSet]
    elements: tuple[str, ...]
    potential: AniConfig
    training: TrainingConfig
    seed: int

    @property
    def key(self) -> str:
        """Hash of all that the ensemble depends on."""
        return fingerprint(
            {
                "ids": self.train.ids,
                "elements": list(self.elements),
                "potential": self.potential.model_dump(mode="json"),
                "training": self.training.model_dump(mode="json"),
                "seed": self.seed,
            }
        )


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    name, seed, n_labels
        Which; how many labels it learnt from.
    errors
        By the name of the test set; empty where every member diverged, and ``remark`` says so.
    seconds
        What it took now; 0 where it was known.
    """

    name: str
    seed: int
    n_labels: int
    errors: Mapping[str, Errors]
    remark: str = ""
    seconds: float = 0.0


def train_all(
    jobs: Sequence[TrainingJob], directory: Path, workers: int, on_done: Callable[[Trained], None]
) -> list[Trained]:
    """Return what came of all trainings, in the order of ``jobs``; ``on_done`` is told of each at once."""
    calls = [(train_and_test, (job, str(directory))) for job in jobs]
    return in_processes(calls, workers, on_done)


def in_processes(
    calls: Sequence[tuple[Callable[..., T], tuple[Any, ...]]], workers: int, on_done: Callable[[T], None]
) -> list[T]:
    """Call functions in so many processes, or in this one where one is asked for; return their results."""
    if workers == 1:
        results = []
        for function, arguments in calls:
            results.append(function(*arguments))
            on_done(results[-1])
        return results
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in calls]
        try:
            for future in as_completed(futures):
                on_done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def train_and_test(job: TrainingJob, directory: str) -> Trained:
    """Train an ensemble, or take the one that is kept, and measure it where it has not been."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    key = job.key
    place = Path(directory) / f"{job.name.replace(' ', '-')}-{job.seed}-{key[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    model, kept = place / "model", _kept(place / "errors.json")
    sets = {name: fingerprint({"ids": data.ids}) for name, data in job.tests.items()}
    if any(kept.get(sets[name]) is None for name in sets):
        if not (model / storage.CARD).is_file():
            remark = _train(job, place / "checkpoint.safetensors", model)
            if remark:
                return Trained(job.name, job.seed, len(job.train), {}, remark, time.perf_counter() - started)
        ensemble = potentials.load(model)
        for name, data in job.tests.items():
            if kept.get(sets[name]) is None:
                errors = evaluate_errors(ensemble, data)
                kept[sets[name]] = None if errors is None else asdict(errors)
        write_json_atomic(place / "errors.json", kept)
    errors_by_set = {name: Errors(**found) for name, key in sets.items() if (found := kept[key]) is not None}
    return Trained(job.name, job.seed, len(job.train), errors_by_set, seconds=time.perf_counter() - started)


def _train(job: TrainingJob, checkpoint: Path, model: Path) -> str:
    """Train and save; return why there is no ensemble, or nothing."""
    try:
        result = train_ensemble(
            job.train,
            job.train.subset([]),
            elements=job.elements,
            potential=job.potential,
            training=job.training,
            seed=job.seed,
            checkpoint=checkpoint,
        )
    except (TrainingError, ValueError) as error:  # all members diverged, or there are too few labels
        return str(error)
    assert result is not None, "nothing asks this training to stop"
    storage.save(result.ensemble, model)
    checkpoint.unlink(missing_ok=True)
    return ""


def _kept(file: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = read_json(file)
    except (FileNotFoundError, DamagedFileError):
        return {}
    return kept
