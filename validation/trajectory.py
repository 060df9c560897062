"""Long dynamics by any ASE calculator: kept from time to time, continued, and ended where they explode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.md.md import MolecularDynamics
from numpy.typing import NDArray

from validation.evaluation import NoPropertyError, foreign_code

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

RUNS_VERSION = 1
"""Raised when runs of the same name begin to be other runs."""

_KEEP_EVERY_S = 30.0
_SAY_EVERY_S = 60.0
_HOTTER_THAN_ASKED = 5.0
_SWELLING = (0.5, 2.0)
_FORCE_LIMIT = 1000.0  # eV/Å


class Notebook(Protocol):
    """Where long runs keep what they have, and say how far they are."""

    def load(self, name: str) -> Arrays | None:
        """Return what was kept under a name; ``None`` where nothing readable is."""

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name, in place of what was there."""

    def say(self, text: str) -> None:
        """Tell the user."""


class NoNotebook:
    """Keeps and says nothing."""

    def load(self, name: str) -> Arrays | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Course:
    """What a run of dynamics does.

    Attributes
    ----------
    name
        Under which it is kept; of everything that makes it another run, something must be in the name.
    n_steps, every
        How long, and after how many steps each time it is measured.
    dynamics
        Makes the integrator for a frame that has a calculator and momenta, and a random generator.
    measure
        Returns numbers of a frame after so many steps, always as many; ``None`` where nothing is to be kept.
    hottest_k
        Highest temperature that is meant, K; five times as much is an explosion.
    before
        Is given the integrator and the number of steps done, before each group of steps.
    until
        Is given all measurements so far; true ends the run.
    """

    name: str
    n_steps: int
    every: int
    dynamics: Callable[[Atoms, np.random.Generator], MolecularDynamics]
    measure: Callable[[Atoms, int], Sequence[float] | None]
    hottest_k: float
    before: Callable[[MolecularDynamics, int], None] = lambda _dynamics, _step: None
    until: Callable[[Floats], bool] = lambda _rows: False


def follow(
    course: Course, start: Callable[[], Atoms], calculator: Any, notebook: Notebook, seed: int
) -> tuple[Atoms, Floats]:
    """Return the last frame of a run and its measurements, shape (n, columns).

    What the notebook has of the run is not computed again. A run that goes on after an interruption draws
    other random numbers, and its barostat begins at rest: it is another trajectory of the same ensemble.

    Parameters
    ----------
    start
        Makes the first frame, with momenta; not called where the notebook has a later one.

    Raises
    ------
    NoPropertyError
        If the calculator fails, or the potential explodes.
    """
    kept = notebook.load(course.name)
    frame, rows, step = (start(), [], 0) if kept is None else _restored(kept)
    if step >= course.n_steps or (rows and course.until(np.array(rows))):
        return frame, np.array(rows)
    frame.calc = calculator
    with foreign_code():
        dynamics = course.dynamics(frame, np.random.default_rng([seed, step]))
        dynamics.attach(_refuse_force, 1, frame, course.name)
    volume = frame.get_volume()
    began = kept_at = said_at = time.monotonic()
    first_step = step
    while step < course.n_steps:
        course.before(dynamics, step)
        with foreign_code(), np.errstate(all="ignore"):
            dynamics.run(course.every)
        step += course.every
        _refuse_explosion(frame, course, step, volume)
        measured = course.measure(frame, step)
        if measured is not None:
            rows.append([float(value) for value in measured])
        if measured is not None and course.until(np.array(rows)):
            break
        now = time.monotonic()
        if now - kept_at > _KEEP_EVERY_S:
            notebook.save(course.name, _arrays(frame, rows, step))
            kept_at = now
        if now - said_at > _SAY_EVERY_S:
            left_s = (now - began) / (step - first_step) * (course.n_steps - step)
            notebook.say(f"{course.name}: step {step} of {course.n_steps}, {left_s / 60.0:.0f} min left")
            said_at = now
    notebook.save(course.name, _arrays(frame, rows, step))
    return frame, np.array(rows)


def _arrays(frame: Atoms, rows: list[list[float]], step: int) -> dict[str, NDArray[Any]]:
    return {
        "numbers": frame.numbers,
        "positions": frame.positions,
        "momenta": frame.get_momenta(),
        "cell": frame.cell.array,
        "rows": np.array(rows, dtype=np.float64),
        "step": np.array(step),
    }


def _restored(kept: Arrays) -> tuple[Atoms, list[list[float]], int]:
    frame = Atoms(numbers=kept["numbers"], positions=kept["positions"], cell=kept["cell"], pbc=True)
    frame.set_momenta(kept["momenta"])
    return frame, kept["rows"].tolist(), int(kept["step"])


def _refuse_force(frame: Atoms, name: str) -> None:
    """Stop at the first force that no matter has, before atoms fly apart."""
    largest = float(np.abs(frame.get_forces()).max())
    if not largest <= _FORCE_LIMIT:
        raise NoPropertyError(f"the potential explodes in {name}: a force of {largest:.3g} eV/Å")


def _refuse_explosion(frame: Atoms, course: Course, step: int, volume: float) -> None:
    with foreign_code(), np.errstate(all="ignore"):
        temperature = float(frame.get_temperature())
        finite = math.isfinite(frame.get_potential_energy() + temperature + frame.get_volume())
    where = f"in {course.name} after {step} steps"
    if not finite:
        raise NoPropertyError(f"the potential explodes {where}: numbers that are not finite")
    if temperature > _HOTTER_THAN_ASKED * course.hottest_k:
        raise NoPropertyError(f"the potential explodes {where}: {temperature:.3g} K")
    swelling = frame.get_volume() / volume
    if not _SWELLING[0] < swelling < _SWELLING[1]:
        raise NoPropertyError(f"no condensed phase {where}: the volume is {swelling:.2f} times the first")
