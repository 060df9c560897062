"""Settings and data that the tests of CP2K share."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from espresso_cases import GTH_AL, skewed_cell

from qm.cp2k.config import Cp2kConfig

BASIS_SETS = """# Aluminium with one function for s and one for p, of two Gaussians; and another element
H  TINY-GTH
 1
 1 0 0 1 1
   0.5  1.0
Al TINY-GTH-q3 TINY-GTH
 1
 2 0 1 2 1 1
   0.90  -0.30  -0.05   # comments do not count
   0.18   0.95   0.99
"""

FAST = {"cutoff_ry": 100.0, "relative_cutoff_ry": 30.0, "accuracy": 1e-10}
GAMMA = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0]}
"""One k-point, for speed."""


def settings(data: Path, **changes: object) -> Cp2kConfig:
    """Return settings with which :func:`loose_cell` takes two seconds of a core."""
    values: dict[str, object] = {
        "kind": "cp2k",
        "basis_sets": {"Al": {"path": str(data / "BASIS"), "name": "TINY-GTH"}},
        "pseudopotentials": {"Al": {"path": str(data / "POTENTIALS"), "name": "GTH-PBE"}},
        "functional": "PBE",
        "k_spacing_per_ang": 1.2,
        "k_shift": [1, 1, 1],
        "smearing": "fermi-dirac",
        "electronic_temperature_k": 5000.0,
        "version": "2023.1",
    }
    return Cp2kConfig.model_validate(values | FAST | changes)


def loose_cell() -> Atoms:
    """Return two aluminium atoms in a skewed cell without symmetry, with room between them."""
    frame = skewed_cell()
    frame.set_cell(1.15 * frame.cell.array, scale_atoms=True)
    return frame


def write_data(directory: Path) -> Path:
    """Write a basis set and a pseudopotential of aluminium for :func:`settings`; return the directory."""
    (directory / "BASIS").write_text(BASIS_SETS)
    (directory / "POTENTIALS").write_text(f"#\n{GTH_AL}#\n")
    return directory
