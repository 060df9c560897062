"""Which candidates are sent for a label: no duplicates, and only what the newest ensemble disagrees on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from potentials.batch import Batch
from potentials.disagreement import Calibration
from potentials.protocol import Potential
from sampling.config import DisagreementSelectorConfig, SelectorConfig, ThresholdConfig
from sampling.frame_fingerprint import frame_fingerprint, relative_difference
from sampling.inspection import score

_ATOMS_PER_BATCH = 2000


@dataclass(frozen=True)
class Selection:
    """What is kept.

    Attributes
    ----------
    kept
        Indices of the frames worth a label, most wanted first.
    dropped
        Number of frames dropped by reason: ``duplicate``, ``agreed``, ``surplus``.
    """

    kept: list[int]
    dropped: dict[str, int] = field(default_factory=dict)


class Selector(Protocol):
    """Chooses among candidates."""

    def select(
        self,
        frames: Sequence[Atoms],
        *,
        potential: Potential | None = None,
        calibration: Calibration | None = None,
        thresholds: ThresholdConfig | None = None,
        known: Sequence[Atoms] = (),
    ) -> Selection:
        """Return which of ``frames`` to label.

        Parameters
        ----------
        frames
            The candidates.
        potential, calibration, thresholds
            The newest ensemble, its calibration, and the errors that count as disagreement; without them no
            frame is dropped for agreement.
        known
            Frames that are labelled already or on their way; duplicates of them are dropped.
        """


class DisagreementSelector:
    """Drops duplicates, then frames on which the ensemble agrees; keeps the largest disagreements."""

    def __init__(self, config: DisagreementSelectorConfig) -> None:
        self._config = config

    def select(
        self,
        frames: Sequence[Atoms],
        *,
        potential: Potential | None = None,
        calibration: Calibration | None = None,
        thresholds: ThresholdConfig | None = None,
        known: Sequence[Atoms] = (),
    ) -> Selection:
        """Return which of ``frames`` to label; of duplicates, the one that is disagreed on most."""
        worst = np.zeros(len(frames))
        rescored = potential is not None and self._config.rescore
        if potential is not None:
            worst = _worst_ratios(
                frames, potential, calibration or Calibration(), thresholds or ThresholdConfig()
            )
        order = [int(i) for i in np.argsort(-worst, kind="stable")]
        wanted = [i for i in order if not (rescored and worst[i] <= 1.0)]
        unique = self._without_duplicates(frames, wanted, known)
        kept = unique[: self._config.max_candidates]
        dropped = {
            "agreed": len(order) - len(wanted),
            "duplicate": len(wanted) - len(unique),
            "surplus": len(unique) - len(kept),
        }
        return Selection(kept, {reason: n for reason, n in dropped.items() if n})

    def _without_duplicates(
        self, frames: Sequence[Atoms], wanted: Sequence[int], known: Sequence[Atoms]
    ) -> list[int]:
        tolerance = self._config.fingerprint_tolerance
        if tolerance == 0:
            return list(wanted)
        elements = sorted({s for f in [*frames, *known] for s in f.get_chemical_symbols()})
        seen: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for frame in known:
            seen[_formula(frame)].append(frame_fingerprint(frame, elements))
        kept = []
        for i in wanted:
            fingerprint, alike = frame_fingerprint(frames[i], elements), seen[_formula(frames[i])]
            if not alike or relative_difference(fingerprint, np.stack(alike)).min() >= tolerance:
                alike.append(fingerprint)
                kept.append(i)
        return kept


def _formula(frame: Atoms) -> str:
    """Return how many atoms of each element there are; frames of different formula are no duplicates."""
    return str(frame.get_chemical_formula())


def make_selector(config: SelectorConfig) -> Selector:
    """Return the selector that ``config`` describes."""
    return DisagreementSelector(config)


def _worst_ratios(
    frames: Sequence[Atoms], potential: Potential, calibration: Calibration, thresholds: ThresholdConfig
) -> NDArray[np.float64]:
    """Return the largest ratio of expected error to threshold of each frame, shape (n_frames,)."""
    parts = [np.empty(0)]
    for part in _parts(frames):
        batch = Batch.from_frames(part, potential.elements, dtype=potential.dtype, device=potential.device)
        prediction = potential.evaluate(batch, member_forces=True)
        parts.append(score(prediction, batch, calibration, thresholds).worst)
    return np.concatenate(parts)


def _parts(frames: Sequence[Atoms]) -> list[list[Atoms]]:
    parts: list[list[Atoms]] = []
    n_atoms = 0
    for frame in frames:
        if not parts or n_atoms + len(frame) > _ATOMS_PER_BATCH:
            parts.append([])
            n_atoms = 0
        parts[-1].append(frame)
        n_atoms += len(frame)
    return parts
