"""The level of theory of labels by GPAW, and settings that state all of it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from qm.gpaw import run_gpaw
from qm.gpaw.config import GpawConfig
from qm.gpaw.inputs import checked_setup
from qm.gpaw.outputs import version
from qm.program_version import ask_version
from qm.pseudopotentials import all_resolved

CODE = "gpaw"
LEVEL_VERSION = "1"
"""Raised when the same settings begin to give other inputs; part of the fingerprint."""

SCRIPT_NAME = "run_gpaw.py"
SCRIPT = Path(run_gpaw.__file__).read_text()
"""The program that is run for each label."""


def level_of_theory(config: GpawConfig, setups: Mapping[str, bytes], program: str) -> dict[str, object]:
    """Return all that a label depends on; not how self-consistency is reached, nor where or how fast.

    Parameters
    ----------
    setups
        What their files hold, by element.
    program
        GPAW's version.
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
            "energy_threshold_ev_per_electron",
            "density_threshold_per_electron",
            "eigenstates_threshold_ev2_per_electron",
        },
    )
    ours = {"code": CODE, "level": LEVEL_VERSION, "version": program}
    checksums = {element: sha256(content).hexdigest() for element, content in setups.items()}
    return ours | {"setups": checksums} | settings


def resolved(config: GpawConfig) -> GpawConfig:
    """Return settings that say all: absolute paths, checksums, and GPAW's version.

    Raises
    ------
    ValueError
        If a setup is missing, has changed or does not fit, or there is no program to run.
    """
    for element, file in config.setups.items():
        checked_setup(element, file, config.functional)
    found = config.version or program_version(config)
    return config.model_copy(update={"setups": all_resolved(config.setups), "version": found})


def program_version(config: GpawConfig) -> str:
    """Return the version of the GPAW that the settings' interpreter has.

    Raises
    ------
    ValueError
        If there is no such interpreter, or it has no GPAW.
    """
    return ask_version(
        config, lambda command: [*command, SCRIPT_NAME, "version"], version, {SCRIPT_NAME: SCRIPT}
    )
