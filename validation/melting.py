"""The melting temperature: crystal and liquid side by side, at constant enthalpy.

J. R. Morris, C. Z. Wang, K. M. Ho & C. T. Chan, Phys. Rev. B 49, 3109 (1994), with a piston along the
interfaces' normal in place of a fixed cell: whichever phase is not stable goes over into the other, and the
heat of that brings the temperature to where both are. What starts too far away melts or freezes as a whole;
the temperature where that ends is nearer, on the same side, and the search goes on from there. A drift of
the integrator's enthalpy only moves the interfaces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.units import fs

from validation.averages import block_error
from validation.ensembles import (
    constant_pressure,
    constant_volume,
    piston_along_z,
    pressed_along_z,
    set_velocities,
    time_step,
)
from validation.evaluation import NoPropertyError
from validation.phases import phases, quenched
from validation.stiffness import Solid
from validation.subject import Subject
from validation.trajectory import Course, Floats, follow

Ending = Literal["both", "all melted", "all frozen"]

MELTED_BELOW, FROZEN_ABOVE = 0.12, 0.86
"""Fractions of crystal; the interfaces' own atoms count as neither, so that half and half is some 0.42."""

_EVERY = 20
_LOOK_EVERY = 1000
_SETTLED = 0.4  # of the run, before its temperature is taken
_HOT = 2.2  # times the temperature, to melt one half
_ROOM = 1.06  # more volume for the half that melts
_SAME_LATTICE = 0.06  # a start farther from the result had a crystal of another width
_MORE_STARTS = 6
_STILL_CRYSTAL = 0.6
_SUPERHEATED = 0.85  # a crystal that melts at once is that much too hot
_FARTHER = (0.7, 1.3)  # where one side is not known yet
_GAP_ANG = 1.2


@dataclass(frozen=True)
class Coexistence:
    """One run.

    Attributes
    ----------
    start_k
        Where it began.
    ending
        What was there at its end.
    temperature_k, error_k
        Mean after it had settled and its standard error from blocks; where one phase is gone, the last
        temperature.
    times_ps, temperatures_k
        The whole run.
    crystal
        Fraction of crystal when last looked at.
    """

    start_k: float
    ending: Ending
    temperature_k: float
    error_k: float
    times_ps: Floats
    temperatures_k: Floats
    crystal: float


@dataclass(frozen=True)
class Melting:
    """The melting temperature at one pressure.

    Attributes
    ----------
    pressure_gpa
        Which.
    temperature_k, error_k
        Mean over the runs in which both phases were left, and its standard error: over the runs, or within
        them if that is larger.
    runs
        All, also those in which one phase was lost.
    """

    pressure_gpa: float
    temperature_k: float
    error_k: float
    runs: tuple[Coexistence, ...]


def melting(subject: Subject, crystal: Solid, pressure_gpa: float, guess_k: float) -> Melting:
    """Return the melting temperature at a pressure, sought from a guess.

    Raises
    ------
    NoPropertyError
        If no start leaves both phases, the calculator fails or gives no stress, or the potential explodes.
    """
    n_seeds = subject.conditions.melting.n_seeds
    search = _Search(guess_k)
    runs: list[Coexistence] = []
    good: list[Coexistence] = []
    for seed in range(n_seeds + _MORE_STARTS):
        run = coexistence(subject, crystal, pressure_gpa, search.start_k, seed)
        subject.notebook.say(
            f"melting at {pressure_gpa:g} GPa: from {run.start_k:.0f} K {run.ending}, "
            f"{run.temperature_k:.0f} K"
        )
        runs.append(run)
        near = abs(run.temperature_k - run.start_k) < _SAME_LATTICE * run.start_k
        good += [run] if run.ending == "both" and near else []
        if len(good) == n_seeds:
            break
        search.learn(run)
    if not good:
        story = ", ".join(f"from {run.start_k:.0f} K {run.ending}" for run in runs)
        raise NoPropertyError(f"crystal and liquid never stayed together: {story}")
    return Melting(pressure_gpa, *_mean(good), tuple(runs))


