"""Files are complete or not there, and damage is recognised."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from potentials.durable import replace_file, temporary_sibling
from workflow.storage.files import (
    SEAL_LENGTH,
    DamagedFileError,
    load_npz,
    read_json,
    remove_temporary_files,
    save_npz_atomic,
    seal,
    temporaries,
    write_json_atomic,
)


def arrays():
    rng = np.random.default_rng(0)
    return {
        "positions": rng.normal(size=(5, 3)),
        "numbers": np.array([13, 29], dtype=np.uint8),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(1.5),
        "text": np.array('{"a": "Å"}'),
        "flags": np.array([True, False]),
        "by column": np.asfortranarray(rng.normal(size=(2, 3))),
        "long name " * 30: np.arange(3),
    }


def test_npz_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "a.npz"
    save_npz_atomic(path, arrays())
    loaded = load_npz(path)
    assert loaded.keys() == arrays().keys()
    for name, array in arrays().items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].flags.writeable


def test_npz_can_be_read_by_numpy_itself(tmp_path):
    save_npz_atomic(tmp_path / "a.npz", arrays())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["positions"], arrays()["positions"])


def test_every_flipped_byte_is_recognised(tmp_path):
    path = tmp_path / "a.npz"
    save_npz_atomic(path, arrays())
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"a\.npz: damaged"):
            load_npz(path)


def test_every_torn_file_is_recognised(tmp_path):
    path = tmp_path / "a.npz"
    save_npz_atomic(path, arrays())
    sound = path.read_bytes()
    for length in range(0, len(sound), 7):
        path.write_bytes(sound[:length])
        with pytest.raises(DamagedFileError, match=r"a\.npz: damaged"):
            load_npz(path)


def test_npz_not_of_ours_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DamagedFileError, match="do not end with a checksum"):
        load_npz(tmp_path / "other.npz")


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_npz_atomic(tmp_path / "a.npz", {"a": np.array([{}], dtype=object)})
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.npz"
    np.savez(other, a=np.array([{}], dtype=object))
    with zipfile.ZipFile(other, "a") as archive:
        archive.comment = bytes(SEAL_LENGTH)
    payload = other.read_bytes()[:-SEAL_LENGTH]
    other.write_bytes(payload + seal(payload))
    with pytest.raises(DamagedFileError, match="holds Python objects"):
        load_npz(other)


def test_missing_file_is_not_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json")


def test_json_round_trip_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json_atomic(path, {"old": True})
    write_json_atomic(path, {"length_ang": 4.05, "name": "Å"})
    assert read_json(path) == {"length_ang": 4.05, "name": "Å"}
    assert list(tmp_path.iterdir()) == [path]


def test_json_that_no_other_program_could_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "a.json", {"a": math.nan})


def test_torn_json_is_damage(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"version": 1')
    with pytest.raises(DamagedFileError, match=r"a\.json: damaged, not JSON"):
        read_json(path)


def test_damage_survives_the_trip_between_processes():
    error = pickle.loads(pickle.dumps(DamagedFileError("a.npz: damaged")))  # noqa: S301
    assert str(error) == "a.npz: damaged"


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a"
    replace_file(path, b"old")

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    kept = tmp_path / "a.npz"
    replace_file(kept, b"a")
    left = temporary_sibling(kept)
    left.write_bytes(b"half")
    model, link = temporary_sibling(tmp_path / "model"), temporary_sibling(tmp_path / "current")
    model.mkdir()
    (model / "half").touch()
    link.symlink_to(tmp_path, target_is_directory=True)
    assert set(temporaries(tmp_path)) == {left, model, link}
    assert remove_temporary_files(tmp_path, older_than_s=3600) == 0
    assert remove_temporary_files(tmp_path) == 3
    assert list(tmp_path.iterdir()) == [kept]


WRITER = """
import sys
from pathlib import Path
from potentials.durable import replace_file
path, number = Path(sys.argv[1]), 0
print("started", flush=True)
while True:
    number = (number + 1) % 256
    replace_file(path, bytes([number]) * 100_000)
"""


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    path = tmp_path / "a"
    rng = np.random.default_rng(1)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            while not path.exists():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
            writer.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 100_000
        assert len(set(content)) == 1
        remove_temporary_files(tmp_path)
        assert list(tmp_path.iterdir()) == [Path(path)]
