"""TorchANI, with NeuroChem's weights: energies and forces, and a training step by double backward.

Neighbours come from vesin, as a half list given to `compute_from_external_neighbors`, or from TorchANI's own
cell list. Networks are run one after another or fused (`to_infer_model`, which on a CPU build stops at CUDA's
profiler marks: these are turned off). Descriptors are in plain torch on a CPU; on a GPU TorchANI chooses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchani.arch import ANI
from torchani.neurochem import load_aev_computer_and_symbols, load_ensemble, load_sae
from vesin import NeighborList

from benchmarks.engine_parts.timing import turn_of
from benchmarks.peers.client import serve

SKIN_ANG = 1.0
FORCE_WEIGHT = 0.1


class TorchAni:
    """What the benchmark asks TorchANI to do."""

    def load(self, directory: str, device: str, dtype: str, members: int) -> str:
        """Read the weights; return how descriptors are computed."""
        torch.set_num_threads(1)
        self.device, self.dtype = device, getattr(torch, dtype)
        torch.set_default_dtype(self.dtype)  # else energies of lone atoms are rounded to float32
        if device == "cpu":
            torch.cuda.nvtx.range_push = torch.cuda.nvtx.range_pop = lambda *_: None
        self.model = self._read(Path(directory), members)
        self.fused = self._read(Path(directory), members).to_infer_model()
        self.parameters = [p.requires_grad_(False) for p in self.model.nnp.neural_networks.parameters()]
        return str(self.model.aev_computer.strategy)

    def _read(self, directory: Path, members: int) -> ANI:
        strategy = "auto" if self.device == "cuda" else "pyaev"
        aev, symbols = load_aev_computer_and_symbols(
            next(directory.glob("*.params")), strategy=strategy, neighborlist="cell_list"
        )
        networks, shifts = (
            load_ensemble(symbols, directory / "train", members),
            load_sae(directory / "sae_linfit.dat"),
        )
        model = ANI(symbols, aev, networks, shifts, periodic_table_index=False)
        return model.to(device=self.device, dtype=self.dtype)

    def frames(self, path: str) -> None:
        """Take frames: positions (n, most atoms, 3), cells (n, 3, 3), the true numbers of atoms."""
        with np.load(path) as archive:
            self.places, self.cells, self.sizes = (archive[k] for k in ("positions", "cells", "n_atoms"))
            self.labels = [self._tensor(archive[k]) for k in ("energies", "forces") if k in archive]
        self.positions = self._tensor(self.places)
        species = [[0] * size + [-1] * (self.places.shape[1] - size) for size in self.sizes]
        self.species = torch.tensor(species, device=self.device)
        self.search = NeighborList(cutoff=self.model.cutoff, full_list=False)
        skin = NeighborList(cutoff=self.model.cutoff + SKIN_ANG, full_list=False)
        self.found, self.kept = self._neighbours(self.search), self._neighbours(skin)

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def _neighbours(self, search: NeighborList) -> tuple[Tensor, Tensor]:
        pairs, shifts = [], []
        for number, (size, cell) in enumerate(zip(self.sizes, self.cells, strict=True)):
            i, j, shift = search.compute(self.places[number, :size], cell, True, quantities="ijS")
            pairs.append(np.stack([j, i]).astype(np.int64) + number * self.places.shape[1])
            shifts.append(shift @ cell)
        pairs = torch.from_numpy(np.concatenate(pairs, axis=1)).to(self.device)
        return pairs, self._tensor(np.concatenate(shifts))

    def _energies(
        self, lists: tuple[Tensor, Tensor] | None, by_member: bool = False, fused: bool = False
    ) -> tuple[Tensor, Tensor]:
        model = self.fused if fused else self.model
        places = self.positions.detach().requires_grad_()
        if lists is not None:
            result = model.compute_from_external_neighbors(
                self.species, places, *lists, ensemble_values=by_member
            )
            return result.energies, places
        pbc = torch.ones(3, dtype=torch.bool, device=self.device)
        cell = self._tensor(self.cells[0])
        return model((self.species, places), cell, pbc, ensemble_values=by_member).energies, places

    def evaluate(
        self, lists: tuple[Tensor, Tensor] | None, *, member_forces: bool = False, fused: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return energies and forces, hartree and Å: of the mean, or of every member."""
        energies, coordinates = self._energies(lists, member_forces, fused)
        if not member_forces:
            return energies, -torch.autograd.grad(energies.sum(), coordinates)[0]
        forces = [
            -torch.autograd.grad(energy.sum(), coordinates, retain_graph=True)[0] for energy in energies
        ]
        return energies, torch.stack(forces)

    def step(self, lists: str, member_forces: bool = False, fused: bool = False) -> tuple[float, float]:
        """Time energies and forces; lists are ``kept``, with a skin, ``rebuilt`` by vesin, or its ``own``."""

        def call() -> None:
            found = {"kept": lambda: self.kept, "own": lambda: None}
            these = found.get(lists, lambda: self._neighbours(self.search))()
            self.evaluate(these, member_forces=member_forces, fused=fused)

        return turn_of(call, self.device)()

    def train(self, weights_only: bool) -> tuple[float, float]:
        """Time the gradient of a loss of energies and forces with respect to the weights."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        energies_label, forces_label = self.labels
        n_atoms = self.places.shape[1]

        def call() -> None:
            energies, places = self._energies(self.found)
            forces = -torch.autograd.grad(energies.sum(), places, create_graph=True)[0]
            squares = (forces - forces_label).square().sum(dim=(1, 2)) / n_atoms
            loss = ((energies - energies_label) ** 2 / n_atoms + FORCE_WEIGHT * squares).mean()
            if weights_only:
                torch.autograd.grad(loss, self.parameters)
            else:
                self.model.zero_grad()
                loss.backward()

        return turn_of(call, self.device)()

    def results(self, path: str) -> None:
        """Write energies and forces of all frames."""
        energies, forces = self.evaluate(self.found)
        np.savez(path, energies=energies.detach().cpu().numpy(), forces=forces.detach().cpu().numpy())

    def peak_memory_mib(self) -> float:
        """Return the most memory this process, or its share of the card, has had."""
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage counts the parent, too
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


if __name__ == "__main__":
    torchani = TorchAni()
    names = ("load", "frames", "step", "train", "results", "peak_memory_mib")
    serve({name: getattr(torchani, name) for name in names})
