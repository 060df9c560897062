"""Labels by GPAW."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from qm.fingerprint import fingerprint
from qm.gpaw.config import GpawConfig
from qm.gpaw.failures import failure_reason
from qm.gpaw.inputs import GZIP, checked_setup, write_input
from qm.gpaw.level import CODE, SCRIPT, SCRIPT_NAME, level_of_theory, program_version
from qm.gpaw.outputs import read_answer, read_results
from qm.gpaw.repair import Way, ways
from qm.program import ProgramEnd
from qm.program_failures import Found
from qm.program_labeller import ProgramLabeller, Run
from qm.results import OutputError, Results

_RESULTS = "results.json"


class GpawLabeller(ProgramLabeller[Way]):
    """Labels by GPAW with plane waves, in a process of its own for each.

    The energy is the free energy of the smeared electrons, consistent with forces and stress. Setups are read
    once and given to GPAW as they were then.

    Raises
    ------
    ValueError
        If a setup is missing, has changed or does not fit, or there is no interpreter with GPAW.
    """

    code = CODE
    program = "gpaw"
    endings = ("json", "out")

    def __init__(self, config: GpawConfig) -> None:
        self._config = config
        self._setups = {s: checked_setup(s, file, config.functional) for s, file in config.setups.items()}
        found = config.version or program_version(config)
        super().__init__(
            config, config.setups, found, fingerprint(level_of_theory(config, self._setups, found))
        )

    def ways(self) -> list[Way]:
        """Return those of :func:`qm.gpaw.repair.ways`."""
        return ways(self._config)

    def prepare(self, frame: Atoms, directory: Path) -> None:
        """Write the program and the setups of the elements there are."""
        (directory / SCRIPT_NAME).write_text(SCRIPT)
        for element, name in self._names(frame).items():
            (directory / name).write_bytes(self._setups[element])

    def start(self, frame: Atoms, run: Run, way: Way) -> list[str]:
        """Write the input of one try and return the words that start the program."""
        write_input(run.input, frame, self._config, way, self._names(frame))
        results = run.file(_RESULTS)
        return self._config.launched(self._config.command, SCRIPT_NAME, run.input.name, results.name)

    def failure(self, end: ProgramEnd, run: Run) -> Found | None:
        """Return why GPAW failed, or ``None`` if it has ended well."""
        answer = read_answer(run.file(_RESULTS))
        return failure_reason(end, answer, run.complaints, run.directory)

    def read(self, frame: Atoms, run: Run) -> tuple[Results, str | None]:
        """Return the results and GPAW's version; raises ResultsError if there is no label in them."""
        answer = read_answer(run.file(_RESULTS))
        if answer is None:
            raise OutputError("there are no results")
        return read_results(answer, len(frame)), answer.get("version")

    def _names(self, frame: Atoms) -> dict[str, str]:
        """Return names for copies of the setups, which tell whether they are compressed."""
        return {
            element: f"{element}.setup{'.gz' if self._setups[element].startswith(GZIP) else ''}"
            for element in sorted(set(frame.get_chemical_symbols()))
        }
