"""What the long runs of the property suite need beside a potential: speed, a notebook, a reference."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from ase import Atoms

from potentials.calculator import EnsembleCalculator
from potentials.ensemble import AniEnsemble
from validation.conditions import Conditions
from validation.evaluation import NoPropertyError, energy
from validation.subject import Subject
from validation.suite import timing_cells
from validation.trajectory import NoNotebook
from workflow.validating.notebook import DirectoryNotebook
from workflow.validating.sources import Source
from workflow.validating.store import Store, runs_fingerprint

TOO_SLOW = (
    "not run: this label source takes too long for dynamics; it is asked about frames of the others' runs"
)

_ENOUGH_S = 1.0
_TRIES = 10  # on a busy machine few are undisturbed
_SLOW_S = 0.3


@dataclass(frozen=True)
class Dynamics:
    """What runs of dynamics are asked for.

    Attributes
    ----------
    conditions
        Temperatures, pressures, lengths.
    only
        Beginnings of the names of the properties that are meant, instead of a suite.
    reference
        Label source that is asked about frames of the runs.
    say
        Is told how far a run is.
    """

    conditions: Conditions = field(default_factory=Conditions)
    only: tuple[str, ...] = ()
    reference: Source | None = None
    say: Callable[[str], None] = lambda _text: None


def dynamic_subject(source: Source, subject: Subject, dynamics: Dynamics, store: Store | None) -> Subject:
    """Return a subject for long runs: the fast calculator, and a notebook in the store."""
    reference = None if source.kind == "reference" else dynamics.reference
    directory = None
    if store is not None:
        directory = store.runs(source.name, subject.element, runs_fingerprint(source.fingerprint, subject))
    return replace(
        subject,
        calculator=fast_calculator(source.calculator),
        notebook=NoNotebook() if directory is None else DirectoryNotebook(directory, dynamics.say),
        reference=None if reference is None else reference.calculator,
        reference_name="" if reference is None else f"reference {reference.fingerprint[:12]}",
    )


def fast_calculator(calculator: Any) -> Any:
    """Return an ensemble's calculator in single precision, twice as fast; any other as it is.

    Its forces are exact to some 1e-5 eV/Å, which thermal motion hides; energies are summed in double.
    """
    if isinstance(calculator, EnsembleCalculator) and isinstance(calculator.potential, AniEnsemble):
        return EnsembleCalculator(calculator.potential.to(dtype=torch.float32), forces_std=False)
    return calculator


def too_slow(source: Source, element: str) -> bool:
    """Return whether a label source takes so long for two atoms that it is none for dynamics."""
    if source.kind != "reference":
        return False
    try:
        return seconds(source.calculator, timing_cells(element)[0]) > _SLOW_S
    except NoPropertyError:
        return False  # the property itself will say what is wrong


def atom_step_s(source: Source, element: str) -> float:
    """Return about what a step of dynamics takes for each atom, s.

    Raises
    ------
    NoPropertyError
        If the calculator fails.
    """
    calculator, cell = fast_calculator(source.calculator), timing_cells(element)[1]
    if seconds(calculator, cell) < _SLOW_S:
        cell = cell.repeat(2)
    return seconds(calculator, cell) / len(cell)


def seconds(calculator: Any, cell: Atoms) -> float:
    """Return what one evaluation takes, s; where it is quick, the best of ten.

    Raises
    ------
    NoPropertyError
        If it fails.
    """
    times: list[float] = []
    while len(times) < _TRIES and sum(times) < _ENOUGH_S:
        started = time.perf_counter()
        frame = cell.copy()
        frame.set_cell(frame.cell * (1.0 + 1e-5 * len(times)), scale_atoms=True)  # else it would remember
        frame.positions += 1e-3 * (len(times) + 1)
        energy(calculator, frame)
        times.append(time.perf_counter() - started)
    return min(times)
