"""Labels, and an ASE calculator, from the embedded-atom functions of Zhou, Johnson & Wadley."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, InputError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from qm.checks import input_problem
from qm.config import EamConfig
from qm.eam_functions import OUTER_START, SWITCH_END, SWITCH_START, evaluate
from qm.eam_parameters import PARAMETER_SETS, ParameterSet
from qm.fingerprint import fingerprint
from qm.label import Label, LabelFailure

CODE = "zhou-eam"
VERSION = "1"
"""Raised when the same settings begin to give other numbers; part of the fingerprint."""


class EamLabeller:
    """Labels by the analytic embedded-atom functions, in this process; a label takes milliseconds.

    The stress is given for frames that are periodic in three directions.
    """

    def __init__(self, config: EamConfig) -> None:
        self._metals = PARAMETER_SETS[config.parameters]
        self._fingerprint = fingerprint(
            {
                "code": CODE,
                "version": VERSION,
                "coefficients": {symbol: astuple(metal) for symbol, metal in self._metals.items()},
                "ends": [SWITCH_START, SWITCH_END, OUTER_START],
            }
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the coefficients, the way the functions end, and the version of this file."""
        return self._fingerprint

    @property
    def elements(self) -> frozenset[str]:
        """The 16 metals."""
        return frozenset(self._metals)

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:  # noqa: ARG002
        """Label one frame; nothing is written to ``scratch``."""
        started = time.perf_counter()
        problem = input_problem(frame, self.elements)
        if problem is not None:
            return LabelFailure("bad_input", problem)
        try:
            result = evaluate(frame, self._metals)
        except ValueError as error:
            return LabelFailure("bad_input", str(error))
        stress = result.virial_ev / frame.get_volume() if frame.pbc.all() else None
        wall_s = time.perf_counter() - started
        return Label(
            energy_ev=result.energy_ev,
            forces_ev_per_ang=result.forces_ev_per_ang,
            stress_ev_per_ang3=stress,
            fingerprint=self._fingerprint,
            code=CODE,
            version=VERSION,
            wall_s=wall_s,
            core_s=wall_s,
            host=platform.node(),
        )

    def close(self) -> None:
        """Nothing to end."""


class ZhouEam(Calculator):  # type: ignore[misc]
    """The same functions as an ASE calculator, for relaxations, cold curves and examples.

    >>> from ase.build import bulk
    >>> crystal = bulk("Al", a=4.0817)
    >>> crystal.calc = ZhouEam()
    >>> round(crystal.get_potential_energy(), 3)
    -3.58
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, parameters: ParameterSet = "2001") -> None:
        super().__init__()
        self._metals = PARAMETER_SETS[parameters]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results``; the stress only for frames periodic in three directions."""
        super().calculate(atoms, properties, system_changes)
        try:
            result = evaluate(self.atoms, self._metals)
        except ValueError as error:
            raise InputError(str(error)) from error
        results: dict[str, Any] = {
            "energy": result.energy_ev,
            "free_energy": result.energy_ev,
            "energies": result.energies_ev,
            "forces": result.forces_ev_per_ang,
        }
        if np.all(self.atoms.pbc):
            results["stress"] = full_3x3_to_voigt_6_stress(result.virial_ev / self.atoms.get_volume())
        self.results = results
