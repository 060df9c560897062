"""Run inside an allocation: a worker makes a label alone, with ranks beside it, and on its two nodes."""

from __future__ import annotations

import sys
from pathlib import Path

from espresso_cases import settings, skewed_cell

from qm.espresso.labeller import EspressoLabeller
from qm.label import Label
from site_configs.load import load_site
from workflow.execution.pool import ParslPool

WAYS = {
    "alone": {},
    "mpirun": {
        "ranks": 2,
        "environment": dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1"),
    },
    "srun": {"ranks": 2, "launcher": "$SMELTER_LAUNCHER --mpi=pmix -n {ranks} -c {threads}"},
}


def label(directory: str, way: str) -> str:
    """Label two atoms; return the energy and a force."""
    config = settings(Path(directory, "Al.upf"), command=f"{directory}/pw {way}", **WAYS[way])
    scratch = Path(directory, f"scratch-{way}")
    scratch.mkdir()
    found = EspressoLabeller(config).label(skewed_cell(), scratch)
    if not isinstance(found, Label):
        raise TypeError(f"{found.reason}: {found.message}")
    return f"{found.energy_ev:.6f} {found.forces_ev_per_ang[0, 0]:.6f}"


def main() -> None:
    import label_on_nodes as tasks  # a module that workers can import

    site, directory = load_site(sys.argv[1]), Path(sys.argv[2])
    with ParslPool(site, directory / "logs", directory.name) as pool:
        for way in WAYS:
            result = pool.submit("labelling", tasks.label, str(directory), way).result(200)
            sys.stdout.write(f"{result.host} {result.value if result.ok else result.error}\n")


if __name__ == "__main__":
    main()
