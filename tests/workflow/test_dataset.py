"""The data set: every label exactly once, whatever happens; damage is named."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from qm.fingerprint import label_id
from qm.label import Label
from workflow.dataset import Dataset
from workflow.storage import segments
from workflow.storage.manifest import DatasetDamagedError, DatasetError
from workflow.storage.spool import LabelRecord, Provenance

FINGERPRINT = "0" * 32


def make_record(seed, fingerprint=FINGERPRINT):
    """Return a labelled frame of two to twelve atoms; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    n_atoms = int(rng.integers(2, 13))
    numbers = rng.choice([13, 29], size=n_atoms)
    frame = Atoms(
        numbers=numbers,
        positions=rng.uniform(-5, 15, (n_atoms, 3)),
        cell=rng.normal(size=(3, 3)) + 9 * np.eye(3),
        pbc=rng.random(3) < 0.8,
    )
    label = Label(
        energy_ev=float(rng.normal()),
        forces_ev_per_ang=rng.normal(size=(n_atoms, 3)),
        stress_ev_per_ang3=None if seed % 3 == 0 else np.diag(rng.normal(size=3)),
        fingerprint=fingerprint,
        code="eam",
        version="1",
        wall_s=0.5,
        core_s=1.0,
        host="node-1",
    )
    provenance = Provenance(source="trajectory", round=2, trajectory=f"0-0-{seed}", temperature_k=float(seed))
    return LabelRecord(label_id(frame, fingerprint), frame, label, provenance)


def make_records(seeds):
    return [make_record(seed) for seed in seeds]


def assert_same_record(found, expected):
    assert (found.id, found.frame, found.provenance) == (expected.id, expected.frame, expected.provenance)
    np.testing.assert_array_equal(found.label.forces_ev_per_ang, expected.label.forces_ev_per_ang)
    if expected.label.stress_ev_per_ang3 is None:
        assert found.label.stress_ev_per_ang3 is None
    else:
        np.testing.assert_array_equal(found.label.stress_ev_per_ang3, expected.label.stress_ev_per_ang3)
    for name in ("energy_ev", "fingerprint", "code", "version", "wall_s", "core_s", "host"):
        assert getattr(found.label, name) == getattr(expected.label, name)


@pytest.fixture
def dataset(tmp_path):
    return Dataset.open(tmp_path / "dataset.zarr", create=True)


def test_labels_come_back_as_they_were(dataset):
    records = make_records(range(20))
    result = dataset.merge(records[:12], round=1)
    assert (result.version, result.n_new, result.n_duplicates) == (1, 12, 0)
    dataset.merge(records[12:], round=2)
    snapshot = Dataset.open(dataset.root).snapshot()
    assert snapshot.ids == [record.id for record in records]
    assert (snapshot.version, snapshot.n_labels) == (2, 20)
    assert snapshot.elements == dataset.elements == ("Al", "Cu")
    for found, expected in zip(snapshot.records(), records, strict=True):
        assert_same_record(found, expected)


def test_arrays_are_the_frames_end_to_end(dataset):
    records = make_records(range(10))
    dataset.merge(records[:4], round=1)
    dataset.merge(records[4:], round=2)
    arrays = dataset.snapshot().arrays()
    assert arrays.id_list() == [record.id for record in records]
    assert arrays.n_atoms == sum(len(record.frame) for record in records) == dataset.snapshot().n_atoms
    np.testing.assert_array_equal(arrays.rounds, [1] * 4 + [2] * 6)
    np.testing.assert_array_equal(np.isnan(arrays.stresses_ev_per_ang3).all(axis=(1, 2)), ~arrays.has_stress)
    for i, record in enumerate(records):
        atoms = slice(arrays.first_atom[i], arrays.first_atom[i + 1])
        np.testing.assert_array_equal(arrays.positions_ang[atoms], record.frame.positions)
        np.testing.assert_array_equal(arrays.forces_ev_per_ang[atoms], record.label.forces_ev_per_ang)
        assert arrays.energies_ev[i] == record.label.energy_ev


def test_merging_the_same_again_changes_nothing(dataset):
    records = make_records(range(6))
    dataset.merge(records, round=1)
    files = sorted(dataset.root.rglob("*"))
    result = dataset.merge(records, round=2)
    assert (result.version, result.n_new, result.n_duplicates) == (1, 0, 6)
    again = Dataset.open(dataset.root).merge(iter(records[:3]), round=2)
    assert (again.version, again.n_new, again.n_duplicates) == (1, 0, 3)
    assert sorted(dataset.root.rglob("*")) == files


def test_duplicates_within_one_merge_are_stored_once(dataset):
    result = dataset.merge(make_records([1, 2, 1, 1, 2]), round=1)
    assert (result.n_new, result.n_duplicates) == (2, 3)
    assert dataset.n_labels == 2


