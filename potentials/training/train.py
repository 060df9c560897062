"""Trains all members of an ensemble at once: labels in; an ensemble, its errors and its history out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.disagreement import Calibration, calibrate
from potentials.ensemble import AniEnsemble
from potentials.kernels.select import KernelName, kernel_for
from potentials.training.checkpoint import read_checkpoint, write_checkpoint
from potentials.training.config import TrainingConfig
from potentials.training.errors import Errors, FrameErrors, SetPrediction, predict_set
from potentials.training.frames import ReadyFrames
from potentials.training.loop import Deal, Learner
from potentials.training.parameters import ParameterLayout
from potentials.training.scaling import fit_scaling, lone_atom_energies
from potentials.training.state import EpochReport, TrainingState, member_seed
from potentials.training.training_set import TrainingSet, fold_of

CHECKPOINT_SECONDS = 20.0
MIN_CALIBRATION_FRAMES = 5


class TrainingError(RuntimeError):
    """Every member diverged."""


@dataclass(frozen=True)
class TrainingResult:
    """A trained ensemble and how good it is.

    Attributes
    ----------
    ensemble
        The best weights of every member that did not fail; its card says the rest.
    history
        One report per epoch.
    out_of_fold
        Every training label once, predicted by the one member that never saw it: an honest error of
        single members. Labels in the fold of a failed member, or beyond the folds of a small ensemble, are
        missing.
    validation
        Errors of the ensemble's mean on the fixed validation set; ``None`` if that is empty.
    validation_frames
        The same by frame, and the members' spread there (not calibrated), to set one against the other.
    member_errors
        Errors of each member on the labels that it never saw; ``None`` where there are none.
    calibration
        Expected error = factor × spread, from the validation set; ones if that is too small.
    members
        Which members the ensemble holds, by the number of the fold they never saw.
    restarted_members, failed_members
        Members that diverged and began again, and those given up.
    """

    ensemble: AniEnsemble
    history: list[EpochReport]
    out_of_fold: FrameErrors
    validation: Errors | None
    validation_frames: SetPrediction
    member_errors: list[Errors | None]
    calibration: Calibration
    members: list[int]
    restarted_members: list[int]
    failed_members: list[int]


def train_ensemble(
    train: TrainingSet,
    validation: TrainingSet,
    *,
    elements: tuple[str, ...],
    potential: AniConfig,
    training: TrainingConfig,
    seed: int,
    start: AniEnsemble | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    kernel: KernelName = "auto",
    device: torch.device | str = "cpu",
) -> TrainingResult | None:
    """Train an ensemble.

    Parameters
    ----------
    train
        Labels to learn from. Member m never sees those of fold m, and learns when to stop from the next fold.
    validation
        Labels that no member learns from in any way.
    elements
        Chemical symbols in the order of the networks.
    potential, training
        Settings.
    seed
        Of first weights and of the order of frames. The same seed, settings, labels, machine and number of
        threads give the same weights, bit for bit.
    start
        Begin with these weights, and learn for a shorter time; made with the same ``potential``, so that the
        folds are the same and each member has still never seen its own.
    checkpoint
        File to keep the training in while it runs, and to go on from if it exists; removed by nobody here.
    on_epoch
        Called after every epoch.
    should_stop
        Asked before every batch; once it says yes, a checkpoint is written and ``None`` returned.
    kernel
        How descriptors are computed.
    device
        Where to train; the ensemble is returned on the CPU. A GPU does not sum in a fixed order: there the
        same seed gives the same weights only nearly.

    Raises
    ------
    TrainingError
        If every member diverged, all restarts included.
    ValueError
        If there are too few labels, an element is missing from ``elements``, ``start`` does not fit, or
        ``checkpoint`` is damaged or of another training.
    """
    asked = should_stop or (lambda: False)
    training = training if start is None else training.after_warm_start()
    learner = _prepare(train, elements, potential, training, seed, kernel, torch.device(device))
    identity = _identity(train, elements, potential, training, seed, start)
    state = read_checkpoint(checkpoint, identity) if checkpoint else None
    if state is None:
        state = _first_state(learner, potential.n_members, start, elements, potential)
    state = state.to(learner.ready.device)
    if not _learn(learner, state, identity, checkpoint, on_epoch, asked):
        return None
    return _result(learner, state, train, validation, elements, potential, kernel)


def _prepare(
    train: TrainingSet,
    elements: tuple[str, ...],
    potential: AniConfig,
    training: TrainingConfig,
    seed: int,
    kernel: KernelName,
    device: torch.device,
) -> Learner:
    deal = Deal.of(train.ids, potential.n_members).to(device)
    spec = DescriptorSpec.from_config(potential, len(elements))
    ready = ReadyFrames(
        train,
        elements,
        spec,
        kernel_for(spec, device, kernel),
        device=device,
        memory_gib=training.cache_gib,
    )
    scaling = fit_scaling(ready, deal.learns)
    return Learner(ready, ParameterLayout.of(spec, potential), scaling, deal, training, seed)


def _identity(
    train: TrainingSet,
    elements: tuple[str, ...],
    potential: AniConfig,
    training: TrainingConfig,
    seed: int,
    start: AniEnsemble | None,
) -> str:
    """Return a hash of all that the weights depend on."""
    settings = [list(elements), potential.model_dump(mode="json"), training.model_dump(mode="json"), seed]
    digest = blake2b(json.dumps([settings, train.ids]).encode(), digest_size=16)
    for array in (train.energies_ev, *train.forces_ev_per_ang, *(f.positions for f in train.frames)):
        digest.update(np.ascontiguousarray(array).tobytes())
    for tensor in start.networks.parameters() if start else ():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _first_state(
    learner: Learner,
    n_members: int,
    start: AniEnsemble | None,
    elements: tuple[str, ...],
    potential: AniConfig,
) -> TrainingState:
    seeds = [member_seed(learner.seed, m, 0) for m in range(n_members)]
    flat = learner.layout.initial(seeds)
    if start is not None:
        problem = start_problem(start, elements, potential)
        if problem is not None:
            raise ValueError(problem)
        members = list(start.card.get("training", {}).get("members", range(start.n_members)))
        scaling = learner.scaling.of_members(members)
        shift_ev = start.shift_ev.to(scaling.shift_ev)
        flat[members] = learner.layout.rows(start.networks, scaling, shift_ev).cpu()
    return TrainingState.begin(flat, seeds, learner.layout, learner.config)


def start_problem(start: AniEnsemble, elements: tuple[str, ...], potential: AniConfig) -> str | None:
    """Return why a training with these settings cannot begin with an ensemble's weights, or ``None``.

    Elements and settings must be the same, and so must the descriptors: widths that the settings leave open
    follow the version.
    """
    ours = {"elements": elements, **dict(potential)}
    theirs = {"elements": start.elements, **dict(start.config)}
    for name, wanted in ours.items():
        if theirs[name] != wanted:
            return f"the ensemble to start from has {name} {theirs[name]}, this training has {wanted}"
    if start.spec != DescriptorSpec.from_config(potential, len(elements)):
        return "the ensemble to start from has descriptors of another version"
    return None


def _learn(
    learner: Learner,
    state: TrainingState,
    identity: str,
    checkpoint: Path | None,
    on_epoch: Callable[[EpochReport], None] | None,
    should_stop: Callable[[], bool],
) -> bool:
    """Run epochs until no member learns any more; return whether it came to that."""
    written = time.monotonic()
    while state.having("learning"):
        before = state.copy()
        if not learner.epoch(state, should_stop):
            if checkpoint:
                write_checkpoint(checkpoint, before, identity)
            return False
        if on_epoch:
            on_epoch(state.history[-1])
        if checkpoint and time.monotonic() - written > CHECKPOINT_SECONDS:
            write_checkpoint(checkpoint, state, identity)
            written = time.monotonic()
    if checkpoint:
        write_checkpoint(checkpoint, state, identity)
    if not state.having("finished"):
        raise TrainingError(f"all {len(state.members)} members diverged, each after {_restarts(learner)}")
    return True


def _restarts(learner: Learner) -> str:
    return f"{learner.config.max_restarts} restarts; last epoch: training loss not finite or too large"


def _result(
    learner: Learner,
    state: TrainingState,
    train: TrainingSet,
    validation: TrainingSet,
    elements: tuple[str, ...],
    potential: AniConfig,
    kernel: KernelName,
) -> TrainingResult:
    members = state.having("finished")
    everything = torch.ones(len(train), dtype=torch.bool, device=learner.ready.device)
    shift_ev = lone_atom_energies(learner.ready, everything)
    networks = learner.layout.networks(state.best[members], learner.scaling.of_members(members), shift_ev)
    spec = DescriptorSpec.from_config(potential, len(elements))
    ensemble = AniEnsemble(potential, elements, spec, networks, shift_ev, kernel=kernel)
    unseen = [_unseen(ensemble, row, m, train, potential.n_members) for row, m in enumerate(members)]
    checked = predict_set(ensemble, validation)
    result = TrainingResult(
        ensemble=ensemble,
        history=state.history,
        out_of_fold=FrameErrors.joined(unseen),
        validation=checked.errors.summary(),
        validation_frames=checked,
        member_errors=[errors.summary() for errors in unseen],
        calibration=_calibration(checked),
        members=members,
        restarted_members=[m for m, member in enumerate(state.members) if member.n_restarts],
        failed_members=state.having("failed"),
    )
    finished = replace(ensemble.to(device="cpu"), card=_card(result, learner, state, train))
    return replace(result, ensemble=finished)


def _unseen(ensemble: AniEnsemble, row: int, fold: int, train: TrainingSet, n_members: int) -> FrameErrors:
    """Return the errors of one member on the fold that it never saw."""
    single = replace(ensemble, networks=ensemble.networks.map(lambda tensor: tensor[row : row + 1]))
    return predict_set(
        single, train.subset([i for i, label in enumerate(train.ids) if fold_of(label, n_members) == fold])
    ).errors


def _calibration(checked: SetPrediction) -> Calibration:
    """Return factors from the validation set, or ones where it or the ensemble is too small to say."""
    errors, spread = checked.errors, checked.spread
    if len(errors.ids) < MIN_CALIBRATION_FRAMES or not spread.energy_ev_per_sqrt_atom.any():
        return Calibration()
    return calibrate(
        spread.energy_ev_per_sqrt_atom,
        errors.energy_ev_per_sqrt_atom,
        spread.force_mean_ev_per_ang,
        errors.force_mean_ev_per_ang,
    )


def _card(
    result: TrainingResult, learner: Learner, state: TrainingState, train: TrainingSet
) -> dict[str, Any]:
    """Return what the ensemble's card says of its training."""
    return {
        "training": {
            "settings": learner.config.model_dump(mode="json"),
            "seed": learner.seed,
            "n_labels": len(train),
            "n_epochs": len(state.history),
            "members": result.members,
            "member_seeds": [state.members[m].seed for m in result.members],
            "restarted_members": result.restarted_members,
            "failed_members": result.failed_members,
        },
        "errors": {
            "validation": _entries(result.validation),
            "unseen_by_member": [_entries(errors) for errors in result.member_errors],
            "unseen_by_single_members": _entries(result.out_of_fold.summary()),
        },
        "calibration": asdict(result.calibration),
    }


def _entries(errors: Errors | None) -> dict[str, Any] | None:
    return asdict(errors) if errors else None
