"""The level of theory of labels by CP2K, and settings that state all of it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from qm.cp2k.config import Cp2kConfig
from qm.cp2k.entries import read_entries
from qm.cp2k.outputs import version
from qm.program_version import ask_version
from qm.pseudopotentials import all_resolved

CODE = "cp2k"
LEVEL_VERSION = "1"
"""Raised when the same settings begin to give other inputs; part of the fingerprint."""


def level_of_theory(
    config: Cp2kConfig, basis_sets: Mapping[str, str], pseudopotentials: Mapping[str, str], program: str
) -> dict[str, object]:
    """Return all that a label depends on; not how self-consistency is reached, nor where or how fast.

    Parameters
    ----------
    basis_sets, pseudopotentials
        The entries of CP2K's files, by element; of the files nothing else counts.
    program
        The program's version.
    """
    settings = config.model_dump(
        mode="json",
        include={
            "functional",
            "cutoff_ry",
            "relative_cutoff_ry",
            "k_spacing_per_ang",
            "k_shift",
            "smearing",
            "electronic_temperature_k",
            "starting_moments_ub",
            "charge_e",
            "scf_threshold",
            "accuracy",
        },
    )
    ours = {"code": CODE, "level": LEVEL_VERSION, "version": program}
    entries = {"basis_sets": _checksums(basis_sets), "pseudopotentials": _checksums(pseudopotentials)}
    return ours | entries | settings


def _checksums(entries: Mapping[str, str]) -> dict[str, str]:
    return {element: sha256(entry.encode()).hexdigest() for element, entry in entries.items()}


def resolved(config: Cp2kConfig) -> Cp2kConfig:
    """Return settings that say all: absolute paths, checksums, and the program's version.

    Raises
    ------
    ValueError
        If a file is missing, has changed or lacks an entry, or there is no program to run.
    """
    read_entries(config.basis_sets)
    read_entries(config.pseudopotentials)
    files: dict[str, object] = {
        "basis_sets": all_resolved(config.basis_sets),
        "pseudopotentials": all_resolved(config.pseudopotentials),
    }
    return config.model_copy(update={**files, "version": config.version or program_version(config)})


def program_version(config: Cp2kConfig) -> str:
    """Return the version that CP2K says it is.

    Raises
    ------
    ValueError
        If there is no such program, or it does not say.
    """
    return ask_version(config, lambda command: [*command, "--version"], version)
