"""Labelled frames of different sizes as flat arrays, each label with a checksum of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from qm.label import Label
from workflow.storage.spool import LabelRecord, Provenance, label_details

ID_BYTES = 16
CHECKSUM_BYTES = 16

# Type and shape of one row of each array. Names, types, shapes and order are part of the format on disk.
ROWS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ids": ("u1", (ID_BYTES,)),
    "atom_counts": ("i4", ()),
    "rounds": ("i4", ()),
    "numbers": ("u1", ()),
    "positions_ang": ("f8", (3,)),
    "forces_ev_per_ang": ("f8", (3,)),
    "cells_ang": ("f8", (3, 3)),
    "pbc": ("?", (3,)),
    "energies_ev": ("f8", ()),
    "stresses_ev_per_ang3": ("f8", (3, 3)),
    "has_stress": ("?", ()),
    "detail_lengths": ("i4", ()),
    "details": ("u1", ()),
    "checksums": ("u1", (CHECKSUM_BYTES,)),
}
PER_ATOM = ("numbers", "positions_ang", "forces_ev_per_ang")
# What a label's checksum covers, in this order; then its atoms and its details.
_CHECKED_PER_LABEL = (
    "ids",
    "rounds",
    "cells_ang",
    "pbc",
    "energies_ev",
    "stresses_ev_per_ang3",
    "has_stress",
)


@dataclass(frozen=True)
class LabelArrays:
    """Labelled frames laid end to end; label ``i`` owns atoms ``first_atom[i]`` to ``first_atom[i + 1]``.

    Attributes
    ----------
    ids
        Shape (n_labels, 16), uint8: the hexadecimal id of each label as bytes.
    atom_counts
        Atoms of each label, shape (n_labels,), int32.
    rounds
        The synchronisation that merged each label, shape (n_labels,), int32.
    numbers
        Atomic numbers, shape (n_atoms,), uint8.
    positions_ang
        Cartesian coordinates, not wrapped, shape (n_atoms, 3), float64, Å.
    forces_ev_per_ang
        Shape (n_atoms, 3), float64, eV/Å.
    cells_ang
        Cell vectors as rows, shape (n_labels, 3, 3), float64, Å.
    pbc
        Which cell vectors repeat, shape (n_labels, 3), bool.
    energies_ev
        Per frame, shape (n_labels,), float64, eV.
    stresses_ev_per_ang3
        Shape (n_labels, 3, 3), float64, eV/Å³, positive under tension; not-a-number where there is none.
    has_stress
        Shape (n_labels,), bool.
    detail_lengths, details
        Provenance and origin of each label as JSON: length in bytes, shape (n_labels,), int32, and
        all texts end to end, uint8.
    checksums
        BLAKE2b of everything else of a label, shape (n_labels, 16), uint8.
    """

    ids: NDArray[np.uint8]
    atom_counts: NDArray[np.int32]
    rounds: NDArray[np.int32]
    numbers: NDArray[np.uint8]
    positions_ang: NDArray[np.float64]
    forces_ev_per_ang: NDArray[np.float64]
    cells_ang: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    energies_ev: NDArray[np.float64]
    stresses_ev_per_ang3: NDArray[np.float64]
    has_stress: NDArray[np.bool_]
    detail_lengths: NDArray[np.int32]
    details: NDArray[np.uint8]
    checksums: NDArray[np.uint8]

    @property
    def n_labels(self) -> int:
        """Number of labelled frames."""
        return len(self.ids)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all frames together."""
        return len(self.numbers)

    @cached_property
    def first_atom(self) -> NDArray[np.int64]:
        """Where each frame's atoms begin, and the end of the last, shape (n_labels + 1,)."""
        return _offsets(self.atom_counts)

    @cached_property
    def first_detail(self) -> NDArray[np.int64]:
        """Where each label's text in ``details`` begins, and the end of the last, shape (n_labels + 1,)."""
        return _offsets(self.detail_lengths)

    def id_list(self) -> list[str]:
        """Return the ids as hexadecimal text."""
        return hex_ids(self.ids)

    @classmethod
    def from_records(cls, records: Sequence[LabelRecord], round_: int) -> LabelArrays:
        """Lay ``records`` (at least one), merged in round ``round_``, end to end."""
        stresses = [record.label.stress_ev_per_ang3 for record in records]
        details = [_encode_details(record) for record in records]
        unsigned = cls(
            ids=np.array([list(bytes.fromhex(record.id)) for record in records], dtype=np.uint8),
            atom_counts=np.array([len(record.frame) for record in records], dtype=np.int32),
            rounds=np.full(len(records), round_, dtype=np.int32),
            numbers=np.concatenate([record.frame.numbers for record in records]).astype(np.uint8),
            positions_ang=np.concatenate([record.frame.positions for record in records]),
            forces_ev_per_ang=np.concatenate(
                [record.label.forces_ev_per_ang for record in records], dtype=np.float64
            ),
            cells_ang=np.stack([record.frame.cell.array for record in records]),
            pbc=np.stack([record.frame.pbc for record in records]),
            energies_ev=np.array([record.label.energy_ev for record in records], dtype=np.float64),
            stresses_ev_per_ang3=np.stack(
                [np.full((3, 3), np.nan) if stress is None else stress for stress in stresses],
                dtype=np.float64,
            ),
            has_stress=np.array([stress is not None for stress in stresses]),
            detail_lengths=np.array([len(text) for text in details], dtype=np.int32),
            details=np.frombuffer(b"".join(details), dtype=np.uint8),
            checksums=np.zeros((len(records), CHECKSUM_BYTES), dtype=np.uint8),
        )
        return replace(unsigned, checksums=unsigned.computed_checksums())

    @classmethod
    def concatenate(cls, parts: Sequence[LabelArrays]) -> LabelArrays:
        """Return ``parts`` (at least one) one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in ROWS})

    def damaged(self) -> NDArray[np.intp]:
        """Return the indices of labels whose content does not match their checksum."""
        return np.flatnonzero((self.computed_checksums() != self.checksums).any(axis=1))

    def computed_checksums(self) -> NDArray[np.uint8]:
        """Return what ``checksums`` should be."""
        per_label = np.concatenate([_bytes(getattr(self, name)) for name in _CHECKED_PER_LABEL], axis=1)
        per_atom = [_bytes(getattr(self, name)).data for name in PER_ATOM]
        details = self.details.data
        first_atom, first_detail = self.first_atom.tolist(), self.first_detail.tolist()
        digests = bytearray()
        for i in range(self.n_labels):
            checksum = blake2b(per_label[i].data, digest_size=CHECKSUM_BYTES)
            for array in per_atom:
                checksum.update(array[first_atom[i] : first_atom[i + 1]])
            checksum.update(details[first_detail[i] : first_detail[i + 1]])
            digests += checksum.digest()
        return np.frombuffer(bytes(digests), dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)

    def frame(self, index: int) -> Atoms:
        """Return a copy of frame ``index``."""
        atoms = slice(self.first_atom[index], self.first_atom[index + 1])
        return Atoms(
            numbers=self.numbers[atoms],
            positions=self.positions_ang[atoms],
            cell=self.cells_ang[index],
            pbc=self.pbc[index],
        )

    def record(self, index: int) -> LabelRecord:
        """Return a copy of label ``index``."""
        atoms = slice(self.first_atom[index], self.first_atom[index + 1])
        text = self.details[self.first_detail[index] : self.first_detail[index + 1]]
        details = json.loads(text.tobytes())
        label = Label(
            energy_ev=float(self.energies_ev[index]),
            forces_ev_per_ang=self.forces_ev_per_ang[atoms].copy(),
            stress_ev_per_ang3=self.stresses_ev_per_ang3[index].copy() if self.has_stress[index] else None,
            **details["label"],
        )
        provenance = Provenance(**details["provenance"])
        return LabelRecord(self.ids[index].tobytes().hex(), self.frame(index), label, provenance)

    def records(self) -> Iterator[LabelRecord]:
        """Yield a copy of each label, in order."""
        return (self.record(index) for index in range(self.n_labels))


def is_id(text: str) -> bool:
    """Return whether ``text`` is an id of a label: 32 hexadecimal digits."""
    return len(text) == 2 * ID_BYTES and set(text) <= set("0123456789abcdef")


def find_fault(frame: Atoms, label: Label) -> str | None:
    """Return why a label cannot be stored, or ``None``. Whether it is a good label, ``qm.checks`` says."""
    if len(frame) == 0:
        return "has no atoms"
    if np.shape(label.forces_ev_per_ang) != (len(frame), 3):
        return f"has forces of shape {np.shape(label.forces_ev_per_ang)} for {len(frame)} atoms"
    stress = np.zeros((3, 3)) if label.stress_ev_per_ang3 is None else label.stress_ev_per_ang3
    if np.shape(stress) != (3, 3):
        return f"has a stress of shape {np.shape(stress)}, expected (3, 3)"
    values = (label.energy_ev, label.forces_ev_per_ang, stress, frame.positions, frame.cell.array)
    if not all(np.isfinite(array).all() for array in values):
        return "holds values that are not finite"
    return None


def hex_ids(ids: NDArray[np.uint8]) -> list[str]:
    """Return ids of shape (n_labels, 16), uint8, as hexadecimal text."""
    text = np.ascontiguousarray(ids).tobytes().hex()
    width = 2 * ID_BYTES
    return [text[start : start + width] for start in range(0, len(text), width)]


def _offsets(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _encode_details(record: LabelRecord) -> bytes:
    details = {"label": label_details(record.label), "provenance": vars(record.provenance)}
    return json.dumps(details).encode()


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``array``, shape (n, ...), as little-endian bytes, shape (n, bytes of one entry)."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(len(array), -1).view(np.uint8)
