"""The global training set: immutable Zarr segments and a manifest that says which of them count.

A merge writes its new labels as one Zarr group under a temporary name, synchronises and renames it, and
commits a new manifest. Killed at any moment, the data set is as it was before or after the merge. Arrays are
never appended to: a kill between two of them would leave different lengths. One process writes at a time
(see ``workflow.lock``); readers see the snapshot that they opened.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from ase.data import chemical_symbols
from numpy.typing import NDArray
from zarr.storage import LocalStore

from potentials.durable import synchronise, temporary_sibling
from workflow.storage import manifest as manifests
from workflow.storage.files import sync_tree
from workflow.storage.label_arrays import PER_ATOM, ROWS, LabelArrays, find_fault, hex_ids, is_id
from workflow.storage.manifest import SEGMENTS, DatasetDamagedError, DatasetError, Manifest, SegmentEntry
from workflow.storage.spool import LabelRecord

# Whole segments are read, so chunks are large: 3 MB of positions. Coordinates are as good as random and are
# not compressed: it would save 8 % of the space and cost half of the speed.
CHUNK_ROWS = 131_072
# What reading a damaged array was seen to raise: files that are missing or short, metadata that is not what
# Zarr expects, data that cannot be decompressed.
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError)


@dataclass(frozen=True)
class MergeResult:
    """What a merge did: the version after it, and how many records were new or already known."""

    version: int
    n_new: int
    n_duplicates: int


@dataclass(frozen=True)
class Snapshot:
    """One version of the data set; it never changes."""

    root: Path
    manifest: Manifest

    @property
    def version(self) -> int:
        """Number of this snapshot."""
        return self.manifest.version

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.manifest.n_labels

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all labelled frames together."""
        return self.manifest.n_atoms

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, in alphabetical order."""
        return self.manifest.elements

    @property
    def fingerprint(self) -> str | None:
        """The level of theory of all labels; ``None`` while there are none."""
        return self.manifest.fingerprint

    @property
    def ids(self) -> list[str]:
        """The labels' ids, in the order of ``arrays`` and ``records``."""
        return [label_id for entry in self.manifest.segments for label_id in _read_ids(self.root, entry)]

    def arrays(self) -> LabelArrays:
        """Read all labels at once, and check each against its checksum.

        Raises
        ------
        DatasetError
            If there are no labels.
        DatasetDamagedError
            If a label is damaged; the message names it.
        """
        if not self.manifest.segments:
            raise DatasetError(f"{self.root}: snapshot {self.version} holds no labels")
        return LabelArrays.concatenate([_read_sound(self.root, entry) for entry in self.manifest.segments])

    def records(self) -> Iterator[LabelRecord]:
        """Yield each label, segment by segment.

        Raises
        ------
        DatasetDamagedError
            If a label is damaged; the message names it.
        """
        for entry in self.manifest.segments:
            yield from _read_sound(self.root, entry).records()