def test_nothing_to_merge_is_no_new_version(dataset):
    assert dataset.merge([], round=1).version == 0
    assert dataset.ids == frozenset()


def test_chunk_borders_do_not_show(dataset, monkeypatch):
    monkeypatch.setattr(segments, "CHUNK_ROWS", 60)
    records = make_records(range(15))
    dataset.merge(records, round=1)
    for found, expected in zip(dataset.snapshot().records(), records, strict=True):
        assert_same_record(found, expected)
    assert dataset.verify() == []


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.integers(0, 25), max_size=12), max_size=6), st.data())
def test_merges_add_up_to_the_union(tmp_path_factory, batches, data):
    path = tmp_path_factory.mktemp("set") / "dataset.zarr"
    dataset = Dataset.open(path, create=True)
    seen: set[int] = set()
    for number, batch in enumerate(batches):
        result = dataset.merge(make_records(batch), round=number)
        assert result.n_new == len(set(batch) - seen)
        assert result.n_duplicates == len(batch) - result.n_new
        seen |= set(batch)
        if data.draw(st.booleans()):
            dataset.compact(min_segments=2)
        if data.draw(st.booleans()):
            dataset = Dataset.open(path)
    expected = {record.id: record for record in make_records(seen)}
    found = {record.id: record for record in dataset.snapshot().records()}
    assert found.keys() == expected.keys() == dataset.ids
    assert dataset.snapshot().n_labels == len(expected)
    for record_id, record in expected.items():
        assert_same_record(found[record_id], record)
    assert dataset.verify() == []


# Refusals


def test_other_level_of_theory_is_refused_whole(dataset):
    dataset.merge(make_records([1]), round=1)
    stranger = make_record(2, fingerprint="1" * 32)
    with pytest.raises(DatasetError, match=f"label {stranger.id} is of level of theory 1+, the others of 0+"):
        dataset.merge([make_record(3), stranger], round=2)
    assert dataset.n_labels == Dataset.open(dataset.root).n_labels == 1
    assert dataset.fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("energy_ev", float("nan"), "not finite"),
        ("forces_ev_per_ang", np.full((2, 3), np.inf), "not finite|forces of shape"),
        ("forces_ev_per_ang", np.zeros((1, 3)), r"forces of shape \(1, 3\)"),
        ("stress_ev_per_ang3", np.zeros(6), r"stress of shape \(6,\)"),
    ],
)
def test_unfit_labels_are_refused(dataset, field, value, message):
    good = make_record(1)
    bad = dataclasses.replace(good, label=dataclasses.replace(good.label, **{field: value}))
    with pytest.raises(DatasetError, match=f"label {good.id} .*({message})"):
        dataset.merge([make_record(2), bad], round=1)
    assert dataset.n_labels == 0


def test_id_must_be_a_hash(dataset):
    with pytest.raises(DatasetError, match="32 hexadecimal digits"):
        dataset.merge([dataclasses.replace(make_record(1), id="../../x")], round=1)


def test_no_data_set_is_no_traceback(tmp_path):
    with pytest.raises(DatasetError, match="holds no data set"):
        Dataset.open(tmp_path)


def test_second_writer_is_noticed(dataset):
    other = Dataset.open(dataset.root)
    dataset.merge(make_records([1]), round=1)
    with pytest.raises(DatasetError, match="another process committed version 1"):
        other.merge(make_records([2]), round=1)
    assert Dataset.open(dataset.root).verify() == []


# Snapshots


def test_old_snapshots_stay_as_they_were(dataset):
    for number in range(4):
        dataset.merge(make_records([10 * number, 10 * number + 1]), round=number)
    old = dataset.snapshot(2)
    assert dataset.compact(min_segments=2)
    assert dataset.versions == [0, 1, 2, 3, 4, 5]
    for snapshot in (old, Dataset.open(dataset.root).snapshot(2)):
        expected = make_records([0, 1, 10, 11])
        for found, record in zip(snapshot.records(), expected, strict=True):
            assert_same_record(found, record)


def test_a_reader_keeps_its_version_while_labels_are_merged(dataset):
    dataset.merge(make_records([1]), round=1)
    reader = Dataset.open(dataset.root)
    dataset.merge(make_records([2]), round=2)
    assert reader.version == 1
    assert reader.snapshot().ids == [make_record(1).id]
    with pytest.raises(DatasetError, match="no snapshot 2"):
        reader.snapshot(2)


def test_compaction_keeps_content_and_order(dataset):
    records = make_records(range(30))
    for start in range(0, 30, 3):
        dataset.merge(records[start : start + 3], round=start)
    before = dataset.snapshot().arrays()
    assert not dataset.compact(min_segments=11)
    assert dataset.compact(min_segments=2)
    after = Dataset.open(dataset.root).snapshot()
    assert len(after.manifest.segments) < 10
    assert after.ids == before.id_list()
    for name in ("positions_ang", "forces_ev_per_ang", "energies_ev", "rounds", "checksums"):
        np.testing.assert_array_equal(getattr(after.arrays(), name), getattr(before, name))
    assert dataset.verify() == []


