"""Small cells, settings and stand-ins for pw.x that the tests of Quantum ESPRESSO share."""

from __future__ import annotations

import stat
from pathlib import Path

from ase import Atoms

from qm.espresso.config import EspressoConfig

GTH_AL = """Al GTH-PBE-q3 GTH-PBE
    2    1
     0.45000000    1    -7.55476126
    2
     0.48743529    2     6.95993832    -1.88883584
                                        2.43847659
     0.56218949    1     1.86529857
"""
"""Aluminium's entry in CP2K's GTH_POTENTIALS, for tests that do not need the package."""


def settings(pseudopotential: Path, **changes: object) -> EspressoConfig:
    """Return settings with which a cell of two atoms takes half a second of a core."""
    values: dict[str, object] = {
        "kind": "espresso",
        "pseudopotentials": {"Al": {"path": str(pseudopotential)}},
        "functional": "PBE",
        "wavefunction_cutoff_ry": 24.0,
        "k_spacing_per_ang": 0.9,
        "k_shift": [1, 1, 1],
        "smearing": "marzari-vanderbilt",
        "smearing_width_ry": 0.05,
        "version": "6.7MaX",
    }
    return EspressoConfig.model_validate(values | changes)


def skewed_cell() -> Atoms:
    """Return two aluminium atoms in a skewed cell without symmetry, under forces and stress."""
    cell = [[2.9, 0.1, 0.2], [-0.3, 2.8, 0.1], [0.2, 0.3, 4.2]]
    return Atoms("Al2", scaled_positions=[[0.02, 0.0, 0.03], [0.45, 0.56, 0.48]], cell=cell, pbc=True)


def program(path: Path, script: str) -> str:
    """Write a shell script in the place of pw.x and return its path."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
