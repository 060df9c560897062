"""Writes the input of CP2K."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from ase import Atoms

from qm.cp2k.config import Cp2kConfig
from qm.cp2k.repair import Way
from qm.kpoints import mesh

BASIS_SETS, POTENTIALS = "BASIS_SETS", "POTENTIALS"
"""Files expected beside the input, with the entries of the settings."""

_PROJECT = "label"
_SHORTCUTS = frozenset({"PBE", "PADE", "BLYP", "BP", "OLYP", "HCTH120", "TPSS", "BEEFVDW"})
_PARAMETRIZATIONS = {"PBESOL": "PBESOL", "REVPBE": "REVPBE"}

Section = Mapping[str, object]
"""Keywords with their values; a mapping is a section within, a list of either stands several times."""


def write_input(path: Path, frame: Atoms, config: Cp2kConfig, way: Way) -> None:
    """Write the input for one frame and one way to self-consistency; only the way differs between tries."""
    content = {
        "GLOBAL": {"PROJECT": _PROJECT, "RUN_TYPE": "ENERGY_FORCE", "PRINT_LEVEL": "LOW"},
        "FORCE_EVAL": {
            "METHOD": "QUICKSTEP",
            "STRESS_TENSOR": "ANALYTICAL",
            "PRINT": {"FORCES": {"": "ON", "NDIGITS": 12}, "STRESS_TENSOR": {"": "ON"}},
            "DFT": _dft(frame, config, way, path.parent),
            "SUBSYS": _subsystem(frame, config),
        },
    }
    path.write_text("\n".join([*_lines(content), ""]))


def _dft(frame: Atoms, config: Cp2kConfig, way: Way, directory: Path) -> Section:
    orbitals = directory / f"{_PROJECT}-RESTART.{'wfn' if _only_gamma(frame, config) else 'kp'}"
    restart = way.from_orbitals and orbitals.exists()
    dft: dict[str, object] = {
        "BASIS_SET_FILE_NAME": BASIS_SETS,
        "POTENTIAL_FILE_NAME": POTENTIALS,
        "CHARGE": config.charge_e,
        "UKS": "F" if config.starting_moments_ub is None else "T",
        "QS": {"EPS_DEFAULT": config.accuracy},
        "MGRID": {"CUTOFF": config.cutoff_ry, "REL_CUTOFF": config.relative_cutoff_ry},
        "XC": {"XC_FUNCTIONAL": _functional(config.functional)},
        "SCF": {
            "SCF_GUESS": "RESTART" if restart else "ATOMIC",
            "EPS_SCF": config.scf_threshold,
            "MAX_SCF": way.max_steps,
            **_occupations(config),
            "MIXING": {"METHOD": way.method, "ALPHA": way.alpha},
        },
    }
    if restart:
        dft["WFN_RESTART_FILE_NAME"] = orbitals.name
    return {**dft, **_k_points(frame, config)}


def _occupations(config: Cp2kConfig) -> Section:
    """With all orbitals that the basis has, so that none which is occupied is left out."""
    if config.smearing == "none":
        return {}
    temperature = config.electronic_temperature_k
    return {
        "ADDED_MOS": "-1" if config.starting_moments_ub is None else "-1 -1",
        "SMEAR": {"": "ON", "METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": temperature},
    }


def _functional(name: str) -> Section:
    if name in _SHORTCUTS:
        return {"": name}
    if name in _PARAMETRIZATIONS:
        return {"PBE": {"PARAMETRIZATION": _PARAMETRIZATIONS[name]}}
    return {part: {} for part in name.split("+")}


def _only_gamma(frame: Atoms, config: Cp2kConfig) -> bool:
    return mesh(frame, config.k_spacing_per_ang) == (1, 1, 1) and not any(config.k_shift)


def _k_points(frame: Atoms, config: Cp2kConfig) -> Section:
    """Γ alone has an algorithm of its own, with real orbitals: the same results for half the cost."""
    if _only_gamma(frame, config):
        return {}
    counts = mesh(frame, config.k_spacing_per_ang)
    # CP2K's own mesh lies symmetric about Γ: it holds Γ where the number of points is odd
    shifts = [0.5 * ((n + 1 + s) % 2) / n for n, s in zip(counts, config.k_shift, strict=True)]
    words = [*map(str, counts), *(f"{shift:.16f}" for shift in shifts)]
    return {"KPOINTS": {"SCHEME": f"MACDONALD {' '.join(words)}"}}


def _subsystem(frame: Atoms, config: Cp2kConfig) -> Section:
    vectors = frame.cell.array
    if np.linalg.det(vectors) < 0.0:  # the same lattice, right-handed
        vectors = -vectors
    symbols = frame.get_chemical_symbols()
    atoms = zip(symbols, frame.positions, strict=True)
    kinds = [
        {
            "": element,
            "BASIS_SET": config.basis_sets[element].name,
            "POTENTIAL": config.pseudopotentials[element].name,
        }
        | ({} if moments is None else {"MAGNETIZATION": moments.get(element, 0.0)})
        for moments in [config.starting_moments_ub]
        for element in sorted(set(symbols))
    ]
    return {
        "CELL": {name: _numbers(vector) for name, vector in zip("ABC", vectors, strict=True)},
        "COORD": {"*": [f"{symbol} {_numbers(position)}" for symbol, position in atoms]},
        "KIND": kinds,
    }


def _numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return " ".join(f"{value:.14f}" for value in values)


def _lines(section: Section, indent: str = "") -> Iterator[str]:
    """Yield a section's lines: under ``""`` is its parameter, under ``"*"`` are lines as they stand."""
    for name, value in section.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                parameter = f" {one['']}" if "" in one else ""
                yield f"{indent}&{name}{parameter}"
                yield from _lines({k: v for k, v in one.items() if k}, f"{indent}  ")
                yield f"{indent}&END {name}"
            else:
                yield f"{indent}{one}" if name == "*" else f"{indent}{name} {one}"
