"""Labels by CP2K."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from qm.cp2k.config import Cp2kConfig
from qm.cp2k.entries import read_entries
from qm.cp2k.failures import failure_reason
from qm.cp2k.inputs import BASIS_SETS, POTENTIALS, write_input
from qm.cp2k.level import CODE, level_of_theory, program_version
from qm.cp2k.outputs import read_results, version
from qm.cp2k.repair import Way, ways
from qm.fingerprint import fingerprint
from qm.program import ProgramEnd
from qm.program_failures import Found
from qm.program_labeller import ProgramLabeller, Run
from qm.results import Results


class Cp2kLabeller(ProgramLabeller[Way]):
    """Labels by CP2K's Quickstep.

    The energy holds the entropy of the smeared electrons and is consistent with forces and stress. Basis sets
    and pseudopotentials are read once and given to CP2K as they were then.

    Raises
    ------
    ValueError
        If a file is missing, has changed or lacks an entry, or there is no program to run.
    """

    code = CODE
    program = "cp2k"
    endings = ("inp", "out")

    def __init__(self, config: Cp2kConfig) -> None:
        self._config = config
        self._basis_sets = read_entries(config.basis_sets)
        self._potentials = read_entries(config.pseudopotentials)
        found = config.version or program_version(config)
        level = level_of_theory(config, self._basis_sets, self._potentials, found)
        super().__init__(config, config.basis_sets, found, fingerprint(level))

    def ways(self) -> list[Way]:
        """Return those of :func:`qm.cp2k.repair.ways`."""
        return ways(self._config)

    def prepare(self, frame: Atoms, directory: Path) -> None:
        """Write the entries of the elements there are."""
        elements = sorted(set(frame.get_chemical_symbols()))
        for name, entries in ((BASIS_SETS, self._basis_sets), (POTENTIALS, self._potentials)):
            (directory / name).write_text("".join(entries[element] for element in elements))

    def start(self, frame: Atoms, run: Run, way: Way) -> list[str]:
        """Write the input of one try and return the words that start CP2K."""
        write_input(run.input, frame, self._config, way)
        return self._config.launched(self._config.command, "-i", run.input.name)

    def failure(self, end: ProgramEnd, run: Run) -> Found | None:
        """Return why CP2K failed, or ``None`` if it has ended well."""
        return failure_reason(end, run.printed, run.complaints, run.directory)

    def read(self, frame: Atoms, run: Run) -> tuple[Results, str | None]:
        """Return the results and CP2K's version; raises ResultsError if there is no label in them."""
        text = run.printed
        return read_results(text, len(frame), threshold=self._config.scf_threshold), version(text)
