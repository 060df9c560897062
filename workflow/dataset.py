"""The global training set: immutable Zarr segments and a manifest that says which of them count.

A merge writes its new labels as one Zarr group under a temporary name, synchronises and renames it, and
commits a new manifest. Killed at any moment, the data set is as it was before or after the merge. Arrays are
never appended to: a kill between two of them would leave different lengths. One process writes at a time
(see ``workflow.lock``); readers see the snapshot that they opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from workflow.storage import manifest as manifests
from workflow.storage.label_arrays import LabelArrays, find_fault, is_id
from workflow.storage.manifest import DatasetError, Manifest, SegmentEntry
from workflow.storage.segments import SegmentReader, read_ids, read_sound, write_segment
from workflow.storage.spool import LabelRecord


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
        return [label_id for entry in self.manifest.segments for label_id in read_ids(self.root, entry)]

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
        return LabelArrays.concatenate([read_sound(self.root, entry) for entry in self.manifest.segments])

    def records(self) -> Iterator[LabelRecord]:
        """Yield each label, segment by segment.

        Raises
        ------
        DatasetDamagedError
            If a label is damaged; the message names it.
        """
        for entry in self.manifest.segments:
            yield from read_sound(self.root, entry).records()


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
        joined = LabelArrays.concatenate([read_sound(self.root, entry) for entry in segments[start:]])
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
            reader = SegmentReader(self.root, entry)
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
