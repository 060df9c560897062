"""Labels survive extended XYZ exactly, and other programs can read it."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress

from qm.fingerprint import label_id
from qm.label import Label
from workflow.storage.extxyz import ExtxyzError, read_extxyz, write_extxyz
from workflow.storage.spool import LabelRecord, Provenance

FINGERPRINT = "0" * 32


def make_record(frame, stress, provenance=None):
    rng = np.random.default_rng(len(frame))
    label = Label(
        energy_ev=float(rng.normal()) / 3,
        forces_ev_per_ang=rng.normal(size=(len(frame), 3)) * 1e-7,
        stress_ev_per_ang3=stress,
        fingerprint=FINGERPRINT,
        code="eam",
        version="1",
        wall_s=0.1,
        core_s=0.2,
        host="node-1",
    )
    return LabelRecord(
        label_id(frame, FINGERPRINT), frame, label, provenance or Provenance(source="bootstrap")
    )


def make_records():
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 1, 1)
    crystal.symbols[::3] = "Al"
    crystal.rattle(0.1, seed=2)
    crystal.positions[0] -= 40.0
    slab = bulk("Al", "hcp", a=2.9, c=4.6)
    slab.pbc = (True, True, False)
    stress = np.random.default_rng(3).normal(size=(3, 3))
    return [
        make_record(crystal, stress + stress.T, Provenance(source="trajectory", round=3, reason='a "b" = c')),
        make_record(slab, None),
        make_record(molecule("H2O"), None),  # no cell at all
    ]


def test_round_trip_is_exact(tmp_path):
    records = make_records()
    assert write_extxyz(records, tmp_path / "a.xyz") == 3
    for found, expected in zip(read_extxyz(tmp_path / "a.xyz", FINGERPRINT), records, strict=True):
        assert (found.id, found.frame) == (expected.id, expected.frame)
        assert found.label.energy_ev == expected.label.energy_ev
        np.testing.assert_array_equal(found.label.forces_ev_per_ang, expected.label.forces_ev_per_ang)
        if expected.label.stress_ev_per_ang3 is None:
            assert found.label.stress_ev_per_ang3 is None
        else:
            np.testing.assert_array_equal(found.label.stress_ev_per_ang3, expected.label.stress_ev_per_ang3)
        assert found.provenance.source == "import"
        assert found.label.fingerprint == FINGERPRINT


def test_ase_reads_numbers_and_provenance(tmp_path):
    (record, *_) = make_records()
    write_extxyz([record], tmp_path / "a.xyz")
    frame = ase.io.read(tmp_path / "a.xyz", format="extxyz")
    assert frame.get_potential_energy() == record.label.energy_ev
    np.testing.assert_array_equal(frame.get_forces(), record.label.forces_ev_per_ang)
    np.testing.assert_array_equal(frame.get_stress(voigt=False), record.label.stress_ev_per_ang3)
    np.testing.assert_array_equal(frame.cell, record.frame.cell)
    assert frame.info["label_id"] == f"blake2b:{record.id}"
    assert (frame.info["source"], frame.info["round"]) == ("trajectory", 3)
    assert frame.info["reason"] == 'a "b" = c'
    assert (frame.info["label_code"], frame.info["label_host"]) == ("eam", "node-1")
    assert "time_fs" not in frame.info  # what does not apply is left out


def test_labels_of_another_program_are_read_with_their_sign(tmp_path):
    frame = bulk("Al", "fcc", a=3.9, cubic=True)
    frame.rattle(0.05, seed=1)
    frame.calc = EMT()
    energy, forces, stress = frame.get_potential_energy(), frame.get_forces(), frame.get_stress()
    ase.io.write(tmp_path / "a.xyz", frame, format="extxyz")
    (record,) = read_extxyz(tmp_path / "a.xyz", FINGERPRINT, code="emt", version="ase")
    assert record.label.energy_ev == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(record.label.forces_ev_per_ang, forces, atol=1e-8)
    np.testing.assert_allclose(record.label.stress_ev_per_ang3, voigt_6_to_full_3x3_stress(stress), atol=1e-8)
    assert np.trace(record.label.stress_ev_per_ang3) < 0  # compressed
    assert (record.label.code, record.provenance.reason) == ("emt", "a.xyz frame 1")


def test_the_energy_that_forces_derive_from_is_taken(tmp_path):
    frame = Atoms("Al2", positions=[[0, 0, 0], [0, 0, 2.5]], cell=[9, 9, 9], pbc=True)
    frame.calc = SinglePointCalculator(frame, energy=-1.0, free_energy=-1.5, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "a.xyz", frame, format="extxyz")
    (record,) = read_extxyz(tmp_path / "a.xyz", FINGERPRINT)
    assert record.label.energy_ev == -1.5


def written(tmp_path):
    path = tmp_path / "a.xyz"
    write_extxyz(make_records(), path)
    return path, path.read_text()


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("energy=", "dft_energy=", r"a\.xyz:1: frame 1 has no energy; expected the key energy, in eV"),
        (
            ":forces:R:3",
            ":f:R:3",
            r"a\.xyz:1: frame 1 has no forces; expected the columns forces:R:3, in eV/Å",
        ),
        ("8\n", "9\n", r"a\.xyz:1: frame 1 is not extended XYZ"),
        ("8\n", "eight\n", r"a\.xyz:1: frame 1: found 'eight', expected its number of atoms"),
        ("\n2\n", "\n\n2\n", r"a\.xyz:11: frame 2: found '', expected its number of atoms"),
        ("\nO ", "\nXq ", r"a\.xyz:15: frame 3 is not extended XYZ \(KeyError"),
        ("\nO 0.0 ", "\nO nan ", r"a\.xyz:15: frame 3 .*not finite"),
        ("Lattice=", "Lattice=1 ", r"a\.xyz:1: frame 1 is not extended XYZ"),
    ],
)
def test_bad_frames_are_named_in_one_line(tmp_path, found, replacement, message):
    path, text = written(tmp_path)
    assert found in text
    path.write_text(text.replace(found, replacement, 1))
    with pytest.raises(ExtxyzError, match=message) as caught:
        read_extxyz(path, FINGERPRINT)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_noticed_wherever_it_is_cut(tmp_path):
    path, text = written(tmp_path)
    lines = text.splitlines(keepends=True)
    ends = {0, 10, 14, len(lines)}  # between two frames nothing is missing
    for n_lines in sorted(set(range(len(lines))) - ends):
        path.write_text("".join(lines[:n_lines]))
        with pytest.raises(ExtxyzError, match="ends before its"):
            read_extxyz(path, FINGERPRINT)


def test_files_without_frames_are_refused(tmp_path):
    path = tmp_path / "a.xyz"
    with pytest.raises(ExtxyzError, match=r"a\.xyz: cannot be read \(No such file"):
        read_extxyz(path, FINGERPRINT)
    path.write_text("\n\n")
    with pytest.raises(ExtxyzError, match=r"a\.xyz: holds no frames"):
        read_extxyz(path, FINGERPRINT)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExtxyzError, match=r"a\.xyz: is not a text file"):
        read_extxyz(path, FINGERPRINT)


def test_blank_lines_at_the_end_are_no_frame(tmp_path):
    path, text = written(tmp_path)
    path.write_text(text + "\n\n")
    assert len(read_extxyz(path, FINGERPRINT)) == 3


def test_a_failed_export_leaves_nothing(tmp_path):
    def records():
        yield make_records()[0]
        raise RuntimeError("damaged")

    with pytest.raises(RuntimeError):
        write_extxyz(records(), tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
