"""Checks of frames before labelling and of labels before they enter the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from vesin import NeighborList

from qm.config import CheckConfig
from qm.label import FailureReason, Label, LabelFailure, Labeller

MIN_CELL_HEIGHT_ANG = 0.5
"""A periodic cell thinner than this, Å, is taken for a mistake: no crystal is, and its images have no end."""


def input_problem(frame: Atoms, elements: frozenset[str]) -> str | None:
    """Return in one line why a frame cannot be labelled, or ``None``."""
    if len(frame) == 0:
        return "frame has no atoms"
    unknown = sorted(set(frame.get_chemical_symbols()) - elements)
    if unknown:
        known = ", ".join(sorted(elements)) if len(elements) <= 20 else f"{len(elements)} elements"
        return f"frame contains {', '.join(unknown)}; this label source knows {known}"
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        return "positions or cell are not finite"
    return _cell_problem(frame)


def _cell_problem(frame: Atoms) -> str | None:
    if not frame.pbc.any():
        return None
    cell = frame.cell.complete().array
    volume = abs(np.linalg.det(cell))
    areas = [np.linalg.norm(np.cross(cell[k - 2], cell[k - 1])) for k in range(3)]
    heights = [volume / area if area > 0.0 else 0.0 for area in areas]
    missing = frame.pbc & ~frame.cell.array.any(axis=1)
    thinnest = min(height for height, periodic in zip(heights, frame.pbc, strict=True) if periodic)
    if missing.any() or thinnest < MIN_CELL_HEIGHT_ANG:
        found = 0.0 if missing.any() else thinnest
        return f"periodic cell is {found:.3g} Å thin; at least {MIN_CELL_HEIGHT_ANG} Å is expected"
    return None


def checked_label(source: Labeller, frame: Atoms, scratch: Path, config: CheckConfig) -> Label | LabelFailure:
    """Return a frame's label, or why the source failed or the checks refuse what it found."""
    label = source.label(frame, scratch)
    if isinstance(label, LabelFailure):
        return label
    return check_label(frame, label, config, source.fingerprint) or label


def check_label(
    frame: Atoms, label: Label, config: CheckConfig, expected_fingerprint: str
) -> LabelFailure | None:
    """Return why a label may not enter the data set, or ``None`` if it may.

    ``bad_output``: another level of theory, wrong shape, numbers that are not finite, a stress that is not
    symmetric. ``unphysical``: atoms too close, forces, net force, stress or energy beyond the limits.
    """
    message = _output_problem(frame, label, expected_fingerprint)
    if message is not None:
        return _refusal("bad_output", message, label)
    message = _physics_problem(frame, label, config)
    if message is not None:
        return _refusal("unphysical", message, label)
    return None


def shortest_distance_ang(frame: Atoms, below_ang: float) -> float | None:
    """Return the shortest distance between atoms, or an atom and its own image, if below the given one, Å."""
    neighbours = NeighborList(cutoff=below_ang, full_list=False, n_threads=1)
    (distance,) = neighbours.compute(frame.positions, frame.cell.array, np.asarray(frame.pbc), "d")
    return float(distance.min()) if distance.size else None


def _refusal(reason: FailureReason, message: str, label: Label) -> LabelFailure:
    return LabelFailure(reason=reason, message=message, wall_s=label.wall_s)


def _output_problem(frame: Atoms, label: Label, expected_fingerprint: str) -> str | None:
    if label.fingerprint != expected_fingerprint:
        return f"label has level of theory {label.fingerprint}; this data set has {expected_fingerprint}"
    forces, stress = label.forces_ev_per_ang, label.stress_ev_per_ang3
    if forces.shape != (len(frame), 3):
        return f"forces have shape {forces.shape}; {(len(frame), 3)} is expected"
    if stress is not None and stress.shape != (3, 3):
        return f"stress has shape {stress.shape}; (3, 3) is expected"
    values = {"energy": np.asarray(label.energy_ev), "forces": forces, "stress": stress}
    for name, value in values.items():
        if value is not None and not np.isfinite(value).all():
            return f"{name} not finite: {np.count_nonzero(~np.isfinite(value))} of {value.size} numbers"
    if stress is not None and not np.allclose(stress, stress.T, rtol=1e-6, atol=1e-8):
        return f"stress is not symmetric: {np.abs(stress - stress.T).max():.3g} eV/Å³ apart"
    return None


def _physics_problem(frame: Atoms, label: Label, config: CheckConfig) -> str | None:
    closest = shortest_distance_ang(frame, config.min_distance_ang)
    if closest is not None:
        return f"atoms are {closest:.3f} Å apart; at least {config.min_distance_ang} Å is expected"
    forces = label.forces_ev_per_ang
    largest = float(np.linalg.norm(forces, axis=1).max())
    if largest > config.max_force_ev_per_ang:
        return f"a force of {largest:.4g} eV/Å; at most {config.max_force_ev_per_ang} eV/Å is expected"
    net = float(np.linalg.norm(forces.sum(axis=0))) / np.sqrt(len(frame))
    if net > config.max_net_force_ev_per_ang:
        limit = config.max_net_force_ev_per_ang
        return f"net force over root of atoms is {net:.4g} eV/Å; at most {limit} eV/Å is expected"
    return _stress_problem(label, config) or _energy_problem(frame, label, config)


def _stress_problem(label: Label, config: CheckConfig) -> str | None:
    if label.stress_ev_per_ang3 is None:
        return None
    largest = float(np.abs(label.stress_ev_per_ang3).max())
    if largest <= config.max_stress_ev_per_ang3:
        return None
    return f"a stress of {largest:.4g} eV/Å³; at most {config.max_stress_ev_per_ang3} eV/Å³ is expected"


def _energy_problem(frame: Atoms, label: Label, config: CheckConfig) -> str | None:
    limit = config.max_abs_energy_ev_per_atom
    per_atom = label.energy_ev / len(frame)
    if limit is None or abs(per_atom) <= limit:
        return None
    return f"energy is {per_atom:.6g} eV/atom; at most {limit} eV/atom in magnitude is expected"
