"""An ensemble as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.batch import Batch
from potentials.neighbours import NeighbourList
from potentials.protocol import Potential, Prediction


class EnsembleCalculator(Calculator):  # type: ignore[misc]
    """Mean energy, forces and stress of an ensemble, and how far its members spread.

    ``results`` hold ``energy`` and ``free_energy`` (eV), ``forces`` (eV/Å), ``stress`` (Voigt, eV/Å³; only
    for frames periodic in three directions), ``member_energies`` (eV, shape (n_members,)), ``energy_std``
    (eV) and ``forces_std`` (eV/Å, shape (n_atoms, 3)); standard deviations are over the members (population).

    Parameters
    ----------
    potential
        The ensemble; it computes on its own device and in its own floating-point type.
    skin_ang
        Neighbour lists are kept until an atom has moved half of this, Å.
    forces_std
        Whether to compute ``forces_std``, which about doubles the time of a step.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential: Potential, *, skin_ang: float = 1.0, forces_std: bool = True) -> None:
        super().__init__()
        self.potential = potential
        self.forces_std = forces_std
        self._neighbours = NeighbourList(potential.cutoff_ang, skin_ang)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results`` for ``atoms``, whatever is asked for.

        Raises
        ------
        ValueError
            If the frame holds an element that the ensemble does not know, or cannot be evaluated.
        """
        super().calculate(atoms, properties, system_changes)
        frame = self.atoms
        batch = Batch.from_frames(
            [frame], self.potential.elements, dtype=self.potential.dtype, device=self.potential.device
        )
        periodic = bool(frame.pbc.all())
        prediction = self.potential.evaluate(
            batch, neighbours=self._neighbours, stress=periodic, member_forces=self.forces_std
        )
        self.results = _results(prediction)


def _results(prediction: Prediction) -> dict[str, Any]:
    energies = prediction.member_energies[:, 0]
    energy = float(energies.mean())
    results: dict[str, Any] = {
        "energy": energy,
        "free_energy": energy,
        "forces": _numpy(prediction.forces),
        "member_energies": _numpy(energies),
        "energy_std": float(energies.std(correction=0)),
    }
    if prediction.stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(_numpy(prediction.stress[0]))
    if prediction.member_forces is not None:
        results["forces_std"] = _numpy(prediction.member_forces.std(dim=0, correction=0))
    return results


def _numpy(values: torch.Tensor) -> Any:
    return values.double().cpu().numpy()