def test_compaction_leaves_few_segments_and_rewrites_little(dataset):
    rewritten = 0
    for seed in range(24):
        dataset.merge([make_record(seed)], round=seed)
        if dataset.compact(min_segments=4):
            rewritten += dataset.snapshot().manifest.segments[-1].n_labels
    assert len(dataset.snapshot().manifest.segments) <= 4 + 5
    assert rewritten < 24 * 5
    assert dataset.n_labels == 24


# Damage


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.fixture
def damaged(dataset):
    """A data set of two segments, and the folder of the second, to be damaged."""
    dataset.merge(make_records(range(5)), round=1)
    dataset.merge(make_records(range(5, 10)), round=2)
    return dataset, dataset.root / "segments" / dataset.snapshot().manifest.segments[1].name


@pytest.mark.parametrize(
    "name", ["positions_ang", "forces_ev_per_ang", "energies_ev", "cells_ang", "rounds", "numbers", "pbc"]
)
def test_a_changed_number_is_named_with_its_label(damaged, name):
    dataset, folder = damaged
    (chunk,) = (folder / name).glob("c.*")
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1  # belongs to the last label
    chunk.write_bytes(content)
    assert dataset.verify() == [f"segment {folder.name}: label {make_record(9).id} is damaged"]
    with pytest.raises(DatasetDamagedError, match=f"segment {folder.name}: label {make_record(9).id} is dam"):
        dataset.snapshot().arrays()
    assert dataset.snapshot(1).n_labels == len(list(dataset.snapshot(1).records())) == 5


def test_a_missing_chunk_is_named_with_the_labels_that_it_held(damaged):
    dataset, folder = damaged
    (folder / "forces_ev_per_ang" / "c.0.0").unlink()
    problems = dataset.verify()
    assert problems[0] == f"segment {folder.name}: chunk forces_ev_per_ang/c.0.0 is missing"
    assert problems[1:] == [
        f"segment {folder.name}: label {record.id} is damaged" for record in make_records(range(5, 10))
    ]
    with pytest.raises(DatasetDamagedError, match=r"chunk forces_ev_per_ang/c.0.0 is missing \(and 5 more"):
        list(dataset.snapshot().records())


def test_a_torn_chunk_spares_the_labels_of_other_chunks(dataset, monkeypatch):
    monkeypatch.setattr(segments, "CHUNK_ROWS", 16)
    records = make_records(range(10))
    dataset.merge(records, round=1)
    folder = dataset.root / "segments" / dataset.snapshot().manifest.segments[0].name
    chunk = folder / "positions_ang" / "c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-8])
    problems = dataset.verify()
    assert "chunk positions_ang/c.0.0 cannot be read" in problems[0]
    named = [record.id for record in records if any(record.id in problem for problem in problems)]
    assert named == [record.id for record in records[: len(named)]]
    assert 0 < len(named) < 10


def test_a_lost_segment_is_named(damaged):
    dataset, folder = damaged
    folder.rename(folder.with_name("elsewhere"))
    assert any(
        f"segment {folder.name}: array ids cannot be opened" in problem for problem in dataset.verify()
    )
    with pytest.raises(DatasetDamagedError, match=folder.name):
        Dataset.open(dataset.root).merge(make_records([11]), round=3)


def test_swapped_segments_are_noticed(damaged):
    dataset, folder = damaged
    other = dataset.root / "segments" / dataset.snapshot().manifest.segments[0].name
    folder.rename(folder.with_name("x"))
    other.rename(folder)
    assert any("not those of the manifest" in problem for problem in dataset.verify())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_any_damaged_file_is_found_and_never_a_traceback(dataset, harm):
    dataset.merge(make_records(range(5)), round=1)
    (folder,) = (dataset.root / "segments").iterdir()
    for path in folder.glob("*/*"):
        sound = path.read_bytes()
        harm(path)
        problems = dataset.verify()
        assert problems, path
        assert all("\n" not in problem for problem in problems)
        path.write_bytes(sound)
    assert dataset.verify() == []


def test_metadata_with_any_byte_changed_gives_the_right_numbers_or_an_error(damaged):
    dataset, folder = damaged
    expected = dataset.snapshot().arrays().energies_ev
    path = folder / "energies_ev" / "zarr.json"
    sound = path.read_bytes()
    rng = np.random.default_rng(5)
    n_noticed = 0
    for place in rng.choice(len(sound), size=60, replace=False):
        content = bytearray(sound)
        content[place] = rng.integers(32, 127)
        path.write_bytes(content)
        try:
            found = dataset.snapshot().arrays().energies_ev
        except DatasetDamagedError:
            n_noticed += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert n_noticed > 10


