"""Settings and a setup that the tests of GPAW share."""

from __future__ import annotations

import gzip
import os
import subprocess
from functools import cache
from pathlib import Path

from qm.gpaw.config import GpawConfig

DEBIAN = Path("/usr/share/gpaw-setups/Al.PBE.gz")
PYTHON = os.environ.get("SMELTER_GPAW_PYTHON", "python3")
"""An interpreter that may have GPAW."""

HEADER = b'<?xml version="1.0"?>\n<paw_setup version="0.6">\n  <xc_functional type="GGA" name="PBE"/>\n'
"""How a setup begins; enough where none is used."""
GAMMA = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0]}
"""One k-point, for speed."""


def settings(setup: Path, **changes: object) -> GpawConfig:
    """Return settings with which a cell of two atoms takes a second and a half of a core."""
    values: dict[str, object] = {
        "kind": "gpaw",
        "setups": {"Al": {"path": str(setup)}},
        "functional": "PBE",
        "cutoff_ev": 200.0,
        "k_spacing_per_ang": 1.2,
        "k_shift": [1, 1, 1],
        "smearing": "fermi-dirac",
        "smearing_width_ev": 0.5,
        "command": PYTHON,
        "version": "26.7.0",
    }
    return GpawConfig.model_validate(values | changes)


def write_setup(directory: Path) -> Path:
    """Write the beginning of a setup, compressed, and return where."""
    path = directory / "Al.PBE.gz"
    path.write_bytes(gzip.compress(HEADER))
    return path


@cache
def gpaw_version() -> str | None:
    """Return the version of the GPAW there is; ``None`` where there is none."""
    words = [PYTHON, "-c", "import gpaw; print(gpaw.__version__)"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
