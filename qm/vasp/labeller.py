"""Labels by VASP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from qm.fingerprint import fingerprint
from qm.program import ProgramEnd
from qm.program_failures import Found
from qm.program_labeller import ProgramLabeller, Run
from qm.results import Results
from qm.vasp.config import VaspConfig
from qm.vasp.failures import failure_reason
from qm.vasp.inputs import atom_order, write_inputs
from qm.vasp.level import CODE, level_of_theory, program_version
from qm.vasp.outputs import read_results, text_of, version
from qm.vasp.potcar import read_potcars
from qm.vasp.repair import Way, ways

_OUTPUTS = ("OUTCAR", "OSZICAR", "vasprun.xml")


class VaspLabeller(ProgramLabeller[Way]):
    """Labels by VASP.

    The energy is the free energy TOTEN of the smeared electrons, consistent with forces and stress. POTCARs
    are read once and given to VASP as they were then; they are never among what a failed label leaves.

    Raises
    ------
    ValueError
        If a POTCAR is missing, has changed or is another than it should be, or there is no program to run.
    """

    code = CODE
    program = "vasp"
    endings = ("INCAR", "log")
    never_kept = frozenset({"POTCAR", "WAVECAR", "CHGCAR", "CHG"})

    def __init__(self, config: VaspConfig) -> None:
        self._config = config
        self._potcars = read_potcars(config)
        found = config.version or program_version(config)
        level = level_of_theory(config, self._potcars, found)
        super().__init__(config, self._potcars, found, fingerprint(level))

    def ways(self) -> list[Way]:
        """Return those of :func:`qm.vasp.repair.ways`."""
        return ways(self._config)

    def prepare(self, frame: Atoms, directory: Path) -> None:
        """Write which POTCARs are used; they themselves are written for each try."""
        used = sorted(set(frame.get_chemical_symbols()))
        (directory / "POTCAR.titles").write_text("".join(f"{self._potcars[e].title}\n" for e in used))

    def start(self, frame: Atoms, run: Run, way: Way) -> list[str]:
        """Write the inputs of one try, set aside the outputs of that before, and return VASP's command."""
        for name in _OUTPUTS:
            if (run.directory / name).exists():
                (run.directory / name).rename(run.directory / f"try-{run.number - 1}.{name}")
        run.input.write_text(write_inputs(run.directory, frame, self._config, way, self._potcars))
        return self._config.launched(self._config.command)

    def failure(self, end: ProgramEnd, run: Run) -> Found | None:
        """Return why VASP failed, or ``None`` if it has ended well, converged or not."""
        return failure_reason(end, run.printed, run.complaints, run.directory)

    def read(self, frame: Atoms, run: Run) -> tuple[Results, str | None]:
        """Return the results and VASP's version; raises ResultsError if there is no label in them."""
        threshold_ev = self._config.scf_threshold_ev_per_atom * len(frame)
        found = read_results(run.directory, len(frame), threshold_ev=threshold_ev)
        forces = np.empty_like(found.forces_ev_per_ang)
        forces[atom_order(frame)] = found.forces_ev_per_ang
        return replace(found, forces_ev_per_ang=forces), version(text_of(run.directory / "OUTCAR"))
