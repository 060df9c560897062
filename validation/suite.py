"""The suite: every property in the order of computation, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from ase import Atoms

from validation import dynamics_rows, rows
from validation.conditions import Conditions, liquid_cost, melt_freeze_cost, melting_cost, no_cost
from validation.crystal_cells import FURTHER_STRUCTURES, STRUCTURES, Structure, typical_volume_ang3
from validation.elastic import STRAIN, Symmetry
from validation.evaluation import NoPropertyError, foreign_code
from validation.results import Findings
from validation.subject import Subject

SuiteName = Literal["quick", "full", "dynamics"]

COLD_CURVES = "cold curves"
_WIDE_STRAIN = 5e-3
_SMALL, _LARGE = 2, 27


@dataclass(frozen=True)
class Property:
    """One property of the suite.

    Attributes
    ----------
    name
        As people call it; results are kept under it.
    compute
        Returns what it finds; raises NoPropertyError with the reason where there is nothing.
    quick
        Whether it belongs to the quick suite as well.
    n_evaluations, n_atoms
        About how many energies, of cells of how many atoms: what it will cost.
    other_s
        Time that it takes besides, s.
    needs
        An optional package it cannot do without.
    version
        Raised when the same potential begins to give other numbers.
    runs
        Of a property of the suite ``dynamics``: which of the `Conditions` it follows.
    atom_steps
        Of the same: steps times atoms; of properties that share their runs, one has them all.
    refers
        Whether it asks the reference about frames of its run.
    """

    name: str
    compute: Callable[[Subject], Findings]
    quick: bool
    n_evaluations: int
    n_atoms: int
    other_s: float = 0.0
    needs: str = ""
    version: int = 1
    runs: str = ""
    atom_steps: Callable[[Conditions], float] = lambda _conditions: 0.0
    refers: bool = False


def properties(suite: SuiteName, only: Collection[str] = ()) -> list[Property]:
    """Return the properties of a suite in the order of computation; the cold curves come first.

    Parameters
    ----------
    only
        Beginnings of names: those properties, of whatever suite, and the cold curves, which all others need.
    """
    if only:
        return [p for p in PROPERTIES if p.name == COLD_CURVES or p.name.startswith(tuple(only))]
    if suite == "dynamics":
        return [p for p in PROPERTIES if p.name == COLD_CURVES or p.runs]
    return [p for p in PROPERTIES if not p.runs and (p.quick or suite == "full")]


def estimate_s(prop: Property, small_s: float, large_s: float) -> float:
    """Return about what a property takes, s.

    Parameters
    ----------
    small_s, large_s
        What one evaluation takes of the cells of `timing_cells`, s.
    """
    per_atom = max(0.0, (large_s - small_s) / (_LARGE - _SMALL))
    return prop.other_s + prop.n_evaluations * (small_s + per_atom * (prop.n_atoms - _SMALL))


def timing_cells(element: str) -> tuple[Atoms, Atoms]:
    """Return a small and a larger cell of FCC, to time a potential on."""
    fcc = STRUCTURES[0].cell((element,), typical_volume_ang3(element))
    return fcc.repeat((_SMALL, 1, 1)), fcc.repeat((3, 3, 3))


def examine(prop: Property, subject: Subject) -> Findings:
    """Compute one property; whatever goes wrong is the findings' remark."""
    started = time.perf_counter()
    try:
        with foreign_code():
            findings = prop.compute(subject)
    except NoPropertyError as error:
        findings = Findings(remark=str(error))
    return replace(findings, seconds=time.perf_counter() - started)


def _crystals(structures: tuple[Structure, ...]) -> Callable[[Subject], Findings]:
    return lambda subject: rows.cold_curves_rows(structures, subject)


def _elastic(structure: str, symmetry: Symmetry, strain: float = STRAIN) -> Callable[[Subject], Findings]:
    return lambda subject: rows.elastic_rows(structure, symmetry, strain, subject)


_DYNAMICS = tuple(
    Property(name, compute, False, 0, 1, needs="pyscal3", runs=runs, atom_steps=cost, refers=refers)
    for name, compute, runs, cost, refers in (
        ("liquid density", dynamics_rows.liquid_density_rows, "liquid", liquid_cost, False),
        ("liquid structure", dynamics_rows.liquid_structure_rows, "liquid", no_cost, False),
        ("melting", dynamics_rows.melting_rows, "melting", melting_cost, False),
        ("melt-freeze energy", dynamics_rows.melt_freeze_energy_rows, "melt_freeze", melt_freeze_cost, True),
        ("melt-freeze force", dynamics_rows.melt_freeze_force_rows, "melt_freeze", no_cost, True),
        ("melt-freeze pressure", dynamics_rows.melt_freeze_pressure_rows, "melt_freeze", no_cost, True),
        ("melt-freeze phases", dynamics_rows.melt_freeze_phases_rows, "melt_freeze", no_cost, False),
    )
)

PROPERTIES = (
    Property(COLD_CURVES, _crystals(STRUCTURES), True, 480, 2),
    Property("elastic constants, FCC", _elastic("FCC", "cubic"), True, 11, 1),
    Property("Bain path", rows.bain_path_rows, True, 30, 1),
    Property("vacancy", rows.vacancy_rows, True, 17, 107),
    Property("surfaces", rows.surfaces_rows, True, 35, 12),
    Property("further cold curves", _crystals(FURTHER_STRUCTURES), False, 340, 4),
    Property("elastic constants, FCC, wide", _elastic("FCC", "cubic", _WIDE_STRAIN), False, 11, 1),
    Property("elastic constants, BCC", _elastic("BCC", "cubic"), False, 11, 1),
    Property("elastic constants, HCP", _elastic("HCP", "hexagonal"), False, 25, 2),
    Property("slip path", rows.slip_path_rows, False, 194, 12),
    Property("twinning path", rows.twinning_path_rows, False, 448, 12),
    Property("interstitials", rows.interstitials_rows, False, 68, 257, 10.0),
    Property("phonons", rows.phonons_rows, False, 1, 256, 3.0, "phonopy"),
    *_DYNAMICS,
)
"""All properties. Costs were counted with an ensemble of aluminium; others need more steps or fewer."""
