"""How far an ensemble is from labels, beside how far its members are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from potentials.batch import Batch
from potentials.disagreement import Disagreement, disagreement
from potentials.ensemble import AniEnsemble
from potentials.protocol import Prediction
from potentials.training.training_set import TrainingSet

BATCH_FRAMES = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Errors over a set of frames; forces by component."""

    n_frames: int
    n_atoms: int
    energy_rmse_mev_per_atom: float
    energy_mae_mev_per_atom: float
    force_rmse_ev_per_ang: float
    force_mae_ev_per_ang: float


@dataclass(frozen=True)
class FrameErrors:
    """Errors of every frame of a set, in the order of the set; arrays of shape (n_frames,).

    Attributes
    ----------
    ids
        The labels.
    n_atoms
        Atoms in each frame.
    energy_mev_per_atom
        Predicted less labelled energy, over the number of atoms.
    energy_ev_per_sqrt_atom
        Size of that of the whole frame, over the root of the number of atoms, as the spread is given.
    force_rmse_ev_per_ang, force_mae_ev_per_ang
        Over components.
    force_mean_ev_per_ang, force_max_ev_per_ang
        Mean and maximum over atoms of |f̂ - f|, as the spreads are given.
    """

    ids: list[str]
    n_atoms: NDArray[np.int64]
    energy_mev_per_atom: Floats
    energy_ev_per_sqrt_atom: Floats
    force_rmse_ev_per_ang: Floats
    force_mae_ev_per_ang: Floats
    force_mean_ev_per_ang: Floats
    force_max_ev_per_ang: Floats

    @classmethod
    def joined(cls, parts: Sequence[FrameErrors]) -> FrameErrors:
        """Return the frames of all ``parts`` one after the other."""
        ids = [label for part in parts for label in part.ids]
        arrays = {
            f.name: np.concatenate([np.zeros(0), *(getattr(part, f.name) for part in parts)])
            for f in fields(cls)
            if f.name != "ids"
        }
        arrays["n_atoms"] = arrays["n_atoms"].astype(np.int64)
        return cls(ids, **arrays)

    def summary(self) -> Errors | None:
        """Return the errors over all frames, or ``None`` if there are none."""
        if not self.ids:
            return None
        share = self.n_atoms / self.n_atoms.sum()
        return Errors(
            n_frames=len(self.ids),
            n_atoms=int(self.n_atoms.sum()),
            energy_rmse_mev_per_atom=float(np.sqrt(np.mean(self.energy_mev_per_atom**2))),
            energy_mae_mev_per_atom=float(np.mean(np.abs(self.energy_mev_per_atom))),
            force_rmse_ev_per_ang=float(np.sqrt(share @ self.force_rmse_ev_per_ang**2)),
            force_mae_ev_per_ang=float(share @ self.force_mae_ev_per_ang),
        )


@dataclass(frozen=True)
class SetPrediction:
    """What an ensemble says of a set of labelled frames.

    Attributes
    ----------
    errors
        Of the mean over members.
    spread
        Disagreement of the members on each frame, as they are (not calibrated); zero for a single member.
    """

    errors: FrameErrors
    spread: Disagreement


def evaluate_errors(ensemble: AniEnsemble, data: TrainingSet) -> Errors | None:
    """Return the errors of the ensemble's mean on labelled frames; ``None`` if there are no frames."""
    return predict_set(ensemble, data).errors.summary()


def predict_set(ensemble: AniEnsemble, data: TrainingSet) -> SetPrediction:
    """Return errors and spreads of every labelled frame."""
    rows: list[list[float]] = []
    spreads: list[Disagreement] = []
    for start in range(0, len(data), BATCH_FRAMES):
        chunk = data.subset(range(start, min(start + BATCH_FRAMES, len(data))))
        batch = Batch.from_frames(
            chunk.frames, ensemble.elements, dtype=ensemble.dtype, device=ensemble.device
        )
        prediction = ensemble.evaluate(batch, member_forces=True)
        energies = prediction.member_energies.mean(dim=0).cpu().numpy()
        forces = torch.split(prediction.forces.double().cpu(), batch.n_atoms_per_frame.tolist())
        for i, force in enumerate(forces):
            off = force.numpy() - chunk.forces_ev_per_ang[i]
            rows.append(_frame_row(float(energies[i] - chunk.energies_ev[i]), off))
        spreads.append(_spread(prediction, batch))
    columns = np.array(rows, dtype=np.float64).reshape(len(data), 6).T
    n_atoms = np.array([len(frame) for frame in data.frames], dtype=np.int64)
    return SetPrediction(FrameErrors(list(data.ids), n_atoms, *columns), _joined(spreads))


def _spread(prediction: Prediction, batch: Batch) -> Disagreement:
    if len(prediction.member_energies) > 1:
        return disagreement(prediction, batch)
    return Disagreement(*np.zeros((3, batch.n_frames)))


def _frame_row(energy_ev: float, force: Floats) -> list[float]:
    """Return the errors of one frame in the order of `FrameErrors`."""
    size = np.linalg.norm(force, axis=1)
    return [
        1e3 * energy_ev / len(force),
        abs(energy_ev) / np.sqrt(len(force)),
        float(np.sqrt(np.mean(force**2))),
        float(np.mean(np.abs(force))),
        float(size.mean()),
        float(size.max()),
    ]


def _joined(spreads: list[Disagreement]) -> Disagreement:
    names = [f.name for f in fields(Disagreement)]
    parts = {name: [np.asarray(getattr(spread, name)) for spread in spreads] for name in names}
    return Disagreement(**{name: np.concatenate([*part, np.zeros(0)]) for name, part in parts.items()})
