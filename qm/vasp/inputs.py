"""Writes the inputs of VASP: INCAR, POSCAR, KPOINTS and POTCAR."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.vasp import write_vasp
from numpy.typing import NDArray

from qm.kpoints import mesh
from qm.vasp.config import Functional, VaspConfig
from qm.vasp.potcar import Potcar
from qm.vasp.repair import Way

_GGA: dict[Functional, str] = {
    "PBE": "PE",
    "PBEsol": "PS",
    "revPBE": "RE",
    "RPBE": "RP",
    "AM05": "AM",
    "LDA": "CA",
}
_ISMEAR = {"gaussian": 0, "methfessel-paxton": 1, "fermi-dirac": -1}

Value = bool | int | float | str


def atom_order(frame: Atoms) -> NDArray[np.intp]:
    """Return the order in which VASP is given the atoms: those of one element together, as in its POTCAR."""
    return np.argsort(np.array(frame.get_chemical_symbols()), kind="stable")


def write_inputs(
    directory: Path, frame: Atoms, config: VaspConfig, way: Way, potcars: Mapping[str, Potcar]
) -> str:
    """Write all inputs for one frame and one way to self-consistency; return the INCAR.

    Only the way differs between tries.
    """
    ordered = _right_handed(frame)[atom_order(frame)]
    elements = sorted(set(ordered.get_chemical_symbols()))
    text = _incar(ordered, config, way, potcars, restart=way.from_before and has_density(directory))
    (directory / "INCAR").write_text(text)
    (directory / "KPOINTS").write_text(_kpoints(ordered, config))
    poscar = io.StringIO()
    write_vasp(poscar, ordered)
    (directory / "POSCAR").write_text(poscar.getvalue())
    (directory / "POTCAR").write_bytes(b"".join(potcars[element].content for element in elements))
    return text


def has_density(directory: Path) -> bool:
    """Return whether an earlier try has left its density; VASP makes the file empty when it starts."""
    path = directory / "CHGCAR"
    return path.exists() and path.stat().st_size > 0


def _right_handed(frame: Atoms) -> Atoms:
    """Return the frame alone, with two cell vectors exchanged where VASP would refuse them."""
    cell = frame.cell.array
    if np.linalg.det(cell) < 0.0:
        cell = cell[[1, 0, 2]]
    return Atoms(numbers=frame.numbers, positions=frame.positions, cell=cell, pbc=True)


def _incar(
    frame: Atoms, config: VaspConfig, way: Way, potcars: Mapping[str, Potcar], *, restart: bool
) -> str:
    symbols = frame.get_chemical_symbols()
    tags: dict[str, Value] = {
        "SYSTEM": "label",
        "ISTART": 1 if restart else 0,
        "ICHARG": 1 if restart else 2,
        "PREC": config.precision,
        "ENCUT": config.cutoff_ev,
        "EDIFF": config.scf_threshold_ev_per_atom * len(frame),
        "GGA": _GGA[config.functional],
        "ISMEAR": _ISMEAR[config.smearing],
        "SIGMA": config.smearing_width_ev,
        "ISYM": 0,  # what disordered cells have; VASP's search for more can fail
        "IBRION": -1,
        "NSW": 0,
        "ISIF": 2,
        "ALGO": way.algorithm,
        "NELM": way.max_steps,
        "LWAVE": config.max_repairs > 0,
        "LCHARG": config.max_repairs > 0,
    }
    if way.mixing is not None:
        tags |= {"AMIX": way.mixing[0], "BMIX": way.mixing[1]}
    if config.starting_moments_ub is not None:
        moments = [config.starting_moments_ub.get(symbol, 0.0) for symbol in symbols]
        tags |= {"ISPIN": 2, "MAGMOM": " ".join(f"{moment:g}" for moment in moments)}
    if config.charge_e:
        tags["NELECT"] = sum(potcars[symbol].valence for symbol in symbols) - config.charge_e
    if config.ncore is not None:
        tags["NCORE"] = config.ncore
    if config.kpar is not None:
        tags["KPAR"] = config.kpar
    tags |= {name.strip().upper(): value for name, value in config.incar.items()}
    return "".join(f"{name} = {_written(value)}\n" for name, value in tags.items())


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _kpoints(frame: Atoms, config: VaspConfig) -> str:
    """Write the mesh itself: what VASP makes of a spacing differs between its versions."""
    counts = " ".join(map(str, mesh(frame, config.k_spacing_per_ang)))
    shift = " ".join(f"{0.5 * s:g}" for s in config.k_shift)
    return f"mesh\n0\nGamma\n{counts}\n{shift}\n"
