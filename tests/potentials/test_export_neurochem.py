"""What is exported must come back as it was, and give TorchANI the energies and forces that it gives us."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.units import Hartree

from potentials import storage
from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.export_neurochem import CannotExportError, main, write_neurochem
from potentials.import_neurochem import read_neurochem
from potentials.neurochem import read_params

MakeEnsemble = Callable[..., AniEnsemble]
READER = Path(__file__).resolve().parents[1] / "support" / "torchani_reader.py"
TORCHANI_PYTHON = "SMELTER_TORCHANI_PYTHON"
SMALL = {"hidden": (20, 12), "n_radial": 14, "n_angular_radial": 5, "n_angles": 6}


@pytest.fixture
def alloy(make_ensemble: MakeEnsemble) -> AniEnsemble:
    """Return an ensemble with biases, members of different shifts, and uneven decimal constants."""
    made = make_ensemble("Cu", "Al", radial_cutoff_ang=6.1, angular_cutoff_ang=4.7, **SMALL)
    generator = torch.Generator().manual_seed(1)

    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        return (tensor + 0.1 * torch.randn(tensor.shape, generator=generator)).float().double()

    shift = torch.tensor([[-5371.2, -70.1], [-5371.0, -70.3], [-5371.5, -69.9]], dtype=torch.float64)
    return replace(made, networks=made.networks.map(rounded), shift_ev=shift)


@pytest.fixture
def stored(alloy: AniEnsemble, tmp_path: Path) -> Path:
    storage.save(alloy, tmp_path / "model")
    return tmp_path / "model"


def evaluated(ensemble: AniEnsemble, frame: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch = Batch.from_frames([frame], ensemble.elements, dtype=torch.float64)
    result = ensemble.evaluate(batch, stress=True)
    return result.member_energies[:, 0].numpy(), result.forces.numpy(), result.stress[0].numpy()


def test_exported_and_imported_it_gives_the_same(
    stored: Path, alloy: AniEnsemble, frames: dict[str, Atoms], tmp_path: Path
) -> None:
    assert main([str(stored), str(tmp_path / "out")]) == 0
    back = read_neurochem(tmp_path / "out", torch.float64)
    assert (back.elements, back.spec) == (alloy.elements, alloy.spec)
    for frame in frames.values():
        energies, forces, stress = evaluated(alloy, frame)
        for found, expected in zip(evaluated(back, frame), (energies, forces, stress), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * len(frame))


def test_energies_of_lone_atoms_survive_a_reader_of_float32(alloy: AniEnsemble, tmp_path: Path) -> None:
    write_neurochem(alloy, tmp_path / "out")
    lines = (tmp_path / "out" / "sae_linfit.dat").read_text().split()
    written = [float(line.partition("=")[2]) for line in lines]
    assert [float(np.float32(value)) for value in written] == written


def test_the_published_weights_come_back(ani_al_directory: Path, tmp_path: Path) -> None:
    published = read_neurochem(ani_al_directory)
    write_neurochem(published, tmp_path / "out")
    spec, elements = read_params(tmp_path / "out" / "ani.params")
    assert (spec, elements) == (published.spec, ("Al",))
    for original in (ani_al_directory / "train5" / "networks").iterdir():
        copy = tmp_path / "out" / "train5" / "networks" / original.name
        if original.name.endswith("param"):
            found, expected = (np.frombuffer(path.read_bytes(), "<f4") for path in (copy, original))
            np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-7)
        else:
            assert copy.read_bytes() == original.read_bytes()


def test_an_existing_directory_is_left_alone(stored: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").mkdir()
    assert main([str(stored), str(tmp_path / "out")]) == 2
    assert_one_line(capsys.readouterr().err, "out: exists; expected a directory to be made")
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_what_the_format_cannot_hold_is_refused(make_ensemble: MakeEnsemble, tmp_path: Path, capsys) -> None:
    ensemble = make_ensemble("Al", **SMALL)
    ensemble = replace(ensemble, networks=replace(ensemble.networks, celu_alpha=0.3))
    with pytest.raises(CannotExportError, match=r"α = 0\.3; NeuroChem's format has α = 0\.1 only"):
        write_neurochem(ensemble, tmp_path / "out")
    storage.save(make_ensemble("Al", celu_alpha=0.3, **SMALL), tmp_path / "model")
    assert main([str(tmp_path / "model"), str(tmp_path / "out")]) == 2
    assert_one_line(capsys.readouterr().err, "α = 0.3")
    assert not (tmp_path / "out").exists()


def test_wrong_usage_is_one_line(stored: Path, tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    assert_one_line(capsys.readouterr().err, "nothing/card.json: cannot be read")
    with pytest.raises(SystemExit, match="2"):
        main([str(stored)])
    assert_one_line(capsys.readouterr().err, "required: OUT")


def test_a_failed_write_leaves_nothing(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    assert main([str(stored), str(tmp_path / "out")]) == 1
    assert_one_line(capsys.readouterr().err, "cannot be written (No space left on device)")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def assert_one_line(error: str, part: str) -> None:
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert part in error


@pytest.fixture(scope="module")
def torchani_python() -> str:
    """Return a Python that has TorchANI, which cannot live beside this Zarr."""
    python = os.environ.get(TORCHANI_PYTHON)
    if not python:
        pytest.skip(f"{TORCHANI_PYTHON} does not name a Python with torchani 2.9")
    return python


def read_by_torchani(python: str, exported: Path, frames: list[Atoms]) -> dict[str, np.ndarray]:
    write(exported.parent / "frames.traj", frames)
    results = exported.parent / "results.npz"
    command = [python, READER, exported, exported.parent / "frames.traj", results]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(results) as arrays:
        return dict(arrays)


def assert_torchani_agrees(found: dict[str, np.ndarray], ensemble: AniEnsemble, frames: list[Atoms]) -> None:
    """Compare energies to 1e-6 Ha per atom, forces to 1e-5 Ha/Å, stress to 1e-6 Ha/Å³."""
    for index, frame in enumerate(frames):
        energies, forces, stress = evaluated(ensemble, frame)
        assert found[f"members_{index}"] == pytest.approx(energies / Hartree, rel=0, abs=1e-6 * len(frame))
        for precision, factor in (("double", 1.0), ("single", 10.0)):
            energy = found[f"{precision}_energy_{index}"]
            assert abs(energy - energies.mean()) < factor * 1e-6 * Hartree * len(frame)
            assert np.abs(found[f"{precision}_forces_{index}"] - forces).max() < factor * 1e-5 * Hartree
            if frame.pbc.all():
                assert np.abs(found[f"{precision}_stress_{index}"] - stress).max() < factor * 1e-6 * Hartree


@pytest.mark.slow
def test_torchani_reads_an_alloy(
    torchani_python: str, alloy: AniEnsemble, frames: dict[str, Atoms], tmp_path: Path
) -> None:
    write_neurochem(alloy, tmp_path / "out")
    tried = [*frames.values(), bulk("Al", cubic=True).repeat(2)]
    found = read_by_torchani(torchani_python, tmp_path / "out", tried)
    assert_torchani_agrees(found, alloy, tried)


@pytest.mark.slow
def test_torchani_reads_the_published_weights(
    torchani_python: str, ani_al_directory: Path, rng: np.random.Generator, tmp_path: Path
) -> None:
    ensemble = read_neurochem(ani_al_directory, torch.float64)
    write_neurochem(ensemble, tmp_path / "out")
    crystal, hot = bulk("Al", cubic=True), bulk("Al", cubic=True).repeat(3)
    hot.rattle(0.6, rng=rng)
    disorder = Atoms("Al60", rng.uniform(0.0, 11.0, (60, 3)), cell=[11.0] * 3, pbc=True)
    tried = [crystal, hot, disorder]
    found = read_by_torchani(torchani_python, tmp_path / "out", tried)
    assert_torchani_agrees(found, ensemble, tried)
