"""What waits on disk: candidates for a label, labels for a merge, refused labels; one file per item.

Workers write these files themselves, so that a dead driver loses nothing. Writing an item twice is safe:
the second file replaces the first. Of a frame, elements, positions, cell and periodicity are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from qm.label import Label
from workflow.storage.files import DamagedFileError, load_npz, save_npz_atomic

SUFFIX = ".npz"
Source = Literal["bootstrap", "trajectory", "import"]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a frame comes from; what does not apply stays empty.

    Attributes
    ----------
    source
        Made by a builder for the bootstrap, found by a trajectory, or imported.
    round, cycle
        The synchronisation after which, and the cycle by which, the frame was found.
    ensemble
        The ensemble that drove the trajectory.
    trajectory, time_fs, temperature_k
        The trajectory, its age and the temperature at the frame.
    reason
        Why the trajectory stopped, or the file that was imported.
    spread_energy_ev_per_sqrt_atom, spread_force_mean_ev_per_ang, spread_force_max_ev_per_ang
        The ensemble's uncalibrated disagreement at the frame.
    seed
        What the random starting cell was made from.
    """

    source: Source
    round: int = 0
    cycle: int = 0
    ensemble: str = ""
    trajectory: str = ""
    reason: str = ""
    time_fs: float | None = None
    temperature_k: float | None = None
    spread_energy_ev_per_sqrt_atom: float | None = None
    spread_force_mean_ev_per_ang: float | None = None
    spread_force_max_ev_per_ang: float | None = None
    seed: str = ""


@dataclass(frozen=True)
class Candidate:
    """A frame waiting for a label; ``id`` is the id its label will have."""

    id: str
    frame: Atoms
    provenance: Provenance


@dataclass(frozen=True)
class LabelRecord:
    """A labelled frame."""

    id: str
    frame: Atoms
    label: Label
    provenance: Provenance


@dataclass(frozen=True)
class Refusal:
    """A candidate that has no usable label: why, and the label that was refused if there was one."""

    id: str
    frame: Atoms
    reason: str
    message: str
    provenance: Provenance
    label: Label | None = None


def ids(directory: Path) -> set[str]:
    """Return the ids of the items in ``directory``; none where there is no such directory."""
    return {path.stem for path in directory.glob(f"[!.]*{SUFFIX}")}


def item_path(directory: Path, item_id: str) -> Path:
    """Return where the item ``item_id`` of ``directory`` is kept."""
    return directory / f"{item_id}{SUFFIX}"


def write_candidate(directory: Path, candidate: Candidate) -> Path:
    """Write ``candidate`` into ``directory`` (made where missing); return the file."""
    return _write(directory, candidate.id, candidate.frame, candidate.provenance)


def read_candidate(path: Path) -> Candidate:
    """Read a candidate.

    Raises
    ------
    DamagedFileError
        If the file is torn or altered, or no candidate.
    """
    item = _Item.read(path)
    return Candidate(item.text("id"), item.frame(), item.provenance())


def write_label(directory: Path, record: LabelRecord) -> Path:
    """Write ``record`` into ``directory`` (made where missing); return the file."""
    return _write(directory, record.id, record.frame, record.provenance, record.label)


def read_label(path: Path) -> LabelRecord:
    """Read a labelled frame.

    Raises
    ------
    DamagedFileError
        If the file is torn or altered, or no labelled frame.
    """
    item = _Item.read(path)
    return LabelRecord(item.text("id"), item.frame(), item.label(), item.provenance())


def write_refusal(directory: Path, refusal: Refusal) -> Path:
    """Write ``refusal`` into ``directory`` (made where missing); return the file."""
    extra = {"reason": refusal.reason, "message": refusal.message}
    return _write(directory, refusal.id, refusal.frame, refusal.provenance, refusal.label, extra)


def read_refusal(path: Path) -> Refusal:
    """Read a refused candidate.

    Raises
    ------
    DamagedFileError
        If the file is torn or altered, or no refusal.
    """
    item = _Item.read(path)
    label = item.label() if item.has_label else None
    return Refusal(
        item.text("id"), item.frame(), item.text("reason"), item.text("message"), item.provenance(), label
    )


def label_details(label: Label) -> dict[str, Any]:
    """Return what a label says of itself beside its numbers: level of theory, program, cost, repairs."""
    details = {
        "fingerprint": label.fingerprint,
        "code": label.code,
        "version": label.version,
        "wall_s": label.wall_s,
        "core_s": label.core_s,
        "host": label.host,
    }
    return details | ({"repairs": label.repairs} if label.repairs else {})


def _write(
    directory: Path,
    item_id: str,
    frame: Atoms,
    provenance: Provenance,
    label: Label | None = None,
    extra: Mapping[str, str] | None = None,
) -> Path:
    arrays: dict[str, NDArray[Any]] = {
        "numbers": np.asarray(frame.numbers, dtype=np.uint8),
        "positions": np.asarray(frame.positions, dtype=np.float64),
        "cell": np.asarray(frame.cell.array, dtype=np.float64),
        "pbc": np.asarray(frame.pbc, dtype=bool),
    }
    metadata: dict[str, Any] = {"id": item_id, "provenance": asdict(provenance), **(extra or {})}
    if label is not None:
        arrays["energy"] = np.array(label.energy_ev, dtype=np.float64)
        arrays["forces"] = np.asarray(label.forces_ev_per_ang, dtype=np.float64)
        if label.stress_ev_per_ang3 is not None:
            arrays["stress"] = np.asarray(label.stress_ev_per_ang3, dtype=np.float64)
        metadata["label"] = label_details(label)
    arrays["metadata"] = np.array(json.dumps(metadata))
    directory.mkdir(parents=True, exist_ok=True)
    path = item_path(directory, item_id)
    save_npz_atomic(path, arrays)
    return path


@dataclass(frozen=True)
class _Item:
    """The content of one file, taken apart; what is missing raises `DamagedFileError`."""

    path: Path
    arrays: Mapping[str, NDArray[Any]]
    metadata: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> _Item:
        arrays = load_npz(path)
        if "metadata" not in arrays:
            raise DamagedFileError(f"{path}: holds no item of a campaign, it has no metadata")
        return cls(path, arrays, json.loads(str(arrays["metadata"])))

    @property
    def has_label(self) -> bool:
        return "label" in self.metadata

    def array(self, name: str) -> NDArray[Any]:
        if name not in self.arrays:
            raise DamagedFileError(f"{self.path}: holds no {name}")
        return self.arrays[name]

    def value(self, name: str) -> Any:
        if name not in self.metadata:
            raise DamagedFileError(f"{self.path}: holds no {name}")
        return self.metadata[name]

    def text(self, name: str) -> str:
        return str(self.value(name))

    def frame(self) -> Atoms:
        numbers, positions = self.array("numbers"), self.array("positions")
        return Atoms(numbers=numbers, positions=positions, cell=self.array("cell"), pbc=self.array("pbc"))

    def provenance(self) -> Provenance:
        try:
            return Provenance(**self.value("provenance"))
        except TypeError as error:
            raise DamagedFileError(f"{self.path}: its provenance cannot be read ({error})") from None

    def label(self) -> Label:
        return Label(
            energy_ev=float(self.array("energy")),
            forces_ev_per_ang=self.array("forces"),
            stress_ev_per_ang3=self.arrays.get("stress"),
            **self.value("label"),
        )
