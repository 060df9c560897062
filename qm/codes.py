"""The codes of density functional theory whose programs make labels, each with what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qm.cp2k import level as cp2k
from qm.cp2k.config import Cp2kConfig
from qm.cp2k.labeller import Cp2kLabeller
from qm.dft_config import DftConfig
from qm.espresso import level as espresso
from qm.espresso.config import EspressoConfig
from qm.espresso.labeller import EspressoLabeller
from qm.gpaw import level as gpaw
from qm.gpaw.config import GpawConfig
from qm.gpaw.labeller import GpawLabeller
from qm.label import Labeller
from qm.vasp import level as vasp
from qm.vasp.config import VaspConfig
from qm.vasp.labeller import VaspLabeller


class Code(NamedTuple):
    """One code; its functions take its own settings, and raise ValueError where these do not hold here.

    Attributes
    ----------
    labeller
        Makes the source of labels.
    resolved
        Returns settings that say all: absolute paths, checksums, and the program's version.
    program_version
        Asks the program for its version.
    """

    labeller: Callable[[Any], Labeller]
    resolved: Callable[[Any], Any]
    program_version: Callable[[Any], str]


CODES: Mapping[type[DftConfig], Code] = {
    EspressoConfig: Code(EspressoLabeller, espresso.resolved, espresso.program_version),
    Cp2kConfig: Code(Cp2kLabeller, cp2k.resolved, cp2k.program_version),
    GpawConfig: Code(GpawLabeller, gpaw.resolved, gpaw.program_version),
    VaspConfig: Code(VaspLabeller, vasp.resolved, vasp.program_version),
}
"""By the class of their settings."""
