"""The published ANI-Al gives the energies and forces that TorchANI 2.9 finds with the same files.

NeuroChem, which wrote the weights, is followed; TorchANI follows it too. Both depart from Smith et al. (2017)
by a factor ¼ before the radial terms, a factor 2 before the angular ones (each pair of neighbours counts
once) and arccos(0.95 cos θ) for the angle; all three are needed. They differ in three things that do not
show in float64:

* lone-atom energies: TorchANI adds those of ``sae_linfit.dat`` in torch's default floating-point type, in
  float32 with an error that grows with the frame; ours are float64, outside the networks, in any case;
* a distance of exactly a cutoff is inside in TorchANI and outside here; its term is zero in both;
* hartree: TorchANI's results are in hartree; ours are converted by ase.units.Hartree.

The reference was made by ``python -m benchmarks.engine --only accuracy --write-reference``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.units import Hartree

from potentials.batch import Batch
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


@pytest.mark.parametrize(
    ("dtype", "energy_ha", "force_ha_per_ang"),
    [(torch.float64, 1e-8, 1e-7), (torch.float32, 1e-6, 1e-5)],
    ids=["float64", "float32"],
)
def test_energies_and_forces_are_torchanis(
    ani_al: AniEnsemble, dtype: torch.dtype, energy_ha: float, force_ha_per_ang: float
) -> None:
    ensemble = ani_al.to(dtype=dtype)
    for name, frame, energy, forces in reference():
        ours = ensemble.evaluate(Batch.from_frames([frame], ["Al"], dtype=dtype))
        mean = float(ours.member_energies.mean()) / Hartree
        assert abs(mean - energy) / len(frame) < energy_ha, name
        off = ours.forces.double().numpy() / Hartree - forces
        assert np.abs(off).max() < force_ha_per_ang, name


def test_the_reference_holds_all_kinds_of_frames() -> None:
    frames = reference()
    assert {name.split()[0].rstrip(",") for name, *_ in frames} == KINDS
    below_cutoff = [frame for _, frame, *_ in frames if frame.cell.lengths().min() < 5.0]
    assert len(below_cutoff) >= 3
    assert all(np.abs(forces).max() > 1e-3 for _, frame, _, forces in frames if len(frame) > 1)
