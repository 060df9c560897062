"""Writes the input of GPAW: the frame and the calculator's parameters, as JSON."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

from ase import Atoms

from qm.gpaw.config import GpawConfig
from qm.gpaw.repair import Way
from qm.kpoints import mesh, mesh_points
from qm.pseudopotentials import PseudopotentialConfig

GZIP = b"\x1f\x8b"
"""How compressed files begin."""

_FUNCTIONAL = re.compile(rb'<xc_functional\s[^>]*name="([^"]+)"')
_SAME_FUNCTIONAL = {"PW": "LDA"}


def write_input(path: Path, frame: Atoms, config: GpawConfig, way: Way, setups: dict[str, str]) -> None:
    """Write the input for one frame and one way to self-consistency; only the way differs between tries.

    Parameters
    ----------
    setups
        Files beside the input, by element.
    """
    atoms: dict[str, Any] = {
        "numbers": frame.numbers.tolist(),
        "positions": frame.positions.tolist(),
        "cell": frame.cell.array.tolist(),
    }
    moments = config.starting_moments_ub
    if moments is not None:
        atoms["magmoms"] = [moments.get(symbol, 0.0) for symbol in frame.get_chemical_symbols()]
    parameters = _parameters(frame, config, way)
    path.write_text(json.dumps({"frame": atoms, "parameters": parameters, "setups": setups}, indent=1))


def _parameters(frame: Atoms, config: GpawConfig, way: Way) -> dict[str, Any]:
    counts = mesh(frame, config.k_spacing_per_ang)
    parameters: dict[str, Any] = {
        "mode": {"name": "pw", "ecut": config.cutoff_ev},
        "xc": config.functional,
        "kpts": mesh_points(counts, config.k_shift).tolist(),
        "charge": config.charge_e,
        "spinpol": config.starting_moments_ub is not None,
        "occupations": _occupations(config),
        "symmetry": {"point_group": False},  # frames have none, and meshes need not share theirs
        "convergence": {
            "energy": config.energy_threshold_ev_per_electron,
            "density": config.density_threshold_per_electron,
            "eigenstates": config.eigenstates_threshold_ev2_per_electron,
        },
        "maxiter": way.max_steps,
        "mixer": {"beta": way.beta, "nmaxold": way.history, "weight": way.damping},
        "eigensolver": {"name": "dav", "niter": way.davidson_steps},
    }
    if way.bands is not None:
        parameters["nbands"] = f"{way.bands}%"
    return parameters


def _occupations(config: GpawConfig) -> dict[str, Any]:
    if config.smearing == "none":
        return {"name": "fermi-dirac", "width": 0.0}
    return {"name": config.smearing, "width": config.smearing_width_ev}


def checked_setup(element: str, file: PseudopotentialConfig, functional: str) -> bytes:
    """Return what a setup's file holds.

    Raises
    ------
    ValueError
        If it is missing, has changed, is no setup, or is for another functional.
    """
    content = file.read(element)
    try:
        text = gzip.decompress(content) if content.startswith(GZIP) else content
    except (OSError, EOFError) as error:
        raise ValueError(f"{file.what} of {element}: {file.path}: {error}") from None
    found = _FUNCTIONAL.search(text)
    if found is None:
        raise ValueError(f"{file.what} of {element}: {file.path} is no PAW setup")
    name = found[1].decode(errors="replace")
    if _SAME_FUNCTIONAL.get(name, name) != functional:
        raise ValueError(f"{file.what} of {element}: {file.path} is for {name}; functional is {functional}")
    return content
