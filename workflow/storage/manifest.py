"""The data set's snapshots: which segments each version consists of, and which version is the newest.

``snapshots/000012.json`` lists the segments of version 12; ``HEAD.json`` says which version counts.
Replacing ``HEAD.json`` is the commit: before it, a new segment and a new snapshot are not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from potentials.durable import synchronise
from workflow.storage.files import DamagedFileError, read_json, remove_temporary_files, write_json_atomic

FORMAT = 1
HEAD = "HEAD.json"
SNAPSHOTS = "snapshots"
SEGMENTS = "segments"


class DatasetError(ValueError):
    """The data set cannot do what it was asked; the message says why."""


class DatasetDamagedError(DatasetError):
    """The data set on disk is not what was written; the message names what is damaged."""


@dataclass(frozen=True)
class SegmentEntry:
    """One immutable segment; ``checksum`` covers its ids and its labels' own checksums, in order."""

    name: str
    n_labels: int
    n_atoms: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """One version of the data set. ``parent`` is the version it was made from."""

    version: int
    parent: int | None
    round: int
    fingerprint: str | None
    elements: tuple[str, ...]
    segments: tuple[SegmentEntry, ...]

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return sum(segment.n_labels for segment in self.segments)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all labelled frames together."""
        return sum(segment.n_atoms for segment in self.segments)

    def first_to_join(self) -> int:
        """Return the index of the oldest segment that is no larger than all newer ones together."""
        first, n_newer = len(self.segments) - 1, 0
        for index in reversed(range(len(self.segments))):
            if self.segments[index].n_atoms <= n_newer:
                first = index
            n_newer += self.segments[index].n_atoms
        return first


EMPTY = Manifest(version=0, parent=None, round=0, fingerprint=None, elements=(), segments=())


def versions(root: Path) -> list[int]:
    """Return the versions of which a snapshot is kept, oldest first."""
    return sorted(int(path.stem) for path in (root / SNAPSHOTS).glob("[0-9]*.json"))


def snapshot_path(root: Path, version: int) -> Path:
    """Return where the manifest of ``version`` is kept."""
    return root / SNAPSHOTS / f"{version:06d}.json"


def read_head(root: Path) -> int:
    """Return the newest version.

    Raises
    ------
    DatasetError
        If there is no data set in ``root``.
    DatasetDamagedError
        If there is one, but the file that says which version counts is missing or damaged.
    """
    try:
        return int(read_json(root / HEAD)["version"])
    except FileNotFoundError:
        if any(versions(root)):
            raise DatasetDamagedError(f"{root / HEAD}: missing, though the data set has snapshots") from None
        raise DatasetError(f"{root}: holds no data set, it has no {HEAD}") from None
    except DamagedFileError as error:
        raise DatasetDamagedError(str(error)) from None
    except (KeyError, TypeError, ValueError):
        raise DatasetDamagedError(f"{root / HEAD}: damaged, it names no version") from None


def read_manifest(root: Path, version: int) -> Manifest:
    """Return the manifest of ``version``.

    Raises
    ------
    DatasetError
        If that version is not kept, or of a format that this program does not know.
    DatasetDamagedError
        If its manifest is damaged.
    """
    path = snapshot_path(root, version)
    try:
        content = read_json(path)
    except FileNotFoundError:
        kept = ", ".join(map(str, versions(root))) or "none"
        raise DatasetError(f"{root}: there is no snapshot {version}; kept are {kept}") from None
    except DamagedFileError as error:
        raise DatasetDamagedError(str(error)) from None
    if not isinstance(content, dict) or content.pop("checksum", None) != _checksum(content):
        raise DatasetDamagedError(f"{path}: damaged, its content does not match its checksum")
    found = content.pop("format")
    if found != FORMAT:
        raise DatasetError(f"{path}: is of format {found}, this program reads format {FORMAT}")
    segments = tuple(SegmentEntry(**entry) for entry in content.pop("segments"))
    return Manifest(**content | {"elements": tuple(content["elements"])}, segments=segments)


def commit(root: Path, manifest: Manifest) -> None:
    """Write ``manifest`` and make it the newest version."""
    content: dict[str, Any] = {"format": FORMAT, **asdict(manifest)}
    write_json_atomic(snapshot_path(root, manifest.version), {**content, "checksum": _checksum(content)})
    write_json_atomic(root / HEAD, {"version": manifest.version})


def prepare(root: Path) -> None:
    """Make an empty data set in ``root``, unless there is one or what is left of one."""
    if (root / HEAD).exists() or any(version > 0 for version in versions(root)):
        return
    for directory in (root / SEGMENTS, root / SNAPSHOTS):
        directory.mkdir(parents=True, exist_ok=True)
    synchronise(root)
    commit(root, EMPTY)


def forget(root: Path, forgotten: Iterable[int]) -> None:
    """Remove the manifests of these versions."""
    for version in forgotten:
        snapshot_path(root, version).unlink()
    synchronise(root / SNAPSHOTS)


def collect_orphans(root: Path) -> int:
    """Remove what killed writers left and no snapshot needs; return how many segments.

    Only for the one process that writes.
    """
    newest = read_head(root)
    forget(root, [version for version in versions(root) if version > newest])
    for directory in (root, root / SNAPSHOTS):
        remove_temporary_files(directory)
    needed = {entry.name for version in versions(root) for entry in read_manifest(root, version).segments}
    orphans = [path for path in (root / SEGMENTS).iterdir() if path.name not in needed]
    for path in orphans:
        shutil.rmtree(path)
    return len(orphans)


def _checksum(content: dict[str, Any]) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