class Dataset:
    """The global training set in a directory."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self._manifest = manifest
        self._ids: set[str] | None = None
        self._orphans_collected = False

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Dataset:
        """Open the data set at its newest version; with ``create``, make an empty one where there is none.

        Opening changes nothing that is there: any number of readers may open it while it is written.

        Raises
        ------
        DatasetError
            If there is none and ``create`` is false.
        DatasetDamagedError
            If its manifest is missing or damaged.
        """
        if create:
            manifests.prepare(path)
        return cls(path, manifests.read_manifest(path, manifests.read_head(path)))

    @property
    def version(self) -> int:
        """The version that was opened, or that this object committed last."""
        return self._manifest.version

    @property
    def versions(self) -> list[int]:
        """The versions that can be read, oldest first."""
        return [version for version in manifests.versions(self.root) if version <= self.version]

    @property
    def fingerprint(self) -> str | None:
        """The level of theory of all labels; ``None`` while there are none."""
        return self._manifest.fingerprint

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, in alphabetical order."""
        return self._manifest.elements

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self._manifest.n_labels

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all labels."""
        return frozenset(self._known_ids())

    def snapshot(self, version: int | None = None) -> Snapshot:
        """Return a version, the newest by default.

        Raises
        ------
        DatasetError
            If that version is not kept.
        """
        if version is None or version == self.version:
            return Snapshot(self.root, self._manifest)
        if version > self.version:
            raise DatasetError(f"{self.root}: there is no snapshot {version}; the newest is {self.version}")
        return Snapshot(self.root, manifests.read_manifest(self.root, version))

    def merge(self, records: Iterable[LabelRecord], round: int) -> MergeResult:  # noqa: A002
        """Add the labels that are not yet known, all or none; merging the same again changes nothing.

        Parameters
        ----------
        records
            Labels that passed ``qm.checks``.
        round
            The synchronisation that merges them.

        Raises
        ------
        DatasetError
            If a label is of another level of theory, not finite or of the wrong shape; the message names it.
        """
        known = self._known_ids()
        new: dict[str, LabelRecord] = {}
        n_records = 0
        for record in records:
            n_records += 1
            if record.id not in known:
                new.setdefault(record.id, record)
        if new:
            self._append(list(new.values()), round)
        return MergeResult(self.version, len(new), n_records - len(new))

    def compact(self, min_segments: int = 16) -> bool:
        """Rewrite the newest segments as one, if that saves at least ``min_segments`` - 1 of them.

        Joined are the oldest segment that is no larger than all newer ones together, and those newer ones: so
        a label is rewritten a few times only, and ``n`` merges leave ``min_segments`` + log2(``n``) segments.
        Commits a new version of equal content; the old segments stay while an old snapshot needs them.

        Returns
        -------
        bool
            Whether there was something to do.
        """
        segments = self._manifest.segments
        start = self._manifest.first_to_join()
        if len(segments) - start < max(min_segments, 2):
            return False
        self._prepare_to_write()
        joined = LabelArrays.concatenate([_read_sound(self.root, entry) for entry in segments[start:]])
        entry = write_segment(self.root, self.version + 1, joined)
        self._commit(replace(self._manifest, segments=(*segments[:start], entry)))
        return True

    def collect_orphans(self) -> int:
        """Remove what killed writers left and no snapshot needs; return how many segments.

        Only for the one process that writes. Merging and compacting do it by themselves.
        """
        return manifests.collect_orphans(self.root)

    def verify(self) -> list[str]:
        """Check every label of every snapshot against its checksum.

        Returns
        -------
        list[str]
            One line for each thing that is wrong, naming the label and its segment; empty if all is well.
        """
        problems: list[str] = []
        entries: dict[str, SegmentEntry] = {}
        for version in self.versions:
            try:
                kept = manifests.read_manifest(self.root, version)
            except DatasetError as error:
                problems.append(str(error))
            else:
                entries |= {entry.name: entry for entry in kept.segments}
        for entry in entries.values():
            reader = _SegmentReader(self.root, entry)
            reader.labels()
            problems += reader.problems
        return problems or self._repeated_ids()

    def _known_ids(self) -> set[str]:
        if self._ids is None:
            self._ids = set(self.snapshot().ids)
        return self._ids

    def _append(self, records: list[LabelRecord], round_: int) -> None:
        fingerprint = self.fingerprint or records[0].label.fingerprint
        for record in records:
            self._refuse_unfit(record, fingerprint)
        self._prepare_to_write()
        arrays = LabelArrays.from_records(records, round_)
        elements = {chemical_symbols[number] for number in np.unique(arrays.numbers)}
        entry = write_segment(self.root, self.version + 1, arrays)
        self._commit(
            replace(
                self._manifest,
                round=round_,
                fingerprint=fingerprint,
                elements=tuple(sorted(elements.union(self.elements))),
                segments=(*self._manifest.segments, entry),
            )
        )
        self._known_ids().update(record.id for record in records)

    def _refuse_unfit(self, record: LabelRecord, fingerprint: str) -> None:
        found = record.label.fingerprint
        if found != fingerprint:
            raise DatasetError(
                f"{self.root}: label {record.id} is of level of theory {found}, the others of {fingerprint}"
            )
        if not is_id(record.id):
            raise DatasetError(f"{self.root}: label {record.id!r}: an id has 32 hexadecimal digits")
        if fault := find_fault(record.frame, record.label):
            raise DatasetError(f"{self.root}: label {record.id} {fault}")

    def _prepare_to_write(self) -> None:
        if not self._orphans_collected:
            self.collect_orphans()
            self._orphans_collected = True

    def _commit(self, manifest: Manifest) -> None:
        newest = manifests.read_head(self.root)
        if newest != self.version:
            raise DatasetError(
                f"{self.root}: another process committed version {newest}; this one began at {self.version}"
            )
        manifest = replace(manifest, version=self.version + 1, parent=self.version)
        manifests.commit(self.root, manifest)
        self._manifest = manifest

    def _repeated_ids(self) -> list[str]:
        ids = self.snapshot().ids
        repeated = sorted({label_id for label_id, count in Counter(ids).items() if count > 1})
        return [f"label {label_id} is stored more than once" for label_id in repeated]


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


def _read_ids(root: Path, entry: SegmentEntry) -> list[str]:
    """Return the ids of a segment without reading the rest of it."""
    reader = _SegmentReader(root, entry)
    ids, _ = reader.index()
    reader.raise_if_damaged()
    return hex_ids(ids)


def _read_sound(root: Path, entry: SegmentEntry) -> LabelArrays:
    """Return a segment of which every label has been checked."""
    reader = _SegmentReader(root, entry)
    arrays = reader.labels()
    reader.raise_if_damaged()
    return arrays


class _SegmentReader:
    """Reads what can be read of a segment, and says what is wrong with the rest.

    What cannot be read is zero: the checksums of the labels then say which of them have lost something.
    """

    def __init__(self, root: Path, entry: SegmentEntry) -> None:
        self.root = root
        self.entry = entry
        self.folder = root / SEGMENTS / entry.name
        self.problems: list[str] = []

    def raise_if_damaged(self) -> None:
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
