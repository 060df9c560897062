"""Energies and relaxed frames by a calculator of which nothing is known; what goes wrong is one line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import UnitCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from numpy.typing import NDArray

MAX_STEPS = 300
"""Steps of a relaxation before it counts as failed."""

_FORCE_LIMIT = 1000.0  # eV/Å; no crystal has more
_CLOSER_BY = 0.6  # shortest distance after a relaxation as a fraction of that before


class NoPropertyError(ValueError):
    """A property does not exist; the message says why."""


@dataclass(frozen=True)
class Energy:
    """An energy, with what each member of an ensemble says; sums and differences keep track of both.

    Attributes
    ----------
    ev
        The energy.
    members_ev
        By each member, shape (n_members,); empty where there are none.
    """

    ev: float
    members_ev: NDArray[np.float64]

    def __sub__(self, other: Energy) -> Energy:
        return Energy(self.ev - other.ev, self.members_ev - other.members_ev)

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.ev + other.ev, self.members_ev + other.members_ev)

    def __rmul__(self, factor: float) -> Energy:
        return Energy(factor * self.ev, factor * self.members_ev)

    @property
    def spread_ev(self) -> float:
        """Standard deviation over the members; not-a-number where there are none."""
        return float(self.members_ev.std()) if len(self.members_ev) > 1 else math.nan


@contextmanager
def foreign_code() -> Iterator[None]:
    """Turn whatever a calculator raises into NoPropertyError."""
    try:
        yield
    except NoPropertyError:
        raise
    except Exception as error:
        first, *others = str(error).splitlines() or [""]
        why = f"{first} {others[0].strip()}" if first.endswith(":") and others else first
        raise NoPropertyError(f"{type(error).__name__}: {why}") from error


def energy(calculator: Any, frame: Atoms) -> Energy:
    """Return the energy of a frame.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or the energy is not finite.
    """
    with foreign_code():
        frame.calc = calculator
        value = float(frame.get_potential_energy())
        members = np.asarray(calculator.results.get("member_energies", ()), dtype=np.float64)
    if not math.isfinite(value):
        raise NoPropertyError("the energy is not finite")
    return Energy(value, members)


def has_stress(calculator: Any, frame: Atoms) -> bool:
    """Return whether the calculator gives a stress."""
    try:
        with foreign_code():
            frame.calc = calculator
            return bool(np.isfinite(frame.get_stress()).all())
    except NoPropertyError:
        return False


def relaxed(
    calculator: Any,
    frame: Atoms,
    *,
    max_force_ev_per_ang: float,
    max_move_ang: float = math.inf,
    cell_mask: Sequence[bool] | None = None,
    max_steps: int = MAX_STEPS,
) -> Atoms:
    """Return a copy of a frame with its atoms moved downhill until no force is larger than asked for.

    Parameters
    ----------
    max_force_ev_per_ang
        When to stop; with a cell that is free, also for its generalised forces (`UnitCellFilter`).
    max_move_ang
        An atom that moves farther away has left the structure that was meant.
    cell_mask
        Which of the strains xx, yy, zz, yz, xz, xy are free; by default none.

    Raises
    ------
    NoPropertyError
        If the calculator fails, the forces explode, atoms fall into each other or move too far, or it does
        not converge.
    """
    moving = frame.copy()
    moving.calc = calculator
    free = moving if cell_mask is None else UnitCellFilter(moving, mask=cell_mask)
    with foreign_code():
        for _ in BFGS(free, logfile=None, maxstep=0.1).irun(fmax=max_force_ev_per_ang, steps=max_steps):
            _refuse_explosion(moving)
        largest = float(np.linalg.norm(np.asarray(free.get_forces()), axis=1).max())
    if largest > max_force_ev_per_ang * (1.0 + 1e-9):
        raise NoPropertyError(
            f"not relaxed after {max_steps} steps: largest force {largest:.3g}, "
            f"expected at most {max_force_ev_per_ang:g} eV/Å"
        )
    _refuse_other_structure(frame, moving, max_move_ang)
    return moving


def _refuse_explosion(frame: Atoms) -> None:
    forces = frame.get_forces(apply_constraint=False)
    if not (np.isfinite(forces).all() and math.isfinite(frame.get_potential_energy())):
        raise NoPropertyError("energy or forces are not finite in a relaxation")
    largest = float(np.abs(forces).max())
    if largest > _FORCE_LIMIT:
        raise NoPropertyError(f"the potential explodes in a relaxation: a force of {largest:.3g} eV/Å")


def _refuse_other_structure(before: Atoms, after: Atoms, max_move_ang: float) -> None:
    shortest_before, shortest_after = _shortest(before), _shortest(after)
    if shortest_after < _CLOSER_BY * shortest_before:
        raise NoPropertyError(
            f"atoms fall into each other: {shortest_after:.2f} Å apart, {shortest_before:.2f} Å before"
        )
    if not math.isfinite(max_move_ang):
        return
    moves = after.positions - before.positions
    farthest = float(np.linalg.norm(moves - moves.mean(axis=0), axis=1).max())
    if farthest > max_move_ang:
        raise NoPropertyError(f"it relaxes into something else: an atom moves {farthest:.2f} Å")


def _shortest(frame: Atoms) -> float:
    """Return the shortest distance between atoms, images included, Å."""
    cutoff = 1.0
    for _ in range(6):
        distances = neighbor_list("d", frame, cutoff)
        if len(distances):
            return float(distances.min())
        cutoff *= 1.6
    return cutoff
