"""The potential that is looked at, its element, and the crystals that were found for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from validation.conditions import Conditions
from validation.crystal_cells import FURTHER_STRUCTURES, STRUCTURES
from validation.evaluation import NoPropertyError
from validation.results import Findings
from validation.trajectory import NoNotebook, Notebook

_STRUCTURES = {structure.name: structure for structure in (*STRUCTURES, *FURTHER_STRUCTURES)}


@dataclass(frozen=True)
class Lattice:
    """An equilibrium crystal: volume per atom in Å³, and c/a where it is free."""

    structure: str
    volume_ang3: float
    c_over_a: float | None

    @property
    def lattice_ang(self) -> float:
        """Lattice constant a, Å."""
        return _STRUCTURES[self.structure].lattice_ang(self.volume_ang3, self.c_over_a)


@dataclass(frozen=True)
class Subject:
    """An ASE calculator and an element; what later properties need of the cold curves comes along.

    Attributes
    ----------
    lattices
        The crystals that have an equilibrium, by name.
    remarks
        Why the others have none, by name.
    conditions
        What runs of dynamics are asked to do.
    notebook
        Where they keep what they have.
    reference, reference_name
        Calculator that frames of a run are also given to, if there is one, and under which
        name its answers are kept.
    """

    calculator: Any
    element: str
    lattices: Mapping[str, Lattice] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    notebook: Notebook = field(default_factory=NoNotebook)
    reference: Any = None
    reference_name: str = ""

    def with_crystals(self, findings: Findings) -> Subject:
        """Return the subject with the crystals that the cold curves found."""
        values = {quantity.name: quantity for quantity in findings.quantities}
        lattices, remarks = {}, {}
        for name in _STRUCTURES:
            volume, ratio = values.get(f"{name}: volume"), values.get(f"{name}: c/a")
            if volume is not None and math.isfinite(volume.value):
                lattices[name] = Lattice(name, volume.value, None if ratio is None else ratio.value)
            else:
                remarks[name] = volume.remark if volume is not None else findings.remark
        return replace(self, lattices=lattices, remarks=remarks)

    def lattice(self, structure: str) -> Lattice:
        """Return an equilibrium crystal.

        Raises
        ------
        NoPropertyError
            If there is none.
        """
        if structure not in self.lattices:
            raise NoPropertyError(
                f"no {structure} crystal of {self.element}: {self.remarks.get(structure, 'not looked for')}"
            )
        return self.lattices[structure]
