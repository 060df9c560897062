"""Reads what our program has written of GPAW's results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from qm.results import OutputError, Results

_VERSION = re.compile(r"GPAW version (\S+)")


def version(text: str) -> str | None:
    """Return the version that the program says when it is asked."""
    found = _VERSION.search(text)
    return found[1] if found else None


def read_answer(path: Path) -> dict[str, Any] | None:
    """Return what the program has written, or ``None`` where it did not come so far."""
    try:
        answer = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def read_results(answer: dict[str, Any], n_atoms: int) -> Results:
    """Return the results; GPAW raises where its density is not self-consistent.

    Raises
    ------
    OutputError
        If there is no label in it.
    """
    try:
        energy = float(answer["energy_ev"])
        forces = np.array(answer["forces_ev_per_ang"], dtype=np.float64)
        stress = np.array(answer["stress_ev_per_ang3"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(f"the results cannot be read ({type(error).__name__}: {error})") from error
    if forces.shape != (n_atoms, 3) or stress.shape != (3, 3):
        raise OutputError(
            f"forces have shape {forces.shape}, the stress {stress.shape}; "
            f"{(n_atoms, 3)} and (3, 3) are expected"
        )
    return Results(energy, forces, 0.5 * (stress + stress.T))
