"""Labels by a program: one run for each, and gentler ones where it does not converge."""

from __future__ import annotations

import platform
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from ase import Atoms

from qm.checks import input_problem
from qm.label import FailureReason, Label, LabelFailure
from qm.program import ProgramEnd, program_environment, run_program
from qm.program_config import ProgramConfig
from qm.program_failures import Found
from qm.results import OtherLevelError, Results, ResultsError
from qm.scratch import scratch_directory, sweep

_KEPT_BYTES = 2**24
"""Files larger than this, bytes, are not kept as evidence: wavefunctions, densities."""

Way = TypeVar("Way")
"""A way to self-consistency; as text, it says what a failed try was."""


@dataclass(frozen=True)
class Run:
    """The files of one try, named after its number, in the directory where the program runs."""

    directory: Path
    number: int
    input_ending: str
    output_ending: str

    @property
    def input(self) -> Path:
        """What the program reads."""
        return self.file(self.input_ending)

    @property
    def output(self) -> Path:
        """What it prints."""
        return self.file(self.output_ending)

    @property
    def errors(self) -> Path:
        """What it prints to its standard error."""
        return self.file("err")

    @property
    def printed(self) -> str:
        """What stands in its output."""
        return self.output.read_text(errors="replace")

    @property
    def complaints(self) -> str:
        """What stands on its standard error."""
        return self.errors.read_text(errors="replace")

    def file(self, ending: str) -> Path:
        """Return where a file of this try is that ends so."""
        return self.directory / f"try-{self.number}.{ending}"


@dataclass(frozen=True)
class _Tried:
    """What came of one way to self-consistency."""

    way: str
    reason: FailureReason
    message: str


class ProgramLabeller(ABC, Generic[Way]):
    """What label sources share that run a program; each code adds its inputs, outputs and failures.

    Frames have to be periodic in three directions, and the stress is given always.
    """

    code: ClassVar[str]
    """Name of the code, which labels bear."""
    program: ClassVar[str]
    """Name of the program, for messages."""
    endings: ClassVar[tuple[str, str]]
    """How the names of its inputs and outputs end."""
    never_kept: ClassVar[frozenset[str]] = frozenset()
    """Files that are not left as evidence, such as licensed ones."""

    def __init__(
        self, config: ProgramConfig, elements: Collection[str], version: str, fingerprint: str
    ) -> None:
        self._settings = config
        self._elements = frozenset(elements)
        self._version = version
        self._fingerprint = fingerprint
        if config.scratch_directory is not None:
            sweep(config.scratch_directory)

    @abstractmethod
    def ways(self) -> Sequence[Way]:
        """Return the ways to self-consistency in the order in which they are tried."""

    @abstractmethod
    def prepare(self, frame: Atoms, directory: Path) -> None:
        """Write what all tries need, such as pseudopotentials."""

    @abstractmethod
    def start(self, frame: Atoms, run: Run, way: Way) -> list[str]:
        """Write the input of one try and return the words that start the program."""

    @abstractmethod
    def failure(self, end: ProgramEnd, run: Run) -> Found | None:
        """Return why the program failed, or ``None`` if it has ended well."""

    @abstractmethod
    def read(self, frame: Atoms, run: Run) -> tuple[Results, str | None]:
        """Return the results and the version of the program that has found them.

        Raises
        ------
        ResultsError
            If there is no label in them.
        """

    @property
    def fingerprint(self) -> str:
        """Hash of all that a label depends on, files by their checksum, and the program's version."""
        return self._fingerprint

    @property
    def elements(self) -> frozenset[str]:
        """Elements that the settings know."""
        return self._elements

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:
        """Label one frame; of a failure, inputs and outputs stay in ``scratch``."""
        problem = input_problem(frame, self.elements)
        if problem is None and not frame.pbc.all():
            problem = "frame is not periodic in three directions"
        if problem is not None:
            return LabelFailure("bad_input", problem)
        started = time.perf_counter()
        try:
            with scratch_directory(self._settings.scratch_directory, scratch) as directory:
                result = self._label(frame, directory, started)
                if isinstance(result, LabelFailure):
                    _keep(directory, scratch, self.never_kept)
                    result = replace(result, evidence=scratch)
        except OSError as error:
            message = f"cannot work in the scratch directory: {error.strerror or error}"
            return LabelFailure("killed", message, None, time.perf_counter() - started)
        return result

    def close(self) -> None:
        """Nothing to end."""

    def _label(self, frame: Atoms, directory: Path, started: float) -> Label | LabelFailure:
        self.prepare(frame, directory)
        tried: list[_Tried] = []
        for number, way in enumerate(self.ways(), start=1):
            left_s = self._settings.walltime_s - (time.perf_counter() - started)
            result = self._try(frame, Run(directory, number, *self.endings), way, left_s)
            if isinstance(result, Results):
                return self._made(result, time.perf_counter() - started, tried)
            tried.append(result)
            if result.reason != "not_converged":
                break
        wall_s = time.perf_counter() - started
        last = tried[-1]
        message = last.message if len(tried) == 1 else f"{last.message}; tried {_told(tried)}"
        return LabelFailure(last.reason, f"{self.program}: {message}", wall_s=wall_s)

    def _try(self, frame: Atoms, run: Run, way: Way, left_s: float) -> Results | _Tried:
        settings = self._settings
        end = run_program(
            self.start(frame, run, way),
            run.directory,
            output=run.output,
            errors=run.errors,
            timeout_s=left_s,
            environment=program_environment(settings.threads, settings.environment),
        )
        failure = self.failure(end, run)
        if failure is not None:
            return _Tried(str(way), *failure)
        try:
            results, version = self.read(frame, run)
            if version != self._version:
                raise OtherLevelError(f"it is version {version}; expected {self._version}")
        except ResultsError as error:
            return _Tried(str(way), error.reason, str(error))
        return results

    def _made(self, results: Results, wall_s: float, tried: list[_Tried]) -> Label:
        return Label(
            energy_ev=results.energy_ev,
            forces_ev_per_ang=results.forces_ev_per_ang,
            stress_ev_per_ang3=results.stress_ev_per_ang3,
            fingerprint=self._fingerprint,
            code=self.code,
            version=self._version,
            wall_s=wall_s,
            core_s=wall_s * self._settings.cores,
            host=platform.node(),
            repairs=f"not converged with {_told(tried)}" if tried else "",
        )


def _told(tried: list[_Tried]) -> str:
    return "; ".join(attempt.way for attempt in tried)


def _keep(directory: Path, scratch: Path, never_kept: Collection[str]) -> None:
    """Move the files that tell of a failure to where they are looked for; large ones are left."""
    for path in directory.iterdir():
        if path.name not in never_kept and path.is_file() and path.stat().st_size <= _KEPT_BYTES:
            shutil.copyfile(path, scratch / path.name)
