"""How far the members of an ensemble disagree, and what error such a spread has meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from potentials.batch import Batch
from potentials.protocol import Prediction

Floats = NDArray[np.float64]

_ONE_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation."""


@dataclass(frozen=True)
class Disagreement:
    """Spread over members, or expected errors where a `Calibration` was applied; one number per frame.

    Attributes
    ----------
    energy_ev_per_sqrt_atom
        Standard deviation of the energy over members (population), divided by √n_atoms, eV.
    force_mean_ev_per_ang
        Mean over atoms of the force spread √⟨|f_m − f̄|²⟩, the average being over members, eV/Å.
    force_max_ev_per_ang
        Largest force spread of any atom, eV/Å.
    """

    energy_ev_per_sqrt_atom: Floats
    force_mean_ev_per_ang: Floats
    force_max_ev_per_ang: Floats


def disagreement(prediction: Prediction, batch: Batch) -> Disagreement:
    """Return how far the members disagree on each frame of ``batch``.

    Raises
    ------
    ValueError
        If the prediction has no member forces or fewer than two members.
    """
    if prediction.member_forces is None:
        raise ValueError("the prediction holds no member forces; expected evaluate(..., member_forces=True)")
    n_members = prediction.member_energies.shape[0]
    if n_members < 2:
        raise ValueError(f"an ensemble of {n_members} member cannot disagree; expected at least 2")
    spread = force_spread(prediction.member_forces)
    zeros = spread.new_zeros(batch.n_frames)
    total = zeros.index_add(0, batch.frame_index, spread)
    largest = zeros.scatter_reduce(0, batch.frame_index, spread, "amax")
    energy = prediction.member_energies.std(dim=0, correction=0) / batch.n_atoms_per_frame.sqrt()
    columns = torch.stack((energy, total / batch.n_atoms_per_frame, largest)).cpu().numpy()
    return Disagreement(*columns)


def force_spread(member_forces: Tensor) -> Tensor:
    """Return √⟨|f_m − f̄|²⟩ of each atom: (n_members, n_atoms, 3) to (n_atoms,), float64."""
    return member_forces.double().var(dim=0, correction=0).sum(dim=-1).sqrt()


@dataclass(frozen=True)
class Calibration:
    """Factors that turn a spread into an expected error; 1 where nothing is known."""

    energy: float = 1.0
    force: float = 1.0

    def apply(self, spread: Disagreement) -> Disagreement:
        """Return expected errors, in the units of ``spread``."""
        return Disagreement(
            energy_ev_per_sqrt_atom=self.energy * spread.energy_ev_per_sqrt_atom,
            force_mean_ev_per_ang=self.force * spread.force_mean_ev_per_ang,
            force_max_ev_per_ang=self.force * spread.force_max_ev_per_ang,
        )


def calibrate(
    energy_spread: ArrayLike, energy_error: ArrayLike, force_spread: ArrayLike, force_error: ArrayLike
) -> Calibration:
    """Return the factors that make spreads errors: of the held-out labels, 68 % lie within factor × spread.

    That is the standard deviation of a normal distribution. A root mean square would say the same of one, but
    a single frame that is far off, two atoms too close, say, would then make every frame suspect.

    Parameters
    ----------
    energy_spread, energy_error
        Of each label, both divided by √n_atoms, eV; the error is that of the members' mean, of either sign.
    force_spread, force_error
        Of each atom: the spread as in `Disagreement`, and |f̄ − f|, eV/Å.

    Raises
    ------
    ValueError
        If a spread and its errors differ in number, are not finite, or every spread is zero.
    """
    return Calibration(
        energy=_factor("energy", energy_spread, energy_error),
        force=_factor("force", force_spread, force_error),
    )


def _factor(name: str, spread: ArrayLike, error: ArrayLike) -> float:
    spread, error = np.asarray(spread, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if spread.shape != error.shape:
        raise ValueError(f"{name}: {spread.size} spreads for {error.size} errors")
    if not (np.isfinite(spread).all() and np.isfinite(error).all()):
        raise ValueError(f"{name}: spreads or errors are not finite")
    if spread.size == 0:
        return 1.0
    known = spread > 0.0
    if not known.any():
        raise ValueError(f"{name}: every spread is zero; the members are identical")
    return float(np.quantile(np.abs(error[known]) / spread[known], _ONE_SIGMA))
