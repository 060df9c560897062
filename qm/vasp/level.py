"""The level of theory of labels by VASP, and settings that state all of it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from qm.program_version import ask_version
from qm.vasp.config import VaspConfig
from qm.vasp.outputs import version
from qm.vasp.potcar import Potcar, read_potcars

CODE = "vasp"
LEVEL_VERSION = "1"
"""Raised when the same settings begin to give other inputs; part of the fingerprint."""


def level_of_theory(config: VaspConfig, potcars: Mapping[str, Potcar], program: str) -> dict[str, object]:
    """Return all that a label depends on; not how self-consistency is reached, nor where or how fast.

    Parameters
    ----------
    potcars
        By element; they count by their checksums.
    program
        The program's version.
    """
    settings = config.model_dump(
        mode="json",
        include={
            "functional",
            "cutoff_ev",
            "k_spacing_per_ang",
            "k_shift",
            "smearing",
            "smearing_width_ev",
            "starting_moments_ub",
            "charge_e",
            "precision",
            "scf_threshold_ev_per_atom",
        },
    )
    ours = {"code": CODE, "level": LEVEL_VERSION, "version": program}
    checksums = {element: sha256(potcar.content).hexdigest() for element, potcar in potcars.items()}
    incar = {name.strip().upper(): value for name, value in config.incar.items()}
    return ours | {"pseudopotentials": checksums, "incar": incar} | settings


def resolved(config: VaspConfig) -> VaspConfig:
    """Return settings that say all: absolute paths, checksums and titles, and the program's version.

    Raises
    ------
    ValueError
        If a POTCAR is missing, has changed or is another than it should be, or there is no program to run.
    """
    potcars = read_potcars(config)
    files = {
        element: file.resolved(element).model_copy(update={"title": potcars[element].title})
        for element, file in config.pseudopotentials.items()
    }
    found = config.version or program_version(config)
    return config.model_copy(update={"pseudopotentials": files, "version": found})


def program_version(config: VaspConfig) -> str:
    """Return the version that VASP prints when it starts; without a POSCAR it then ends.

    Raises
    ------
    ValueError
        If there is no such program, or it does not say.
    """
    return ask_version(config, lambda command: command, version, {"INCAR": "SYSTEM = version\n"})
