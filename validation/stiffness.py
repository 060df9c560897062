"""The lowest crystal of a subject, how stiff it is, and what that says of its melting temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ase import Atoms
from ase.build import bulk
from ase.units import GPa, kB

from validation.crystal_cells import STRUCTURES
from validation.elastic import elastic_constants
from validation.evaluation import NoPropertyError, energy
from validation.subject import Lattice, Subject

_CLOSE_PACKED = ("FCC", "BCC", "HCP")
_STRAIN = 5e-3  # rough but safe in single precision
_MELTING_OF_SHEAR = 0.026


@dataclass(frozen=True)
class Solid:
    """A crystal that can be melted.

    Attributes
    ----------
    element, lattice
        Of what.
    bulk_modulus_gpa, shear_modulus_gpa
        At rest; the shear modulus is Voigt's mean over directions.
    """

    element: str
    lattice: Lattice
    bulk_modulus_gpa: float
    shear_modulus_gpa: float

    @property
    def melting_guess_k(self) -> float:
        """Return 0.026 GΩ/k_B: Lindemann's rule, within a third for Al, Ni, Cu, Ag, Pt, Au and Pb."""
        return float(_MELTING_OF_SHEAR * self.shear_modulus_gpa * GPa * self.lattice.volume_ang3 / kB)

    def guess_at_k(self, pressure_gpa: float) -> float:
        """Return about the melting temperature at a pressure; metals gain some 4.5 T P/B."""
        return self.melting_guess_k * (1.0 + 4.5 * pressure_gpa / self.bulk_modulus_gpa)

    def block(self) -> Atoms:
        """Return the smallest cell with right angles, its axes along x, y, z."""
        a, name = self.lattice.lattice_ang, self.lattice.structure
        if name == "HCP":
            return bulk(self.element, "hcp", a=a, covera=self.lattice.c_over_a, orthorhombic=True)
        return bulk(self.element, name.lower(), a=a, cubic=True)


def solid(subject: Subject) -> Solid:
    """Return the lowest of FCC, BCC and HCP with its moduli.

    Raises
    ------
    NoPropertyError
        If there is none of them, or it is not stable.
    """
    found = [subject.lattices[name] for name in _CLOSE_PACKED if name in subject.lattices]
    if not found:
        return _none(subject)
    cells = {
        lattice.structure: next(s for s in STRUCTURES if s.name == lattice.structure).cell(
            (subject.element,), lattice.volume_ang3, lattice.c_over_a
        )
        for lattice in found
    }
    lattice = min(
        found, key=lambda row: energy(subject.calculator, cells[row.structure]).ev / len(cells[row.structure])
    )
    name = lattice.structure
    constants = elastic_constants(
        subject.calculator, cells[name], "hexagonal" if name == "HCP" else "cubic", _STRAIN
    )
    c = constants.gpa
    c13, c33 = c.get("C13", c["C12"]), c.get("C33", c["C11"])
    c66 = c["C44"] if name != "HCP" else 0.5 * (c["C11"] - c["C12"])
    shear = (2.0 * c["C11"] + c33 - c["C12"] - 2.0 * c13 + 3.0 * (2.0 * c["C44"] + c66)) / 15.0
    if constants.unstable or not (math.isfinite(shear) and shear > 0.0):
        raise NoPropertyError(f"{name} of {subject.element} is not stable: {constants.unstable or shear}")
    return Solid(subject.element, lattice, constants.bulk_modulus_gpa, shear)


def _none(subject: Subject) -> Solid:
    reasons = "; ".join(f"{name}: {subject.remarks.get(name, 'not looked for')}" for name in _CLOSE_PACKED)
    raise NoPropertyError(f"no crystal of {subject.element} to melt ({reasons})")
