"""Formation energies of a vacancy and of interstitials in FCC, atoms relaxed at the crystal's own volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from validation.evaluation import NoPropertyError, energy, relaxed

_MAX_FORCE_EV_PER_ANG = 5e-3
_DUMBBELL_HALF_LENGTH = 0.29  # in lattice constants, where it begins
_NUDGE_ANG = 0.02  # off the symmetric place, so that an unstable one is left
_MAX_TURN_DEG = 10.0
_MAX_OFF_CENTRE_ANG = 0.3


@dataclass(frozen=True)
class PointDefect:
    """Formation energy of one defect.

    Attributes
    ----------
    formation_ev, spread_ev
        E(cell with it) - N(atoms of it) E(crystal, per atom), and the standard deviation of that over the
        members of an ensemble; NaN where there are none.
    n_atoms
        Of the cell with the defect.
    """

    formation_ev: float
    spread_ev: float
    n_atoms: int


def vacancy(calculator: Any, element: str, lattice_ang: float, n_repeat: int = 3) -> PointDefect:
    """Return the formation energy of a vacancy in a cube of ``n_repeat`` conventional cells a side.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or the vacancy does not stay one.
    """
    frame = _crystal(element, lattice_ang, n_repeat)
    del frame[0]
    return _formation(calculator, lattice_ang, frame)[0]


def dumbbell_100(calculator: Any, element: str, lattice_ang: float, n_repeat: int = 4) -> PointDefect:
    """Return the formation energy of an interstitial that shares a site with another atom, along <100>.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or it turns into another defect.
    """
    frame = _crystal(element, lattice_ang, n_repeat)
    half = np.array([_DUMBBELL_HALF_LENGTH * lattice_ang, _NUDGE_ANG, -_NUDGE_ANG])
    site = frame.positions[0].copy()
    frame.positions[0] = site + half
    frame.append(element)
    frame.positions[-1] = site - half
    found, after = _formation(calculator, lattice_ang, frame)
    axis = after.get_distance(0, len(after) - 1, mic=True, vector=True)
    turn = float(np.degrees(np.arccos(np.clip(abs(axis[0]) / np.linalg.norm(axis), 0.0, 1.0))))
    if turn > _MAX_TURN_DEG:
        raise NoPropertyError(f"the <100> dumbbell is not stable: it turns by {turn:.0f}°")
    return found


def octahedral(calculator: Any, element: str, lattice_ang: float, n_repeat: int = 4) -> PointDefect:
    """Return the formation energy of an interstitial in the middle of six neighbours.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or it turns into another defect.
    """
    frame = _crystal(element, lattice_ang, n_repeat)
    site = frame.positions[0] + (0.5 * lattice_ang, 0.0, 0.0)
    frame.append(element)
    frame.positions[-1] = site
    found, after = _formation(calculator, lattice_ang, frame)
    away = _shift(after.positions[-1] - site, after.positions[:-1] - frame.positions[:-1])
    if away > _MAX_OFF_CENTRE_ANG:
        raise NoPropertyError(f"the octahedral interstitial is not stable: it moves by {away:.2f} Å")
    return found


def _crystal(element: str, lattice_ang: float, n_repeat: int) -> Atoms:
    return bulk(element, "fcc", a=lattice_ang, cubic=True).repeat(n_repeat)


def _shift(move: NDArray[np.float64], of_others: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(move - of_others.mean(axis=0)))


def _formation(calculator: Any, lattice_ang: float, frame: Atoms) -> tuple[PointDefect, Atoms]:
    perfect = energy(calculator, bulk(frame.symbols[0], "fcc", a=lattice_ang))
    after = relaxed(
        calculator, frame, max_force_ev_per_ang=_MAX_FORCE_EV_PER_ANG, max_move_ang=0.35 * lattice_ang
    )
    formation = energy(calculator, after) - float(len(frame)) * perfect
    return PointDefect(formation.ev, formation.spread_ev, len(frame)), after
