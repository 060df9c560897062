"""The published ANI-Al gives the energies and forces that TorchANI 2.9 finds with the same files.

NeuroChem, which wrote the weights, is followed; TorchANI follows it too. Both depart from Smith et al. (2017)
by a factor ¼ before the radial terms, a factor 2 before the angular ones (each pair of neighbours counts
once) and arccos(0.95 cos θ) for the angle; all three are needed. They differ in
three things:

* constants of the descriptors: TorchANI rounds them to float32 (η = 43.9 by 3e-8 of itself), ours are as in
  the file. That is all of the difference seen in float64, 1e-9 Ha/atom and 1e-8 Ha/Å;
* lone-atom energies: TorchANI adds those of ``sae_linfit.dat`` in torch's default floating-point type, in
  float32 with an error that grows with the frame; ours are float64, outside the networks, in any case;
* a distance of exactly a cutoff is inside in TorchANI and outside here; its term is zero in both.

TorchANI's energies are in hartree; ours are made eV by ase.units.Hartree, which has the same value there.

The reference was made by ``python -m benchmarks.engine --only accuracy --write-reference``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.units import Hartree

from potentials.batch import Batch
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble
from potentials.import_neurochem import read_neurochem

REFERENCE = Path(__file__).parent / "data" / "torchani_ani_al.npz"
KINDS = {"random", "FCC", "HCP", "BCC", "molten", "SC", "diamond"}


def reference() -> list[tuple[str, Atoms, float, np.ndarray]]:
    """Return name, frame, energy in hartree and forces in Ha/Å of every frame."""
    with np.load(REFERENCE, allow_pickle=False) as archive:
        arrays = dict(archive)
    found = []
    for number in range(len(arrays) // 5):
        positions = arrays[f"positions_{number}"]
        frame = Atoms(f"Al{len(positions)}", positions=positions, cell=arrays[f"cell_{number}"], pbc=True)
        energy, forces = arrays[f"energy_ha_{number}"], arrays[f"forces_ha_per_ang_{number}"]
        found.append((str(arrays[f"name_{number}"]), frame, float(energy), forces))
    return found


@pytest.fixture(scope="module")
def ani_al(ani_al_directory: Path) -> AniEnsemble:
    return read_neurochem(ani_al_directory, torch.float64)


def differences(ensemble: AniEnsemble) -> tuple[float, float]:
    """Return the largest difference of energy per atom, in hartree, and of a force component, in Ha/Å."""
    energies, components = [], []
    for _, frame, energy, forces in reference():
        ours = ensemble.evaluate(Batch.from_frames([frame], ["Al"], dtype=ensemble.dtype))
        energies.append(abs(float(ours.member_energies.mean()) / Hartree - energy) / len(frame))
        components.append(np.abs(ours.forces.double().numpy() / Hartree - forces).max())
    return max(energies), max(components)


def test_float64_agrees(ani_al: AniEnsemble) -> None:
    energy_ha, force_ha_per_ang = differences(ani_al)
    assert energy_ha < 5e-9
    assert force_ha_per_ang < 5e-8


def test_constants_rounded_as_torchani_does_leave_no_difference(ani_al: AniEnsemble) -> None:
    rounded = {
        name: tuple(np.float32(value).astype(float).ravel()) if isinstance(value, tuple) else value
        for name, value in vars(ani_al.spec).items()
    }
    for name in ("radial_eta_per_ang2", "angular_eta_per_ang2", "zeta"):
        rounded[name] = float(np.float32(rounded[name]))
    energy_ha, force_ha_per_ang = differences(replace(ani_al, spec=DescriptorSpec(**rounded)))
    assert energy_ha < 1e-12
    assert force_ha_per_ang < 2e-9


def test_float32_agrees(ani_al: AniEnsemble) -> None:
    energy_ha, force_ha_per_ang = differences(ani_al.to(dtype=torch.float32))
    assert energy_ha < 1e-7
    assert force_ha_per_ang < 1e-5


def test_the_reference_holds_all_kinds_of_frames() -> None:
    frames = reference()
    assert {name.split()[0].rstrip(",") for name, *_ in frames} == KINDS
    below_cutoff = [frame for _, frame, *_ in frames if frame.cell.lengths().min() < 5.0]
    assert len(below_cutoff) >= 3
    assert all(np.abs(forces).max() > 1e-3 for _, frame, _, forces in frames if len(frame) > 1)
