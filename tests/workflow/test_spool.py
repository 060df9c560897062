"""Candidates, labels and refusals come back from their files as they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase.build import bulk

from potentials.durable import temporary_sibling
from qm.label import Label
from workflow.storage import spool
from workflow.storage.files import DamagedFileError, save_npz_atomic
from workflow.storage.spool import Candidate, LabelRecord, Provenance, Refusal

PROVENANCE = Provenance(
    source="trajectory",
    round=7,
    cycle=1,
    ensemble="round-0006",
    trajectory="0-12-3",
    reason="mean_force_disagreement",
    time_fs=1234.5,
    temperature_k=612.25,
    spread_energy_ev_per_sqrt_atom=0.011,
    spread_force_mean_ev_per_ang=0.13,
    spread_force_max_ev_per_ang=0.21,
    seed="17,4",
)


def frame():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.symbols[0] = "Al"
    atoms.positions += np.random.default_rng(3).normal(scale=7.0, size=(4, 3))  # also outside the cell
    atoms.cell[0, 1] = 0.3
    atoms.pbc = (True, False, True)
    return atoms


def label(stress=True):
    rng = np.random.default_rng(4)
    return Label(
        energy_ev=-12.3456789012345678,
        forces_ev_per_ang=rng.normal(size=(4, 3)),
        stress_ev_per_ang3=np.diag([0.1, 0.2, 0.3]) if stress else None,
        fingerprint="f" * 32,
        code="eam",
        version="1.0",
        wall_s=0.25,
        core_s=0.5,
        host="node-1",
    )


def assert_same_label(found, expected):
    np.testing.assert_array_equal(found.forces_ev_per_ang, expected.forces_ev_per_ang)
    if expected.stress_ev_per_ang3 is None:
        assert found.stress_ev_per_ang3 is None
    else:
        np.testing.assert_array_equal(found.stress_ev_per_ang3, expected.stress_ev_per_ang3)
    for name in ("energy_ev", "fingerprint", "code", "version", "wall_s", "core_s", "host"):
        assert getattr(found, name) == getattr(expected, name)


def test_candidate_round_trip(tmp_path):
    candidate = Candidate("ab12", frame(), PROVENANCE)
    path = spool.write_candidate(tmp_path / "candidates", candidate)
    assert path == spool.item_path(tmp_path / "candidates", "ab12")
    assert spool.read_candidate(path) == candidate


@pytest.mark.parametrize("stress", [True, False])
def test_label_round_trip(tmp_path, stress):
    record = LabelRecord("ab12", frame(), label(stress), Provenance(source="bootstrap"))
    found = spool.read_label(spool.write_label(tmp_path, record))
    assert (found.id, found.frame, found.provenance) == (record.id, record.frame, record.provenance)
    assert_same_label(found.label, record.label)


def test_refusal_round_trip_with_and_without_the_refused_label(tmp_path):
    bad = dataclasses.replace(label(), energy_ev=float("nan"))
    for refused in (None, bad):
        refusal = Refusal("ab12", frame(), "unphysical", "energy is not finite", PROVENANCE, refused)
        found = spool.read_refusal(spool.write_refusal(tmp_path, refusal))
        assert (found.reason, found.message) == ("unphysical", "energy is not finite")
        assert (found.frame, found.provenance) == (frame(), PROVENANCE)
        assert (found.label is None) == (refused is None)
    assert np.isnan(found.label.energy_ev)


def test_ids_are_those_of_complete_items(tmp_path):
    assert spool.ids(tmp_path / "none") == set()
    paths = [spool.write_candidate(tmp_path, Candidate(name, frame(), PROVENANCE)) for name in ("aa", "bb")]
    temporary_sibling(paths[0]).write_bytes(b"half")
    (tmp_path / "note.txt").write_text("")
    assert spool.ids(tmp_path) == {"aa", "bb"}


def test_writing_twice_keeps_one_item(tmp_path):
    for _ in range(2):
        spool.write_candidate(tmp_path, Candidate("aa", frame(), PROVENANCE))
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_item_is_named(tmp_path):
    path = spool.write_candidate(tmp_path, Candidate("aa", frame(), PROVENANCE))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"aa\.npz: damaged"):
        spool.read_candidate(path)


def test_candidate_is_no_label(tmp_path):
    path = spool.write_candidate(tmp_path, Candidate("aa", frame(), PROVENANCE))
    with pytest.raises(DamagedFileError, match=r"aa\.npz: holds no energy"):
        spool.read_label(path)
    with pytest.raises(DamagedFileError, match=r"aa\.npz: holds no reason"):
        spool.read_refusal(path)


def test_other_arrays_are_no_item(tmp_path):
    save_npz_atomic(tmp_path / "aa.npz", {"a": np.zeros(3)})
    with pytest.raises(DamagedFileError, match="no item of a campaign"):
        spool.read_candidate(tmp_path / "aa.npz")


def test_frames_keep_only_what_defines_them(tmp_path):
    atoms = frame()
    atoms.info["drawn"] = 3
    atoms.set_velocities(np.ones((4, 3)))
    found = spool.read_candidate(spool.write_candidate(tmp_path, Candidate("aa", atoms, PROVENANCE))).frame
    assert found.info == {}
    assert set(found.arrays) == {"numbers", "positions"}
