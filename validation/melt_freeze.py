"""One run from a cold crystal to the liquid and back: what it says of a potential far from where it was made.

J. S. Smith et al., Nat. Commun. 12, 1257 (2021), Fig. 6. A label source can be asked about the same frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.units import GPa, fs

from validation.ensembles import constant_pressure, set_velocities, time_step
from validation.evaluation import foreign_code
from validation.phases import phases, quenched
from validation.stiffness import Solid
from validation.subject import Subject
from validation.trajectory import Course, Floats, follow

_EVERY = 20
_HIGH = 1.6  # times the guessed melting temperature
_N_NUMBERS = 8  # of a measurement, before the frame itself


@dataclass(frozen=True)
class MeltFreeze:
    """The frames of a run that were looked at, all arrays of shape (n_frames,).

    Attributes
    ----------
    times_ps, set_k, temperatures_k
        When, at which temperature of the thermostat, and how hot the frame was.
    energies_ev, forces_ev_per_ang, pressures_gpa
        Potential energy per atom, mean norm of the forces, and pressure without its kinetic part.
    fcc, hcp, bcc
        Fractions of the atoms in these crystals.
    reference
        The same by the reference, where there is one.
    """

    times_ps: Floats
    set_k: Floats
    temperatures_k: Floats
    energies_ev: Floats
    forces_ev_per_ang: Floats
    pressures_gpa: Floats
    fcc: Floats
    hcp: Floats
    bcc: Floats
    reference: Reference | None = None

    @property
    def crystal(self) -> Floats:
        """Fraction of the atoms in any of the three crystals."""
        return np.asarray(self.fcc + self.hcp + self.bcc)


@dataclass(frozen=True)
class Reference:
    """What a reference says of the same frames; arrays of shape (n_frames,).

    Attributes
    ----------
    energies_ev, forces_ev_per_ang, pressures_gpa
        As in `MeltFreeze`; pressures are not-a-number without a stress.
    force_errors_ev_per_ang
        Root mean square difference of the forces' components.
    """

    energies_ev: Floats
    forces_ev_per_ang: Floats
    pressures_gpa: Floats
    force_errors_ev_per_ang: Floats


def melt_freeze(subject: Subject, crystal: Solid) -> MeltFreeze:
    """Return a run up and down in temperature at zero pressure.

    Raises
    ------
    NoPropertyError
        If the calculator fails or gives no stress, or the potential explodes; if the reference fails.
    """
    asked, element = subject.conditions.melt_freeze, subject.element
    high_k = asked.high_k or round(_HIGH * crystal.melting_guess_k, -1)
    n_steps = asked.n_heat + asked.n_cool
    look_every = max(_EVERY, n_steps // asked.n_frames // _EVERY * _EVERY)
    duration = time_step(element)

    def set_k(step: int) -> float:
        return float(np.interp(step, [0, asked.n_heat, n_steps], [asked.low_k, high_k, asked.low_k]))

    def start() -> Atoms:
        frame = crystal.block().repeat(asked.n_repeat)
        set_velocities(frame, 2.0 * asked.low_k, np.random.default_rng(3))  # half becomes potential
        return frame

    def measure(frame: Atoms, step: int) -> list[float] | None:
        return [step, set_k(step), *_look(frame, subject)] if step % look_every == 0 else None

    course = Course(
        f"melt-freeze {asked.low_k:g}-{high_k:g} K, {asked.n_repeat} cubes, "
        f"{asked.n_heat}+{asked.n_cool} steps, {asked.n_frames} frames",
        n_steps,
        _EVERY,
        lambda frame, rng: constant_pressure(frame, element, asked.low_k, 0.0, rng),
        measure,
        high_k,
        before=lambda dynamics, step: dynamics.set_temperature(set_k(step)),
    )
    last, rows = follow(course, start, subject.calculator, subject.notebook, seed=3)
    steps, set_to, temperature, energy, force, pressure, fcc, hcp, bcc = rows[:, : 1 + _N_NUMBERS].T
    return MeltFreeze(
        steps * duration / (1000.0 * fs),
        set_to,
        temperature,
        energy,
        force,
        pressure,
        fcc,
        hcp,
        bcc,
        None if subject.reference is None else _referred(subject, course.name, rows, last),
    )


def _look(frame: Atoms, subject: Subject) -> list[float]:
    """Return a frame's numbers, and the frame itself: cell, positions and forces."""
    now = frame.copy()
    forces = np.array(frame.get_forces())
    energy, pressure = frame.get_potential_energy() / len(frame), _static_pressure_gpa(frame)
    seen = phases(quenched(now, subject.calculator))
    numbers = [frame.get_temperature(), energy, _mean_norm(forces), pressure, seen.fcc, seen.hcp, seen.bcc]
    return [*numbers, *now.cell.array.flat, *now.positions.flat, *forces.flat]


def _referred(subject: Subject, name: str, rows: Floats, like: Atoms) -> Reference:
    """Ask the reference about every frame; each answer is kept."""
    n, first = len(like), 1 + _N_NUMBERS
    found = []
    for i, row in enumerate(rows):
        key = f"{name}, {subject.reference_name}, frame {i}"
        kept = subject.notebook.load(key)
        if kept is None:
            cell, positions, forces = np.split(row[first:], [9, 9 + 3 * n])
            frame = Atoms(numbers=like.numbers, positions=positions.reshape(n, 3), pbc=True)
            frame.set_cell(cell.reshape(3, 3))
            kept = {"numbers": _ask(subject.reference, frame, forces.reshape(n, 3))}
            subject.notebook.save(key, kept)
        found.append(kept["numbers"])
    return Reference(*np.array(found).T)


def _ask(calculator: Any, frame: Atoms, forces: Floats) -> Floats:
    with foreign_code():
        frame.calc = calculator
        theirs = np.asarray(frame.get_forces())
        energy = frame.get_potential_energy() / len(frame)
        try:
            pressure = _static_pressure_gpa(frame)
        except PropertyNotImplementedError:
            pressure = math.nan
    apart = math.sqrt(float(np.square(theirs - forces).mean()))
    return np.array([energy, _mean_norm(theirs), pressure, apart])


def _static_pressure_gpa(frame: Atoms) -> float:
    return float(-np.trace(frame.get_stress(voigt=False)) / 3.0 / GPa)


def _mean_norm(forces: Floats) -> float:
    return float(np.linalg.norm(forces, axis=1).mean())