class _Search:
    """Where to start next, between what melted and what froze."""

    def __init__(self, start_k: float) -> None:
        self.start_k = start_k
        self._low_k, self._high_k = 0.0, math.inf

    def learn(self, run: Coexistence) -> None:
        """Take in how a run ended."""
        if run.ending == "all melted":
            self._high_k = min(self._high_k, run.start_k)
        if run.ending == "all frozen":
            self._low_k = max(self._low_k, run.start_k)
        self.start_k = run.temperature_k
        if not self._low_k < self.start_k < self._high_k:
            low = self._low_k or _FARTHER[0] * self._high_k
            high = self._high_k if self._high_k < math.inf else _FARTHER[1] * self._low_k
            self.start_k = 0.5 * (low + high)


def _mean(runs: list[Coexistence]) -> tuple[float, float]:
    values = np.array([run.temperature_k for run in runs])
    within = math.sqrt(float(np.mean([run.error_k**2 for run in runs])) / len(runs))
    over = float(values.std(ddof=1)) / math.sqrt(len(runs)) if len(runs) > 1 else 0.0
    return float(values.mean()), max(over, within)


def coexistence(
    subject: Subject, crystal: Solid, pressure_gpa: float, start_k: float, seed: int
) -> Coexistence:
    """Run crystal and liquid side by side from a temperature, at constant enthalpy.

    Raises
    ------
    NoPropertyError
        If the calculator fails or gives no stress, or the potential explodes.
    """
    asked, element = subject.conditions.melting, subject.element
    size = f"{asked.n_lateral}+{asked.n_along} cubes, {asked.n_prepare} steps"
    name = f"melting at {pressure_gpa:g} GPa, {start_k:.1f} K, seed {seed}, {size}"
    stiffness = crystal.bulk_modulus_gpa
    solid, found = _equilibrated(subject, crystal, pressure_gpa, start_k, seed, name)
    if found < _STILL_CRYSTAL:
        nothing = np.zeros(0)
        return Coexistence(start_k, "all melted", _SUPERHEATED * start_k, math.nan, nothing, nothing, found)
    joined = _half_melted(subject, solid, start_k, seed, name)
    both = _follow(
        subject,
        Course(
            f"{name}, pressed",
            asked.n_prepare // 2,
            _EVERY,
            lambda frame, _: pressed_along_z(frame, element, start_k, pressure_gpa, stiffness),
            lambda frame, _: (frame.get_temperature(),),
            start_k,
        ),
        joined,
        seed,
    )[0]

    def measure(frame: Atoms, step: int) -> tuple[float, float]:
        looked = step % _LOOK_EVERY == 0 or step >= asked.n_steps
        return frame.get_temperature(), _crystal(frame, subject) if looked else math.nan

    _, rows = _follow(
        subject,
        Course(
            name,
            asked.n_steps,
            _EVERY,
            lambda frame, _: piston_along_z(frame, element, pressure_gpa, stiffness),
            measure,
            start_k,
            until=lambda rows: _ending(_last_look(rows)) != "both",
        ),
        both,
        seed,
    )
    return _result(start_k, rows, time_step(element))


