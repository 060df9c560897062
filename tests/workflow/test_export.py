"""The export command: the right frames, and one line for each wrong use."""

from __future__ import annotations

import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from qm.fingerprint import label_id
from qm.label import Label
from workflow import export
from workflow.dataset import Dataset
from workflow.storage.spool import LabelRecord, Provenance


def make_record(scale):
    frame = bulk("Al", "fcc", a=4.05 * scale, cubic=True)
    label = Label(-scale, np.zeros((4, 3)), None, "f" * 32, "eam", "1", 0.1, 0.1, "node-1")
    return LabelRecord(label_id(frame, "f" * 32), frame, label, Provenance(source="bootstrap"))


@pytest.fixture
def campaign(tmp_path):
    directory = tmp_path / "campaign"
    directory.mkdir()
    dataset = Dataset.open(directory / "dataset.zarr", create=True)
    dataset.merge([make_record(1.0)], round=0)
    dataset.merge([make_record(1.1), make_record(1.2)], round=1)
    return directory


def run(*arguments):
    try:
        return export.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def test_the_newest_snapshot_is_written(campaign, tmp_path, capsys):
    out = tmp_path / "out.extxyz"
    assert run(campaign, out) == 0
    assert [frame.get_potential_energy() for frame in ase.io.read(out, ":")] == [-1.0, -1.1, -1.2]
    assert "3 labels" in capsys.readouterr().out


def test_an_old_snapshot_can_be_asked_for(campaign, tmp_path):
    assert run(campaign, tmp_path / "out.extxyz", "--snapshot", 1) == 0
    assert len(ase.io.read(tmp_path / "out.extxyz", ":")) == 1


def test_nothing_is_replaced_without_force(campaign, tmp_path, capsys):
    out = tmp_path / "out.extxyz"
    out.write_text("mine")
    assert run(campaign, out) == 2
    assert out.read_text() == "mine"
    assert "--force replaces it" in capsys.readouterr().err
    assert run(campaign, out, "--force") == 0
    assert len(ase.io.read(out, ":")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none", "{tmp}/out.extxyz"], "none: there is no such directory"),
        (["{tmp}", "{tmp}/out.extxyz"], "is no campaign, it has no dataset.zarr"),
        (["{tmp}/campaign", "{tmp}/none/out.extxyz"], "there is no directory"),
        (["{tmp}/campaign", "{tmp}/out.extxyz", "--snapshot", "9"], "there is no snapshot 9"),
        (["{tmp}/campaign", "{tmp}/out.extxyz", "--snapshot", "0"], "snapshot 0 holds no labels"),
        (["{tmp}/campaign", "{tmp}/out.extxyz", "--snapshot", "x"], "invalid int value: 'x'"),
        (["{tmp}/campaign", "{tmp}/out.extxyz", "--format", "cif"], "invalid choice: 'cif'"),
        (["{tmp}/campaign"], "the following arguments are required: OUT.extxyz"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(campaign, tmp_path, capsys, arguments, message):
    assert run(*(argument.format(tmp=tmp_path) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out.extxyz").exists()


def test_a_damaged_label_is_named_and_nothing_is_written(campaign, tmp_path, capsys):
    dataset = Dataset.open(campaign / "dataset.zarr")
    segment = dataset.root / "segments" / dataset.snapshot().manifest.segments[1].name
    chunk = segment / "energies_ev" / "c.0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    assert run(campaign, tmp_path / "out.extxyz") == 2
    assert f"label {make_record(1.2).id} is damaged" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["campaign"]


def test_the_command_itself(campaign, tmp_path):
    command = [sys.executable, "-m", "workflow.export", campaign, tmp_path / "out.extxyz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(ase.io.read(tmp_path / "out.extxyz", ":")) == 3
