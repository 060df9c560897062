"""Which crystal each atom is in, by adaptive common-neighbour analysis with pyscal (an optional extra).

A. Stukowski, Modelling Simul. Mater. Sci. Eng. 20, 045021 (2012). Near melting, thermal motion hides half of
a crystal from the analysis; `quenched` takes it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import FIRE

from validation.evaluation import NoPropertyError, foreign_code

QUENCH_STEPS = 25
_SMALL_FORCE = 0.01  # eV/Å
_CODES = {1: "FCC", 2: "HCP", 3: "BCC"}


@dataclass(frozen=True)
class Phases:
    """Fractions of the atoms whose neighbourhood is that of a crystal."""

    fcc: float
    hcp: float
    bcc: float

    @property
    def crystal(self) -> float:
        """Fraction in any of the three."""
        return self.fcc + self.hcp + self.bcc

    @property
    def other(self) -> float:
        """Fraction in none: liquid, interfaces, defects."""
        return 1.0 - self.crystal


def phases(frame: Atoms) -> Phases:
    """Return what a frame consists of; it may be smaller than its atoms' neighbourhoods.

    Raises
    ------
    NoPropertyError
        If pyscal3 is not installed.
    """
    try:
        from pyscal3 import common_neighbor_analysis
    except ImportError:
        raise NoPropertyError("pyscal3 is not installed: pip install 'smelter[validation]'") from None
    bare = Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    bare.wrap()
    with foreign_code():
        common_neighbor_analysis(bare)
    codes = bare.arrays["pyscal_structure"]
    share = {name: float(np.mean(codes == code)) for code, name in _CODES.items()}
    return Phases(share["FCC"], share["HCP"], share["BCC"])


def quenched(frame: Atoms, calculator: Any) -> Atoms:
    """Return a frame after 25 steps downhill, in which the crystals that thermal motion hid can be seen.

    Raises
    ------
    NoPropertyError
        If the calculator fails.
    """
    moving = Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    moving.calc = calculator
    with foreign_code(), np.errstate(all="ignore"):
        FIRE(moving, logfile=None).run(fmax=_SMALL_FORCE, steps=QUENCH_STEPS)
    return moving
