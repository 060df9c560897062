"""Labelled frames to learn from, and which of them a member may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

MIN_FOLDS = 4


@dataclass(frozen=True)
class TrainingSet:
    """Labelled frames.

    Attributes
    ----------
    ids
        The label of each frame; no two the same.
    frames
        The frames.
    energies_ev
        Energy of each whole frame, shape (n_frames,), eV.
    forces_ev_per_ang
        One array of shape (n_atoms, 3) per frame.
    stresses_ev_per_ang3
        One symmetric array of shape (3, 3) per frame, positive under tension, or ``None``.

    Raises
    ------
    ValueError
        If lengths or shapes do not agree, an id occurs twice, or a number is not finite; the message
        names the label.
    """

    ids: list[str]
    frames: list[Atoms]
    energies_ev: NDArray[np.float64]
    forces_ev_per_ang: list[NDArray[np.float64]]
    stresses_ev_per_ang3: list[NDArray[np.float64] | None]

    def __post_init__(self) -> None:
        columns = (self.frames, self.energies_ev, self.forces_ev_per_ang, self.stresses_ev_per_ang3)
        lengths = [len(self.ids), *(len(column) for column in columns)]
        if len(set(lengths)) > 1:
            raise ValueError(f"ids, frames, energies, forces and stresses differ in number: {lengths}")
        if len(set(self.ids)) < len(self.ids):
            twice = next(i for n, i in enumerate(self.ids) if i in self.ids[:n])
            raise ValueError(f"label {twice} occurs twice in the training set")
        for i in range(len(self.ids)):
            self._check(i)

    def _check(self, i: int) -> None:
        label, frame, forces = self.ids[i], self.frames[i], self.forces_ev_per_ang[i]
        stress = self.stresses_ev_per_ang3[i]
        if len(frame) == 0:
            raise ValueError(f"label {label} has no atoms")
        if forces.shape != (len(frame), 3):
            raise ValueError(f"label {label} has forces of shape {forces.shape} for {len(frame)} atoms")
        if stress is not None and stress.shape != (3, 3):
            raise ValueError(f"label {label} has a stress of shape {stress.shape}, not (3, 3)")
        numbers = {
            "energy": self.energies_ev[i],
            "forces": forces,
            "positions": frame.positions,
            "cell": frame.cell.array,
            "stress": np.zeros(1) if stress is None else stress,
        }
        for name, values in numbers.items():
            if not np.isfinite(values).all():
                raise ValueError(f"label {label} has {name} that are not finite numbers")

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, indices: Sequence[int]) -> TrainingSet:
        """Return the frames of these positions, in this order."""
        return TrainingSet(
            ids=[self.ids[i] for i in indices],
            frames=[self.frames[i] for i in indices],
            energies_ev=self.energies_ev[list(indices)],
            forces_ev_per_ang=[self.forces_ev_per_ang[i] for i in indices],
            stresses_ev_per_ang3=[self.stresses_ev_per_ang3[i] for i in indices],
        )


def n_folds(n_members: int) -> int:
    """Return into how many folds the labels are dealt: one per member, but at least four.

    A member learns from all folds but two, so fewer folds would leave small ensembles little to learn from.
    """
    return max(n_members, MIN_FOLDS)


def fold_of(label_id: str, n_members: int) -> int:
    """Return the fold of a label, from a hash of its id alone, so that it never changes.

    Member ``m`` never sees fold ``m``, and learns when to stop from fold ``(m + 1) % n_folds(n_members)``.
    """
    return _hash("fold", label_id) % n_folds(n_members)


def is_validation(label_id: str, fraction: float) -> bool:
    """Return whether a label belongs to the fixed validation set, which no member ever learns from.

    A label of the set for one ``fraction`` is in it for every larger one too.
    """
    return _hash("validation", label_id) < fraction * 2.0**64


def _hash(purpose: str, label_id: str) -> int:
    return int.from_bytes(blake2b(label_id.encode(), digest_size=8, person=purpose.encode()).digest(), "big")
