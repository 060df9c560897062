"""The published ANI-Al, read from NeuroChem's files, must give the published numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

from potentials import storage
from potentials.ensemble import AniEnsemble
from potentials.import_neurochem import main, read_neurochem
from potentials.neurochem import NeuroChemError


@pytest.fixture(scope="module")
def ani_al(ani_al_directory: Path) -> AniEnsemble:
    return read_neurochem(ani_al_directory, torch.float64)


@pytest.fixture
def copy(ani_al_directory: Path, tmp_path: Path) -> Path:
    """Return a copy of the published files that may be damaged."""
    directory = tmp_path / "copy"
    for source in ani_al_directory.rglob("*"):
        if source.is_file():
            target = directory / source.relative_to(ani_al_directory)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return directory


def energy_per_atom(ensemble: AniEnsemble, frame: Atoms) -> float:
    frame.calc = ensemble.calculator()
    return float(frame.get_potential_energy()) / len(frame)


def pressure_gpa(ensemble: AniEnsemble, a_ang: float) -> float:
    frame = bulk("Al", a=a_ang)
    frame.calc = ensemble.calculator()
    return -float(np.mean(frame.get_stress()[:3])) / GPa


def test_lattice_constant_and_bulk_modulus(ani_al: AniEnsemble) -> None:
    assert abs(pressure_gpa(ani_al, 4.0543)) < 0.005
    step = 1e-4
    slope = (pressure_gpa(ani_al, 4.0543 + step) - pressure_gpa(ani_al, 4.0543 - step)) / (2 * step)
    assert -4.0543 / 3 * slope == pytest.approx(77.17, abs=0.02)


@pytest.mark.parametrize(
    ("frame", "above_fcc_mev"),
    [
        (bulk("Al", "hcp", a=2.8493, c=2.8493 * 1.68025), 31.14),
        (bulk("Al", "bcc", a=3.2388), 100.6),
        (bulk("Al", "sc", a=2.7073), 386.0),
        (bulk("Al", "diamond", a=6.1005), 678.8),
    ],
    ids=["hcp", "bcc", "sc", "diamond"],
)
def test_energies_of_crystals_above_fcc(ani_al: AniEnsemble, frame: Atoms, above_fcc_mev: float) -> None:
    fcc = energy_per_atom(ani_al, bulk("Al", a=4.0543))
    assert 1e3 * (energy_per_atom(ani_al, frame) - fcc) == pytest.approx(above_fcc_mev, abs=0.06)


def test_members_spread_as_measured(ani_al: AniEnsemble) -> None:
    frame = bulk("Al", a=4.0543)
    frame.calc = ani_al.calculator()
    frame.get_potential_energy()
    assert 1e3 * frame.calc.results["energy_std"] == pytest.approx(1.70, abs=0.15)


def test_float32_is_good_to_a_tenth_of_a_mev(ani_al: AniEnsemble) -> None:
    frame = bulk("Al", cubic=True).repeat(2)
    frame.rattle(0.1, seed=0)
    single = energy_per_atom(ani_al.to(dtype=torch.float32), frame.copy())
    assert single == pytest.approx(energy_per_atom(ani_al, frame), abs=1e-5)


def test_both_kernels_agree(ani_al: AniEnsemble) -> None:
    frame = bulk("Al", cubic=True)
    frame.rattle(0.2, seed=3)
    other = energy_per_atom(replace(ani_al, kernel="torch"), frame.copy())
    assert other == pytest.approx(energy_per_atom(ani_al, frame), abs=1e-9)


def test_the_command_writes_what_can_be_loaded(ani_al_directory: Path, tmp_path: Path) -> None:
    assert main([str(ani_al_directory), str(tmp_path / "ani-al")]) == 0
    loaded = storage.load(tmp_path / "ani-al")
    assert (loaded.n_members, loaded.elements, loaded.dtype) == (8, ("Al",), torch.float32)
    assert energy_per_atom(loaded, bulk("Al", a=4.0543)) == pytest.approx(-74.475, abs=1e-3)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / name
        path.write_text(path.read_text().replace(old, new))

    return damage


def cut(name: str, n_bytes: int) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / name
        path.write_bytes(path.read_bytes()[:n_bytes])

    return damage


PARAMS = "rAl-7.0R_32-5.0A_a8-8.params"
NETWORKS = "train3/networks/ANN-Al.nnf"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / PARAMS).unlink(), r"0 files match \*\.params; expected one"),
        (edit(PARAMS, "Zeta", "Beta"), r"\.params: no entry Zeta"),
        (edit(PARAMS, "EtaA = [6.5", "EtaA = [x6.5"), r"\.params: EtaA = .*expected numbers"),
        (edit(PARAMS, "EtaA = [", "EtaA = [1.0,"), r"\.params: EtaA has 2 values; expected one"),
        (edit(PARAMS, "1.7187500e+00,", "1.6e+00,"), r"angular_shifts_ang are not spaced evenly"),
        (edit(PARAMS, "1.2500000e+00,1.4296875e+00,", "1.2500000e+00,"), r"wparam: .* bytes; expected"),
        (edit("sae_linfit.dat", "Al", "Cu"), r"sae_linfit\.dat: no energy of Al"),
        (edit("sae_linfit.dat", "-2.7", "-2.x"), r"sae_linfit\.dat: could not convert"),
        (cut(NETWORKS, 200), r"ANN-Al\.nnf: no layer found"),
        (cut(NETWORKS, 3), r"ANN-Al\.nnf: no network layout packed by bzip2"),
        (cut(NETWORKS + "-l2.wparam", 100), r"l2\.wparam: 100 bytes; expected 36864"),
        (lambda d: (d / (NETWORKS + "-l1.bparam")).unlink(), r"l1\.bparam: cannot be read"),
        (lambda d: (d / (NETWORKS + "-l4.bparam")).write_bytes(b"\0\0\xc0\x7f"), r"l4\.bparam: .*not finite"),
    ],
)
def test_malformed_files_are_named(
    copy: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(copy)
    with pytest.raises(NeuroChemError, match=message):
        read_neurochem(copy)
    assert main([str(copy), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_directory_without_members_is_refused(tmp_path: Path, copy: Path) -> None:
    for train in copy.glob("train*"):
        train.rename(tmp_path / train.name)
    with pytest.raises(NeuroChemError, match="no members; expected directories train0"):
        read_neurochem(copy)
