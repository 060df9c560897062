"""The published ANI-Al, read from NeuroChem's files, must give the published numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials import storage
from potentials.ensemble import AniEnsemble
from potentials.import_neurochem import main, read_neurochem
from potentials.neurochem import NeuroChemError


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
