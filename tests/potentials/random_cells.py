"""Disordered frames in random, skewed cells, some of them far smaller than the cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms

from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.protocol import Prediction

VOLUME_PER_ATOM_ANG3 = 17.0
CLOSEST_ANG = 1.8


def random_cell(
    rng: np.random.Generator,
    elements: Sequence[str] = ("Al",),
    side_ang: tuple[float, float] = (3.0, 8.0),
    skew_ang: float = 0.8,
) -> Atoms:
    """Return a frame of about the density of aluminium, in which no two atoms are very close."""
    cell = np.diag(rng.uniform(*side_ang, 3)) + rng.normal(scale=skew_ang, size=(3, 3))
    n_atoms = max(1, round(abs(np.linalg.det(cell)) / VOLUME_PER_ATOM_ANG3))
    frame = Atoms(cell=cell, pbc=True)
    while len(frame) < n_atoms:
        for _ in range(200):
            one = Atoms(rng.choice(elements), positions=rng.uniform(size=(1, 3)) @ cell)
            grown = frame + one
            if len(frame) == 0 or grown.get_distances(-1, range(len(frame)), mic=True).min() > CLOSEST_ANG:
                frame = grown
                break
        else:
            frame = frame[:0]
    return frame


def predict(ensemble: AniEnsemble, *frames: Atoms) -> Prediction:
    """Evaluate frames as one batch, everything included."""
    batch = Batch.from_frames(frames, ensemble.elements, dtype=ensemble.dtype, device=ensemble.device)
    return ensemble.evaluate(batch, stress=True, member_forces=True)


def energy_without_shift(ensemble: AniEnsemble, frame: Atoms) -> float:
    """Return the mean energy without lone atoms, eV: a smaller number has more digits after the point."""
    species = torch.tensor([ensemble.elements.index(symbol) for symbol in frame.symbols])
    shift = ensemble.shift_ev[..., species].sum(dim=-1)
    return float((predict(ensemble, frame).member_energies[:, 0] - shift).mean())
