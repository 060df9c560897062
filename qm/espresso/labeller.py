"""Labels by Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from qm.espresso.config import EspressoConfig
from qm.espresso.failures import failure_reason
from qm.espresso.inputs import write_input
from qm.espresso.level import CODE, level_of_theory, program_version
from qm.espresso.outputs import read_results, version
from qm.espresso.repair import Way, ways
from qm.fingerprint import fingerprint
from qm.program import ProgramEnd
from qm.program_failures import Found
from qm.program_labeller import ProgramLabeller, Run
from qm.pseudopotentials import file_name
from qm.results import Results


class EspressoLabeller(ProgramLabeller[Way]):
    """Labels by pw.x.

    The energy is the free energy E - TS of the smeared electrons, consistent with forces and stress.
    Pseudopotentials are read once and given to pw.x as they were then.

    Raises
    ------
    ValueError
        If a pseudopotential is missing or has changed, or there is no program to run.
    """

    code = CODE
    program = "pw.x"
    endings = ("pwi", "pwo")

    def __init__(self, config: EspressoConfig) -> None:
        self._config = config
        self._pseudopotentials = {s: p.read(s) for s, p in config.pseudopotentials.items()}
        found = config.version or program_version(config)
        level = level_of_theory(config, self._pseudopotentials, found)
        super().__init__(config, self._pseudopotentials, found, fingerprint(level))

    def ways(self) -> list[Way]:
        """Return those of :func:`qm.espresso.repair.ways`."""
        return ways(self._config)

    def prepare(self, frame: Atoms, directory: Path) -> None:
        """Write the pseudopotentials."""
        for element in set(frame.get_chemical_symbols()):
            name = file_name(element, self._config.pseudopotentials[element].path)
            (directory / name).write_bytes(self._pseudopotentials[element])

    def start(self, frame: Atoms, run: Run, way: Way) -> list[str]:
        """Write the input of one try and return the words that start pw.x."""
        write_input(run.input, frame, self._config, way)
        return self._config.launched(self._config.command, "-in", run.input.name)

    def failure(self, end: ProgramEnd, run: Run) -> Found | None:
        """Return why pw.x failed, or ``None`` if it has ended well."""
        return failure_reason(end, run.printed, run.complaints, run.directory)

    def read(self, frame: Atoms, run: Run) -> tuple[Results, str | None]:
        """Return the results and pw.x's version; raises ResultsError if there is no label in them."""
        text, config = run.printed, self._config
        threshold_ry = config.scf_threshold_ry_per_atom * len(frame)
        results = read_results(text, len(frame), functional=config.functional, threshold_ry=threshold_ry)
        return results, version(text)
