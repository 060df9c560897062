"""What a label by Quantum ESPRESSO costs, and how much of it is ours.

    python -m benchmarks.espresso_cost [--atoms 8 16] [--spacings 0.5 0.33] [--ranks 1 2] [--density 2.7]

Random aluminium cells at one density, GTH-PBE, 24 Ry, shifted meshes. CPU time is that of all processes of a
label, so that other work on the machine matters little; wall time is not spared. Our part is timed with a
stand-in that prints at once what pw.x had printed: input, keeper, start and end of the program, output and
scratch. Needs pw.x and Debian's cp2k-data.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from qm.espresso.config import EspressoConfig
from qm.espresso.gth import DEBIAN, convert
from qm.espresso.labeller import EspressoLabeller
from qm.kpoints import mesh
from qm.label import LabelFailure
from sampling.builders import make_builder
from sampling.config import DisorderConfig

REPEATS = 15
AS_ROOT = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--spacings", type=float, nargs="+", default=[0.5, 0.33])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--density", type=float, default=2.7, help="g/cm³")
    options = parser.parse_args()
    print(f"{'atoms':>5} {'mesh':>7} {'ranks':>5} {'CPU s':>7} {'wall s':>7} {'ours, ms':>8}")
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "Al.upf").write_text(convert(DEBIAN.read_text(), "Al"))
        for n_atoms in options.atoms:
            frame = cell(n_atoms, options.density)
            for spacing in options.spacings:
                for ranks in options.ranks:
                    row(directory, frame, spacing, ranks)


def row(directory: Path, frame: Atoms, spacing: float, ranks: int) -> None:
    kept = directory / "kept.pwo"
    launcher = f"{AS_ROOT} mpirun -n {ranks} --bind-to none" if ranks > 1 else ""
    recorder = script(directory / "record", f'{launcher} pw.x "$@" | tee {kept}')
    cpu_s, wall_s = timed(directory, frame, spacing, recorder)
    replay = script(directory / "replay", f"exec cat {kept}")
    ours_s = min(timed(directory, frame, spacing, replay)[1] for _ in range(REPEATS))
    size = "×".join(map(str, mesh(frame, spacing)))
    print(f"{len(frame):5} {size:>7} {ranks:5} {cpu_s:7.1f} {wall_s:7.1f} {1000.0 * ours_s:8.1f}", flush=True)


def timed(directory: Path, frame: Atoms, spacing: float, command: str) -> tuple[float, float]:
    source = EspressoLabeller(
        EspressoConfig.model_validate(
            {
                "kind": "espresso",
                "pseudopotentials": {"Al": {"path": str(directory / "Al.upf")}},
                "functional": "PBE",
                "wavefunction_cutoff_ry": 24.0,
                "k_spacing_per_ang": spacing,
                "k_shift": [1, 1, 1],
                "smearing": "marzari-vanderbilt",
                "smearing_width_ry": 0.02,
                "version": "6.7MaX",
                "command": command,
            }
        )
    )
    before, started = children_cpu_s(), time.perf_counter()
    label = source.label(frame, directory)
    wall_s = time.perf_counter() - started
    if isinstance(label, LabelFailure):
        raise SystemExit(f"{label.reason}: {label.message}")
    return children_cpu_s() - before, wall_s


def cell(n_atoms: int, density: float) -> Atoms:
    side = float((n_atoms * 26.98 / 0.602214 / density) ** (1.0 / 3.0))
    config = DisorderConfig(side_ang=(side, side), density_g_per_cm3=(density, density), min_distance_ang=2.0)
    return make_builder(config, ("Al",)).build(np.random.SeedSequence(1))


def script(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
