"""Labels as extended XYZ: written for other programs, read as starting data.

Energies are in eV, lengths in Å, forces in eV/Å, stresses in eV/Å³, positive under tension, as in ASE.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.io.extxyz import read_xyz
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from potentials.durable import synchronise, temporary_sibling
from qm.fingerprint import label_id
from qm.label import Label
from workflow.storage.label_arrays import find_fault
from workflow.storage.spool import LabelRecord, Provenance, label_details

# What ASE's reader was seen to raise on text that is not extended XYZ, or an unknown element.
_PARSE_ERRORS = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration)


class ExtxyzError(ValueError):
    """Frames cannot be imported; the message names the file, the line, the frame and what is wrong."""


def write_extxyz(records: Iterable[LabelRecord], path: Path) -> int:
    """Write labels as extended XYZ, all or nothing; return how many.

    Numbers are written so that reading them gives the same floats. Keys are ``energy``, ``forces`` and
    ``stress``, as ASE and the training programs built on it expect; provenance follows as further keys.
    """
    temporary = temporary_sibling(path)
    n_written = 0
    try:
        with temporary.open("x", encoding="utf-8") as file:
            for record in records:
                file.write(_format(record))
                n_written += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synchronise(path.parent)
    return n_written


def read_extxyz(
    path: Path, fingerprint: str, *, code: str = "unknown", version: str = ""
) -> list[LabelRecord]:
    """Read labelled frames as starting data.

    Each frame needs its energy (eV; ``free_energy`` before ``energy`` where a frame has both, because forces
    are its derivative) and ``forces`` (eV/Å); ``stress`` (eV/Å³, positive under tension) is taken if present.

    Parameters
    ----------
    fingerprint
        The level of theory of the file, which nothing in it can prove: the caller vouches for it.
    code, version
        The program that made the labels.

    Raises
    ------
    ExtxyzError
        If the file holds no frames, a frame cannot be read, or lacks its energy or forces.
    """
    records = []
    for number, (line, text) in enumerate(_frame_texts(path), start=1):
        where = f"{path}:{line}: frame {number}"
        frame = _parse(text, where)
        label = _label(frame, where, fingerprint, code, version)
        bare = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        if fault := find_fault(bare, label):
            raise ExtxyzError(f"{where} {fault}")
        provenance = Provenance(source="import", reason=f"{path.name} frame {number}")
        records.append(LabelRecord(label_id(bare, fingerprint), bare, label, provenance))
    if not records:
        raise ExtxyzError(f"{path}: holds no frames")
    return records


def _format(record: LabelRecord) -> str:
    frame, label = record.frame, record.label
    pairs: dict[str, Any] = {}
    if frame.cell.array.any():
        pairs["Lattice"] = _numbers(frame.cell.array)
    pairs["Properties"] = "species:S:1:pos:R:3:forces:R:3"
    pairs["energy"] = repr(float(label.energy_ev))
    if label.stress_ev_per_ang3 is not None:
        pairs["stress"] = _numbers(label.stress_ev_per_ang3)
    pairs["pbc"] = " ".join("T" if periodic else "F" for periodic in frame.pbc)
    pairs["label_id"] = f"blake2b:{record.id}"  # prefixed, because readers take bare digits for a number
    details = {f"label_{name}": value for name, value in label_details(label).items()}
    pairs |= {
        name: value for name, value in (details | vars(record.provenance)).items() if value not in ("", None)
    }
    header = " ".join(f"{name}={_quoted(str(value))}" for name, value in pairs.items())
    rows = np.hstack([frame.positions, label.forces_ev_per_ang]).tolist()
    lines = [
        f"{symbol} {x!r} {y!r} {z!r} {fx!r} {fy!r} {fz!r}\n"
        for symbol, (x, y, z, fx, fy, fz) in zip(frame.get_chemical_symbols(), rows, strict=True)
    ]
    return f"{len(frame)}\n{header}\n{''.join(lines)}"


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(repr(value) for value in np.asarray(values, dtype=np.float64).ravel().tolist())


def _quoted(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"' if set(plain) & set(" \"'={}[]") else plain


def _frame_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line on which each frame begins, counted from 1, and its text."""
    try:
        with path.open(encoding="utf-8") as file:
            line, number = 1, 0
            while (n_atoms := _n_atoms(file, path, line, number + 1)) is not None:
                number += 1
                body = [file.readline() for _ in range(n_atoms + 1)]
                if not body[-1].strip():
                    raise ExtxyzError(f"{path}:{line}: frame {number} ends before its {n_atoms} atoms")
                yield line, f"{n_atoms}\n{''.join(body)}"
                line += n_atoms + 2
    except UnicodeDecodeError:
        raise ExtxyzError(f"{path}: is not a text file") from None
    except OSError as error:
        raise ExtxyzError(f"{path}: cannot be read ({error.strerror})") from None


def _n_atoms(file: TextIO, path: Path, line: int, number: int) -> int | None:
    """Read the first line of a frame; ``None`` where only empty lines are left."""
    text = file.readline()
    if not text.strip() and not file.read().strip():
        return None
    if not text.strip().isdecimal() or int(text) == 0:
        found = text.strip()[:40]
        raise ExtxyzError(f"{path}:{line}: frame {number}: found {found!r}, expected its number of atoms")
    return int(text)


def _parse(text: str, where: str) -> Atoms:
    try:
        return next(read_xyz(io.StringIO(text), slice(0, 1)))
    except _PARSE_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ExtxyzError(f"{where} is not extended XYZ ({reason})") from None


def _label(frame: Atoms, where: str, fingerprint: str, code: str, version: str) -> Label:
    results = {} if frame.calc is None else frame.calc.results
    energy = results.get("free_energy", results.get("energy"))
    if energy is None:
        raise ExtxyzError(f"{where} has no energy; expected the key energy, in eV")
    if "forces" not in results:
        raise ExtxyzError(f"{where} has no forces; expected the columns forces:R:3, in eV/Å")
    stress = results.get("stress")
    return Label(
        energy_ev=float(energy),
        forces_ev_per_ang=np.asarray(results["forces"], dtype=np.float64),
        stress_ev_per_ang3=None if stress is None else _full_stress(stress),
        fingerprint=fingerprint,
        code=code,
        version=version,
        wall_s=0.0,
        core_s=0.0,
        host="",
    )


def _full_stress(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(stress, dtype=np.float64)
    return array if array.shape == (3, 3) else np.asarray(voigt_6_to_full_3x3_stress(array))
