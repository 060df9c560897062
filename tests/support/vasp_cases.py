"""Settings, POTCARs and the stand-in of VASP that its tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import vasp_standin

from qm.vasp.config import VaspConfig

SECRET = "only for who has a licence"


def potcar(directory: Path, element: str = "Al", **changes: str) -> Path:
    """Write a file with the head of a POTCAR and no pseudopotential; return it."""
    words = {"title": f"PAW_PBE {element} 04Jan2001", "symbol": element, "exchange": "PE"} | changes
    path = directory / f"POTCAR.{element}"
    path.write_text(
        f"  {words['title']}\n   3.00000000000000\n parameters from PSCTR are:\n"
        f"   VRHFIN ={words['symbol']}: s2p1\n   LEXCH  = {words['exchange']}\n   EATOM  =    53.7 eV\n\n"
        f"   TITEL  = {words['title']}\n   POMASS =   26.98; ZVAL   =    3.000    mass and valenz\n"
        f"   ENMAX  =  240.300; ENMIN  =  180.225 eV\n {SECRET}\n End of Dataset\n"
    )
    return path


def standin(path: Path) -> str:
    """Write an executable that runs the stand-in; return its path."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I {vasp_standin.__file__} "$@"\n')
    path.chmod(0o755)
    return str(path)


def settings(directory: Path, mode: str = "", **changes: object) -> VaspConfig:
    """Return settings that run the stand-in, with something going wrong if ``mode`` says so."""
    values: dict[str, object] = {
        "kind": "vasp",
        "pseudopotentials": {"Al": {"path": str(potcar(directory))}},
        "functional": "PBE",
        "cutoff_ev": 300.0,
        "k_spacing_per_ang": 0.9,
        "smearing": "methfessel-paxton",
        "smearing_width_ev": 0.2,
        "version": "6.4.2",
        "command": standin(directory / "vasp"),
        "environment": {"STANDIN": mode},
    }
    return VaspConfig.model_validate(values | changes)