def _result(start_k: float, rows: Floats, step: float) -> Coexistence:
    temperatures, seen = rows[:, 0], _last_look(rows)
    times = np.arange(1, len(rows) + 1) * _EVERY * step / (1000.0 * fs)
    ending = _ending(seen)
    if ending == "both":
        settled = temperatures[int(_SETTLED * len(temperatures)) :]
    else:
        settled = temperatures[-_LOOK_EVERY // _EVERY // 2 :]
    return Coexistence(
        start_k, ending, float(settled.mean()), block_error(settled), times, temperatures, seen
    )


def _last_look(rows: Floats) -> float:
    looks = rows[:, 1][np.isfinite(rows[:, 1])]
    return float(looks[-1]) if len(looks) else 0.5


def _ending(crystal: float) -> Ending:
    if crystal < MELTED_BELOW:
        return "all melted"
    return "all frozen" if crystal > FROZEN_ABOVE else "both"


def _equilibrated(
    subject: Subject, crystal: Solid, pressure_gpa: float, start_k: float, seed: int, name: str
) -> tuple[Atoms, float]:
    """Return the crystal at temperature and pressure, its cell the mean of the run, and how much is left."""
    asked, element = subject.conditions.melting, subject.element

    def start() -> Atoms:
        frame = crystal.block().repeat((asked.n_lateral, asked.n_lateral, asked.n_along))
        set_velocities(frame, 2.0 * start_k, np.random.default_rng([seed, 1]))  # half becomes potential
        return frame

    frame, rows = follow(
        Course(
            f"{name}, crystal",
            asked.n_prepare,
            _EVERY,
            lambda frame, rng: constant_pressure(frame, element, start_k, pressure_gpa, rng),
            lambda frame, _: (frame.get_volume(),),
            2.0 * start_k,
        ),
        start,
        subject.calculator,
        subject.notebook,
        seed,
    )
    volume = float(rows[len(rows) // 3 :, 0].mean())
    left = _crystal(frame, subject)
    frame.set_cell(frame.cell * (volume / frame.get_volume()) ** (1.0 / 3.0), scale_atoms=True)
    n_layers = len(np.unique(crystal.block().positions[:, 2].round(6)))
    between_layers(frame, n_layers * asked.n_along)
    return frame, left


def _half_melted(subject: Subject, solid: Atoms, start_k: float, seed: int, name: str) -> Atoms:
    """Return the crystal with as much liquid on top of it, which was made much hotter and cooled."""
    asked, element = subject.conditions.melting, subject.element
    hot_k = _HOT * start_k

    def start() -> Atoms:
        frame = solid.copy()
        frame.set_cell(frame.cell * np.array([[1.0], [1.0], [_ROOM]]), scale_atoms=True)
        set_velocities(frame, hot_k, np.random.default_rng([seed, 2]))
        return frame

    liquid, _ = _follow(
        subject,
        Course(
            f"{name}, liquid",
            asked.n_prepare,
            _EVERY,
            lambda frame, rng: constant_volume(frame, element, hot_k, rng),
            lambda frame, _: (frame.get_temperature(),),
            hot_k,
            before=lambda dynamics, step: dynamics.set_temperature(
                hot_k if 2 * step < asked.n_prepare else start_k
            ),
        ),
        start(),
        seed,
    )
    return stacked(solid, liquid, start_k, np.random.default_rng([seed, 3]))


def stacked(crystal: Atoms, liquid: Atoms, temperature_k: float, rng: np.random.Generator) -> Atoms:
    """Return crystal and liquid of the same width on top of each other, with momenta at a temperature.

    The crystal ends half-way between two of its layers; gaps of 1.2 Å keep atoms apart across the seams until
    a piston closes them.
    """
    below, above = crystal.copy(), liquid.copy()
    below.wrap()
    above.wrap()
    above.positions[:, 2] += below.cell[2, 2] + _GAP_ANG
    frame = below + above
    cell = below.cell.array.copy()
    cell[2, 2] += above.cell[2, 2] + 2.0 * _GAP_ANG
    frame.set_cell(cell)
    set_velocities(frame, temperature_k, rng)
    return frame


def between_layers(frame: Atoms, n_layers: int) -> None:
    """Move a crystal along z until the cell ends half-way between two of its layers."""
    distance = frame.cell[2, 2] / n_layers
    turns = np.angle(np.exp(2j * np.pi * frame.positions[:, 2] / distance).mean()) / (2.0 * np.pi)
    frame.positions[:, 2] += (0.5 - turns) * distance


def _follow(subject: Subject, course: Course, start: Atoms, seed: int) -> tuple[Atoms, Floats]:
    return follow(course, start.copy, subject.calculator, subject.notebook, seed)


def _crystal(frame: Atoms, subject: Subject) -> float:
    return phases(quenched(frame, subject.calculator)).crystal
