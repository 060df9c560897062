"""A look at moving frames: where the ensemble disagrees, what came too close, what blew up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from potentials.batch import Batch
from potentials.descriptors import PairGraph
from potentials.disagreement import Calibration, Disagreement, disagreement
from potentials.protocol import Prediction
from sampling.config import ThresholdConfig
from sampling.dynamics import MAX_STEP_ANG, Motion, kinetic_temperature_k
from sampling.results import EndReason

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """How far the members disagree on each frame.

    Attributes
    ----------
    spread, expected
        As predicted, and calibrated to an expected error; arrays of shape (n_frames,).
    ratios
        Expected errors divided by their thresholds: energy, mean force, largest force; shape (3, n_frames).
    """

    spread: Disagreement
    expected: Disagreement
    ratios: Floats

    @property
    def worst(self) -> Floats:
        """Largest of the three ratios, shape (n_frames,); above 1 the ensemble is not trusted."""
        return np.asarray(self.ratios.max(axis=0))


@dataclass(frozen=True)
class Inspection:
    """What was seen; every array has shape (n_frames,)."""

    scores: Scores
    broken: Booleans
    close_contact: Booleans
    largest_force_ev_per_ang: Floats
    temperature_k: Floats


def score(
    prediction: Prediction,
    batch: Batch,
    calibration: Calibration,
    thresholds: ThresholdConfig,
    slack: Floats | float = 1.0,
) -> Scores:
    """Compare the disagreement on every frame with ``slack`` times the thresholds; needs member forces."""
    spread = disagreement(prediction, batch)
    expected = calibration.apply(spread)
    ratios = np.stack(
        [
            1000
            * np.asarray(expected.energy_ev_per_sqrt_atom)
            / thresholds.max_energy_error_mev_per_sqrt_atom,
            np.asarray(expected.force_mean_ev_per_ang) / thresholds.max_mean_force_error_ev_per_ang,
            np.asarray(expected.force_max_ev_per_ang) / thresholds.max_force_error_ev_per_ang,
        ]
    )
    return Scores(spread, expected, ratios / slack)


def inspect(
    motion: Motion, timestep_fs: float, graph: PairGraph, contact_ang: Tensor, scores: Scores
) -> Inspection:
    """Look at frames and their motion; the one place where the search waits for the device.

    Parameters
    ----------
    motion
        The frames.
    timestep_fs
        Time step they moved by.
    graph
        Pairs at least as far as the largest of ``contact_ang``.
    contact_ang
        Distance below which a pair of elements is too close, shape (n_elements, n_elements), Å.
    scores
        Their disagreement.
    """
    batch = motion.batch
    harmed = ~(motion.fastest <= MAX_STEP_ANG / timestep_fs)
    harmed |= ~torch.isfinite(motion.forces).all(dim=1) | ~torch.isfinite(motion.velocities).all(dim=1)
    limit = contact_ang[graph.species[graph.centre], graph.species[graph.neighbour]]
    near = graph.vector.square().sum(dim=1) < limit**2
    size = motion.forces.norm(dim=1)
    rows = torch.stack(
        [
            _counts(harmed, batch.frame_index, batch.n_frames),
            _counts(near, batch.frame_index[graph.centre], batch.n_frames),
            size.new_zeros(batch.n_frames).scatter_reduce(0, batch.frame_index, size, "amax").double(),
            kinetic_temperature_k(motion).double(),
        ]
    )
    broken, close, force, temperature = rows.cpu().numpy()
    return Inspection(
        scores=scores,
        broken=(broken > 0) | ~np.isfinite(scores.ratios).all(axis=0),
        close_contact=close > 0,
        largest_force_ev_per_ang=force,
        temperature_k=temperature,
    )


def _counts(flags: Tensor, index: Tensor, n_frames: int) -> Tensor:
    return torch.zeros(n_frames, dtype=torch.float64, device=flags.device).index_add_(
        0, index, flags.double()
    )


def end_reason(
    seen: Inspection,
    i: int,
    *,
    started: bool,
    target_temperature_k: float,
    thresholds: ThresholdConfig,
) -> EndReason | None:
    """Say why frame ``i`` has to stop, if it has to.

    A fresh cell (not ``started``) was made within physical limits, so large predicted forces there are the
    ensemble's error and not a blow-up: it is stopped for its disagreement.
    """
    if seen.broken[i] or (started and _blown_up(seen, i, target_temperature_k, thresholds)):
        return "blow_up"
    energy, mean_force, max_force = seen.scores.ratios[:, i] > 1.0
    if energy:
        return "energy_disagreement"
    if mean_force:
        return "mean_force_disagreement"
    if max_force:
        return "max_force_disagreement"
    return "close_contact" if seen.close_contact[i] else None


def _blown_up(seen: Inspection, i: int, target_temperature_k: float, thresholds: ThresholdConfig) -> bool:
    excess = seen.temperature_k[i] - target_temperature_k
    too_hot = excess > thresholds.blow_up_temperature_k
    return bool(too_hot or seen.largest_force_ev_per_ang[i] > thresholds.blow_up_force_ev_per_ang)