def test_damaged_manifests_are_named(damaged):
    dataset, _ = damaged
    path = dataset.root / "snapshots" / "000002.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "fingerprint": "1" * 32}))
    with pytest.raises(DatasetDamagedError, match=r"000002\.json: damaged"):
        Dataset.open(dataset.root)
    assert any("000002.json: damaged" in problem for problem in dataset.verify())
    path.write_text("")
    with pytest.raises(DatasetDamagedError, match=r"000002\.json: damaged"):
        Dataset.open(dataset.root)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": "x"}', "\x00\x00"])
def test_a_damaged_head_is_never_taken_for_an_empty_data_set(damaged, content):
    dataset, _ = damaged
    (dataset.root / "HEAD.json").write_text(content)
    with pytest.raises(DatasetDamagedError, match=r"HEAD\.json: damaged"):
        Dataset.open(dataset.root, create=True)
    (dataset.root / "HEAD.json").unlink()
    with pytest.raises(DatasetDamagedError, match=r"HEAD\.json: missing"):
        Dataset.open(dataset.root, create=True)
    assert len(list((dataset.root / "segments").iterdir())) == 2


def test_another_format_is_refused(dataset, monkeypatch):
    monkeypatch.setattr("workflow.storage.manifest.FORMAT", 0)
    with pytest.raises(DatasetError, match="is of format 1, this program reads format 0"):
        Dataset.open(dataset.root)


@pytest.mark.parametrize("kind", [DatasetError, DatasetDamagedError])
def test_errors_survive_the_trip_between_processes(kind):
    assert str(pickle.loads(pickle.dumps(kind("a b")))) == "a b"  # noqa: S301


# Kills


def test_what_a_killed_merge_left_is_collected_by_the_next(dataset, monkeypatch):
    """Stop a merge before each of its steps in turn, as a kill would."""
    steps = ["zarr.create_group", "workflow.storage.segments.sync_tree", "workflow.storage.manifest.commit"]
    steps += ["workflow.storage.manifest.write_json_atomic"]
    dataset.merge(make_records([0]), round=0)

    class Killed(BaseException):
        pass

    def die(*args, **kwargs):
        raise Killed

    for number, step in enumerate(steps, start=1):
        with monkeypatch.context() as patch:
            patch.setattr(step, die)
            patch.setattr("shutil.rmtree", lambda *args, **kwargs: None)  # a kill cleans nothing up
            with pytest.raises(Killed):
                Dataset.open(dataset.root).merge(make_records([number]), round=number)
        survivor = Dataset.open(dataset.root, create=True)
        assert survivor.version == number
        assert survivor.merge(make_records([number]), round=number).n_new == 1
        assert len(list((dataset.root / "segments").iterdir())) == number + 1
        assert survivor.verify() == []
    assert survivor.ids == {record.id for record in make_records(range(5))}


def test_killed_while_it_was_made_it_is_made_again(dataset):
    (dataset.root / "HEAD.json").unlink()
    assert Dataset.open(dataset.root, create=True).version == 0


def merge_for_ever(path, progress):
    """Merge three new labels and two known ones at a time, join segments, and say so after each merge."""
    dataset = Dataset.open(path, create=True)
    while True:
        progress.send(dataset.n_labels)
        start = dataset.n_labels
        dataset.merge(make_records(range(max(start - 2, 0), start + 3)), round=start)
        dataset.compact(min_segments=5)


@pytest.mark.slow
def test_killed_at_any_moment_every_label_is_there_once(tmp_path):
    path = tmp_path / "dataset.zarr"
    rng = np.random.default_rng(6)
    processes = multiprocessing.get_context("forkserver")  # imports once, not a dozen times
    processes.set_forkserver_preload([__name__])
    version, n_labels = 0, 0
    for _ in range(12):
        receiver, progress = processes.Pipe(duplex=False)
        writer = processes.Process(target=merge_for_ever, args=(path, progress), daemon=True)
        writer.start()
        for _ in range(rng.integers(1, 4)):
            assert receiver.poll(60)
            receiver.recv()
        time.sleep(rng.uniform(0.0, 0.1))
        writer.kill()
        writer.join()
        dataset = Dataset.open(path)
        assert dataset.verify() == []
        assert dataset.version >= version
        assert dataset.n_labels >= n_labels
        version, n_labels = dataset.version, dataset.n_labels
        ids = dataset.snapshot().ids
        assert len(ids) == len(set(ids)) == n_labels
        assert set(ids) == {record.id for record in make_records(range(n_labels))}
        old = dataset.snapshot(int(rng.choice(dataset.versions)))
        assert {record.id for record in old.records()} == {r.id for r in make_records(range(old.n_labels))}
    assert n_labels >= 18
