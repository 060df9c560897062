"""A derivative of the energy along one random direction, for labels that cost seconds each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms

from qm.label import Label, Labeller

MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
"""Lets Open MPI run for root and on machines with fewer cores than ranks."""


def labelled(labeller: Labeller, frame: Atoms, scratch: Path) -> Label:
    """Return the label of a frame that must have one."""
    label = labeller.label(frame, scratch)
    assert isinstance(label, Label), label
    return label


def force_along(
    labeller: Labeller, frame: Atoms, label: Label, scratch: Path, step_ang: float
) -> tuple[float, float]:
    """Return the force along a displacement, eV/Å: by finite differences, and that of the frame's label."""
    direction = np.random.default_rng(5).normal(size=(len(frame), 3))
    direction -= direction.mean(axis=0)
    direction /= np.linalg.norm(direction)

    def moved(step: float) -> Atoms:
        other = frame.copy()
        other.positions += step * direction
        return other

    found = float((label.forces_ev_per_ang * direction).sum())
    return -_slope(labeller, moved, scratch, step_ang), found


def stress_along(
    labeller: Labeller, frame: Atoms, label: Label, scratch: Path, step: float
) -> tuple[float, float]:
    """Return the stress along a strain with six different components, eV/Å³, as :func:`force_along`."""
    strain = np.random.default_rng(5).normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T)

    def strained(size: float) -> Atoms:
        other = frame.copy()
        other.set_cell(frame.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
        return other

    stress = label.stress_ev_per_ang3
    assert stress is not None
    return _slope(labeller, strained, scratch, step) / frame.get_volume(), float((stress * strain).sum())


def _slope(labeller: Labeller, changed: Callable[[float], Atoms], scratch: Path, step: float) -> float:
    high, low = (labelled(labeller, changed(size), scratch).energy_ev for size in (step, -step))
    return (high - low) / (2.0 * step)
