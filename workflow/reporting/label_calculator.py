"""A label source as an ASE calculator, for its own cold curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from qm.label import LabelFailure, Labeller


class LabelCalculator(Calculator):  # type: ignore[misc]
    """Energy, forces and, where there is one, stress of a label source; failures raise CalculationFailed."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, source: Labeller) -> None:
        super().__init__()
        self._source = source

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Label the frame in a scratch directory of its own."""
        super().calculate(atoms, properties, system_changes)
        with TemporaryDirectory() as scratch:
            label = self._source.label(self.atoms, Path(scratch))
        if isinstance(label, LabelFailure):
            raise CalculationFailed(f"{label.reason}: {label.message}")
        self.results = {"energy": label.energy_ev, "forces": label.forces_ev_per_ang}
        if label.stress_ev_per_ang3 is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(label.stress_ev_per_ang3)
