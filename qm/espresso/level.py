"""The level of theory of labels by Quantum ESPRESSO, and settings that state all of it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from qm.espresso.config import EspressoConfig
from qm.espresso.outputs import version
from qm.program_version import ask_version
from qm.pseudopotentials import all_resolved

CODE = "espresso"
LEVEL_VERSION = "1"
"""Raised when the same settings begin to give other inputs; part of the fingerprint."""


def level_of_theory(
    config: EspressoConfig, pseudopotentials: Mapping[str, bytes], program: str
) -> dict[str, object]:
    """Return all that a label depends on; not how self-consistency is reached, nor where or how fast.

    Parameters
    ----------
    pseudopotentials
        What their files hold, by element.
    program
        The program's version.
    """
    settings = config.model_dump(
        mode="json",
        include={
            "functional",
            "wavefunction_cutoff_ry",
            "density_cutoff_ry",
            "k_spacing_per_ang",
            "k_shift",
            "smearing",
            "smearing_width_ry",
            "starting_magnetization",
            "charge_e",
            "system",
            "scf_threshold_ry_per_atom",
        },
    )
    settings["density_cutoff_ry"] = config.density_cutoff_ry or 4.0 * config.wavefunction_cutoff_ry
    ours = {"code": CODE, "level": LEVEL_VERSION, "version": program}
    checksums = {element: sha256(content).hexdigest() for element, content in pseudopotentials.items()}
    return ours | {"pseudopotentials": checksums} | settings


def resolved(config: EspressoConfig) -> EspressoConfig:
    """Return settings that say all: absolute paths, checksums, and the program's version.

    Raises
    ------
    ValueError
        If a pseudopotential is missing or has changed, or there is no program to run.
    """
    pseudopotentials = all_resolved(config.pseudopotentials)
    found = config.version or program_version(config)
    return config.model_copy(update={"pseudopotentials": pseudopotentials, "version": found})


def program_version(config: EspressoConfig) -> str:
    """Return the version that pw.x says it is, started alone and without an input.

    Raises
    ------
    ValueError
        If there is no such program, or it does not say.
    """
    return ask_version(config, lambda command: [command[0], "-in", "empty.pwi"], version, {"empty.pwi": ""})
