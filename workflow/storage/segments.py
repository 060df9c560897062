"""Segments of the data set: Zarr groups written once and whole, of labels that are checked when read."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from potentials.durable import synchronise, temporary_sibling
from workflow.storage.files import sync_tree
from workflow.storage.label_arrays import PER_ATOM, ROWS, LabelArrays, hex_ids
from workflow.storage.manifest import SEGMENTS, DatasetDamagedError, SegmentEntry

# Whole segments are read, so chunks are large: 3 MB of positions. Coordinates are as good as random and are
# not compressed: it would save 8 % of the space and cost half of the speed.
CHUNK_ROWS = 131_072
# What reading a damaged array was seen to raise: files that are missing or short, metadata that is not what
# Zarr expects, data that cannot be decompressed.
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError)


def write_segment(root: Path, version: int, arrays: LabelArrays) -> SegmentEntry:
    """Write a new segment of the data set in ``root``; it does not count before a manifest names it."""
    path = root / SEGMENTS / f"{version:06d}-{secrets.token_hex(4)}"
    temporary = temporary_sibling(path)
    try:
        group = zarr.create_group(LocalStore(temporary), zarr_format=3)
        for name in ROWS:
            _write_array(group, name, getattr(arrays, name))
        sync_tree(temporary)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    synchronise(path.parent)
    return SegmentEntry(
        path.name, arrays.n_labels, arrays.n_atoms, _segment_checksum(arrays.ids, arrays.checksums)
    )


def _write_array(group: zarr.Group, name: str, array: NDArray[Any]) -> None:
    n_chunks = -(-len(array) // CHUNK_ROWS)
    rows = -(-len(array) // n_chunks)  # chunks of one size, so that the last is not mostly padding
    group.create_array(
        name,
        data=array,
        chunks=(rows, *array.shape[1:]),
        compressors="auto" if name == "details" else None,
        chunk_key_encoding={"name": "default", "separator": "."},  # no folders in which to look for chunks
        config={"write_empty_chunks": True},  # a missing chunk is then always damage
    )


def _segment_checksum(ids: NDArray[np.uint8], checksums: NDArray[np.uint8]) -> str:
    return blake2b(ids.tobytes() + checksums.tobytes(), digest_size=16).hexdigest()


def read_ids(root: Path, entry: SegmentEntry) -> list[str]:
    """Return the ids of a segment without reading the rest of it.

    Raises
    ------
    DatasetDamagedError
        If they are not those of the manifest.
    """
    reader = SegmentReader(root, entry)
    ids, _ = reader.index()
    reader.raise_if_damaged()
    return hex_ids(ids)


def read_sound(root: Path, entry: SegmentEntry) -> LabelArrays:
    """Return a segment of which every label has been checked.

    Raises
    ------
    DatasetDamagedError
        If a label is not as it was written; the message names it.
    """
    reader = SegmentReader(root, entry)
    arrays = reader.labels()
    reader.raise_if_damaged()
    return arrays


class SegmentReader:
    """Reads what can be read of a segment, and says what is wrong with the rest.

    What cannot be read is zero: the checksums of the labels then say which of them have lost something.
    """

    def __init__(self, root: Path, entry: SegmentEntry) -> None:
        self.root = root
        self.entry = entry
        self.folder = root / SEGMENTS / entry.name
        self.problems: list[str] = []

    def raise_if_damaged(self) -> None:
        """Raise DatasetDamagedError with the first problem, if there is one."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more problems)" if len(self.problems) > 1 else ""
            raise DatasetDamagedError(f"{self.root}: {self.problems[0]}{more}")

    def index(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return ids and checksums of the labels."""
        ids, checksums = (self._array(name, self.entry.n_labels) for name in ("ids", "checksums"))
        if _segment_checksum(ids, checksums) != self.entry.checksum:
            self._report("its ids or checksums are not those of the manifest")
        return ids, checksums

    def labels(self) -> LabelArrays:
        """Return all arrays of the labels, each label held against its checksum."""
        ids, checksums = self.index()
        content: dict[str, NDArray[Any]] = {"ids": ids, "checksums": checksums}
        for name in ROWS:
            if name not in content:
                content[name] = self._array(name, self._n_rows(name, content))
        arrays = LabelArrays(**content)
        for index in arrays.damaged():
            self._report(f"label {arrays.id_list()[index]} is damaged")
        return arrays

    def _n_rows(self, name: str, content: Mapping[str, NDArray[Any]]) -> int:
        if name == "details":
            return max(int(content["detail_lengths"].sum()), 0)
        return self.entry.n_atoms if name in PER_ATOM else self.entry.n_labels

    def _array(self, name: str, n_rows: int) -> NDArray[Any]:
        dtype, row = ROWS[name]
        out = np.zeros((n_rows, *row), dtype=dtype)
        try:
            store = LocalStore(self.folder / name, read_only=True)
            stored = zarr.open_array(store, mode="r", zarr_format=3)
            if (stored.dtype, stored.shape) != (out.dtype, out.shape):
                raise TypeError(
                    f"{stored.dtype} of shape {stored.shape}, not {out.dtype} of shape {out.shape}"
                )
        except _READ_ERRORS as error:
            self._report(f"array {name} cannot be opened ({_one_line(error)})")
        else:
            self._fill(out, name, stored)
        return out

    def _fill(self, out: NDArray[Any], name: str, stored: zarr.Array[Any]) -> None:
        n_rows = stored.chunks[0]
        for number, start in enumerate(range(0, len(out), n_rows)):
            chunk = f"{name}/c.{number}" + ".0" * (out.ndim - 1)
            if not (self.folder / chunk).exists():  # Zarr would take it for zeros
                self._report(f"chunk {chunk} is missing")
                continue
            try:
                out[start : start + n_rows] = stored[start : start + n_rows]
            except _READ_ERRORS as error:
                self._report(f"chunk {chunk} cannot be read ({_one_line(error)})")

    def _report(self, problem: str) -> None:
        self.problems.append(f"segment {self.entry.name}: {problem}")


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
