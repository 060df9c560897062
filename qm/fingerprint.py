"""Hashes: of a level of theory, and of one frame at a level of theory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
from ase import Atoms

RESOLUTION_ANG = 1e-6
"""Frames whose coordinates round to the same multiples of this, Å, are the same frame."""


def fingerprint(level_of_theory: Mapping[str, object]) -> str:
    """Return 32 hexadecimal digits that stand for a level of theory.

    The mapping holds everything that can change a label and nothing else (no time limits, no paths); its
    order does not matter, and the same mapping gives the same digits in every process and on every machine.

    Raises
    ------
    ValueError
        If the mapping holds something that JSON cannot express, such as NaN.
    """
    try:
        text = json.dumps(level_of_theory, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"level of theory must hold plain text, numbers, lists and mappings: {error}"
        ) from None
    return _hash(text.encode())


def label_id(frame: Atoms, fingerprint: str) -> str:
    """Return 32 hexadecimal digits that stand for one frame at one level of theory.

    Elements in their order, cell, periodic directions and positions as they are (not wrapped) count, the
    coordinates rounded to 1e-6 Å; nothing else of the frame does.

    Raises
    ------
    ValueError
        If a coordinate is not finite.
    """
    coordinates = np.concatenate([frame.cell.array, frame.positions])
    if not np.isfinite(coordinates).all():
        raise ValueError("a frame with coordinates that are not finite has no id")
    steps = np.rint(coordinates / RESOLUTION_ANG).astype("<i8")
    numbers = np.asarray(frame.numbers, dtype="<i8")
    periodic = np.asarray(frame.pbc, dtype="u1")
    return _hash(numbers.tobytes(), periodic.tobytes(), steps.tobytes(), fingerprint.encode())


def _hash(*parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
