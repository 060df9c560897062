"""Runs GPAW on one frame: a program by itself, for an interpreter that has GPAW and need not have us.

``python run_gpaw.py INPUT RESULTS`` reads the frame and GPAW's parameters from one JSON file and writes what
GPAW has found, or what it has raised, to another; ``python run_gpaw.py version`` says which GPAW it is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Do what the arguments say; an error ends the program after it has been noted."""
    if sys.argv[1:] == ["version"]:
        sys.stdout.write(f"GPAW version {importlib.import_module('gpaw').__version__}\n")
        return
    source, target = map(Path, sys.argv[1:])
    request = json.loads(source.read_text())
    try:
        _write(target, _results(request))
    except BaseException as error:
        _write(target, {"error": type(error).__name__, "message": str(error)})
        raise  # with several ranks this ends the others too


def _results(request: dict[str, Any]) -> dict[str, Any]:
    """Return energy, eV, forces, eV/Å, and stress, eV/Å³, with ASE's sign."""
    from ase import Atoms

    gpaw = importlib.import_module("gpaw")
    gpaw.setup_paths.insert(0, str(Path.cwd()))  # those of the request, before any that are installed
    _name_setups(request["setups"], request["parameters"]["xc"])
    frame = Atoms(**request["frame"], pbc=True)
    frame.calc = gpaw.GPAW(**request["parameters"], txt="-")
    energy = float(frame.get_potential_energy(force_consistent=True))
    return {
        "version": gpaw.__version__,
        "energy_ev": energy,
        "forces_ev_per_ang": frame.get_forces().tolist(),
        "stress_ev_per_ang3": frame.get_stress(voigt=False).tolist(),
    }


def _name_setups(files: dict[str, str], functional: str) -> None:
    """Let the setups have the names by which GPAW finds them."""
    name = importlib.import_module("gpaw.xc").XC(functional).get_setup_name()
    for element, file in files.items():
        ending = ".gz" if file.endswith(".gz") else ""
        with contextlib.suppress(FileExistsError):  # another rank, or another try
            Path(f"{element}.{name}{ending}").symlink_to(file)


def _write(target: Path, answer: dict[str, Any]) -> None:
    """Write the answer whole; where several ranks write one, any is right."""
    temporary = target.with_name(f"{target.name}-{os.getpid()}")
    temporary.write_text(json.dumps(answer))
    temporary.replace(target)


if __name__ == "__main__":
    main()
