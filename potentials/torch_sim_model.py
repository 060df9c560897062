"""An ensemble as a model of TorchSim; needs the extra ``torchsim``."""

from __future__ import annotations

from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor
from torch_sim.models.interface import ModelInterface

from potentials.batch import Batch
from potentials.neighbours import NeighbourList
from potentials.protocol import Potential


class TorchSimModel(ModelInterface):  # type: ignore[misc]
    """Mean energies, forces and stresses of an ensemble for batches of TorchSim.

    Parameters
    ----------
    potential
        The ensemble. Its device and floating-point type are the model's, and states must have them too.
    compute_stress
        Whether to compute stresses; may be changed later.
    compute_forces
        Whether to return forces; may be changed later.
    energy_std
        Whether to return ``energy_std`` as well: the standard deviation of the energy over the members
        (population), shape (n_systems,), eV.
    skin_ang
        Neighbour lists are kept until an atom has moved half of this, Å.
    """

    def __init__(
        self,
        potential: Potential,
        *,
        compute_stress: bool = True,
        compute_forces: bool = True,
        energy_std: bool = False,
        skin_ang: float = 1.0,
    ) -> None:
        super().__init__()
        self.potential = potential
        self.energy_std = energy_std
        self._device, self._dtype = potential.device, potential.dtype
        self._compute_stress, self._compute_forces = compute_stress, compute_forces
        self._memory_scales_with = "n_atoms_x_density"
        self._neighbours = NeighbourList(potential.cutoff_ang, skin_ang)
        numbers = [atomic_numbers[symbol] for symbol in potential.elements]
        self._species_of = torch.full((len(chemical_symbols),), -1, device=self._device)
        self._species_of[numbers] = torch.arange(len(numbers), device=self._device)

    @property
    def compute_stress(self) -> bool:
        """Whether stresses are computed."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, value: bool) -> None:
        self._compute_stress = value

    @property
    def compute_forces(self) -> bool:
        """Whether forces are returned."""
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, value: bool) -> None:
        self._compute_forces = value

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Return ``energy``, and as asked for ``forces``, ``stress`` and ``energy_std``.

        Parameters
        ----------
        state
            A ``torch_sim.SimState``: cell vectors are columns, positions may lie outside the cell, and atoms
            of one system follow each other.

        Returns
        -------
        dict[str, Tensor]
            ``energy`` of shape (n_systems,), eV; ``forces`` of shape (n_atoms, 3), eV/Å; ``stress`` of shape
            (n_systems, 3, 3), eV/Å³, positive under tension, zero for systems that are not periodic in
            three directions.

        Raises
        ------
        ValueError
            If the state holds an element that the ensemble does not know, has another floating-point type,
            or cannot be evaluated.
        """
        prediction = self.potential.evaluate(
            self._batch(state), neighbours=self._neighbours, stress=self._compute_stress
        )
        energies = prediction.member_energies
        result = {"energy": energies.mean(dim=0).to(self._dtype)}
        if self._compute_forces:
            result["forces"] = prediction.forces
        if prediction.stress is not None:
            result["stress"] = prediction.stress
        if self.energy_std:
            result["energy_std"] = energies.std(dim=0, correction=0).to(self._dtype)
        return result

    def _batch(self, state: Any) -> Batch:
        n_systems = len(state.cell)
        return Batch(
            positions=state.positions,
            cells=state.cell.mT.contiguous(),
            pbc=torch.as_tensor(state.pbc, device=self._device).expand(n_systems, 3),
            species=self._species(state.atomic_numbers),
            frame_index=state.system_idx,
            n_atoms_per_frame=torch.bincount(state.system_idx, minlength=n_systems),
        )

    def _species(self, numbers: Tensor) -> Tensor:
        species = self._species_of[numbers.long()]
        if bool((species < 0).any()):
            unknown = sorted({chemical_symbols[z] for z in numbers[species < 0].tolist()})
            known = ", ".join(self.potential.elements)
            raise ValueError(f"the state contains {', '.join(unknown)}; the potential knows {known}")
        return species
