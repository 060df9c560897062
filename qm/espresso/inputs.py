"""Writes the input of pw.x."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io.espresso import write_espresso_in

from qm.espresso.config import EspressoConfig
from qm.espresso.repair import Way
from qm.kpoints import mesh
from qm.pseudopotentials import file_name

PREFIX = "label"


def write_input(path: Path, frame: Atoms, config: EspressoConfig, way: Way) -> None:
    """Write the input for one frame and one way to self-consistency; only the way differs between tries.

    All files are expected and made beside the input: pw.x cuts off paths that are long.
    """
    bare = Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    magnetization = config.starting_magnetization
    if magnetization is not None:  # ASE's writer turns these into starting_magnetization as they are
        bare.set_initial_magnetic_moments([magnetization.get(s, 0.0) for s in bare.get_chemical_symbols()])
    control = {
        "calculation": "scf",
        "prefix": PREFIX,
        "outdir": "./",
        "pseudo_dir": "./",
        "tprnfor": True,
        "tstress": True,
        "disk_io": "none",
    }
    electrons = {
        "conv_thr": config.scf_threshold_ry_per_atom * len(frame),
        "electron_maxstep": way.max_steps,
        "mixing_beta": way.mixing_beta,
        "mixing_mode": way.mixing_mode,
        "diagonalization": way.diagonalization,
        "startingpot": "file" if way.from_density and has_density(path.parent) else "atomic",
    }
    used = set(bare.get_chemical_symbols())
    with path.open("w") as file:
        write_espresso_in(
            file,
            bare,
            input_data={"control": control, "system": _system(config), "electrons": electrons},
            pseudopotentials={
                s: file_name(s, p.path) for s, p in config.pseudopotentials.items() if s in used
            },
            **_k_points(bare, config),
        )


def has_density(directory: Path) -> bool:
    """Return whether an earlier try has left its density."""
    return any((directory / f"{PREFIX}.save").glob("charge-density.*"))


def _system(config: EspressoConfig) -> dict[str, Any]:
    system: dict[str, Any] = dict(config.system)
    system["ecutwfc"] = config.wavefunction_cutoff_ry
    system["ecutrho"] = config.density_cutoff_ry or 4.0 * config.wavefunction_cutoff_ry
    system["tot_charge"] = config.charge_e
    system["nspin"] = 1 if config.starting_magnetization is None else 2
    if config.smearing == "none":
        system["occupations"] = "fixed"
    else:
        system |= {
            "occupations": "smearing",
            "smearing": config.smearing,
            "degauss": config.smearing_width_ry,
        }
    return system


def _k_points(frame: Atoms, config: EspressoConfig) -> dict[str, Any]:
    """Γ alone has an algorithm of its own, with real wavefunctions: the same results for half the cost."""
    counts = mesh(frame, config.k_spacing_per_ang)
    if counts == (1, 1, 1) and not any(config.k_shift):
        return {"kpts": None}
    return {"kpts": counts, "koffset": config.k_shift}
