"""Labels by Quantum ESPRESSO."""

from __future__ import annotations

import platform
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from qm.checks import input_problem
from qm.espresso.config import EspressoConfig
from qm.espresso.failures import failure_reason
from qm.espresso.inputs import write_input
from qm.espresso.level import CODE, level_of_theory, program_version
from qm.espresso.outputs import (
    NotConvergedError,
    OtherFunctionalError,
    OutputError,
    Results,
    UnphysicalError,
    read_results,
    version,
)
from qm.espresso.repair import Way, ways
from qm.fingerprint import fingerprint
from qm.label import FailureReason, Label, LabelFailure
from qm.program import program_environment, run_program
from qm.pseudopotentials import file_name
from qm.scratch import scratch_directory, sweep

_KEPT_BYTES = 2**24
"""Files larger than this, bytes, are not kept as evidence: wavefunctions, densities."""


@dataclass(frozen=True)
class _Tried:
    """What came of one way to self-consistency."""

    way: Way
    reason: FailureReason
    message: str


class EspressoLabeller:
    """Labels by pw.x, one run for each label, and gentler ones where it does not converge.

    The energy is the free energy E - TS of the smeared electrons, consistent with forces and stress; the
    stress is given always, and frames have to be periodic in three directions. Pseudopotentials are read once
    and given to pw.x as they were then.

    Raises
    ------
    ValueError
        If a pseudopotential is missing or has changed, or there is no program to run.
    """

    def __init__(self, config: EspressoConfig) -> None:
        self._config = config
        self._pseudopotentials = {s: p.read(s) for s, p in config.pseudopotentials.items()}
        self._version = config.version or program_version(config)
        self._fingerprint = fingerprint(level_of_theory(config, self._pseudopotentials, self._version))
        if config.scratch_directory is not None:
            sweep(config.scratch_directory)

    @property
    def fingerprint(self) -> str:
        """Hash of all that a label depends on, pseudopotentials by their checksum, and pw.x's version."""
        return self._fingerprint

    @property
    def elements(self) -> frozenset[str]:
        """Elements that have a pseudopotential."""
        return frozenset(self._pseudopotentials)

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:
        """Label one frame; of a failure, inputs and outputs stay in ``scratch``."""
        problem = input_problem(frame, self.elements)
        if problem is None and not frame.pbc.all():
            problem = "frame is not periodic in three directions"
        if problem is not None:
            return LabelFailure("bad_input", problem)
        started = time.perf_counter()
        try:
            with scratch_directory(self._config.scratch_directory, scratch) as directory:
                result = self._label(frame, directory, started)
                if isinstance(result, LabelFailure):
                    _keep(directory, scratch)
                    result = replace(result, evidence=scratch)
        except OSError as error:
            message = f"cannot work in the scratch directory: {error.strerror or error}"
            return LabelFailure("killed", message, None, time.perf_counter() - started)
        return result

    def close(self) -> None:
        """Nothing to end."""

    def _label(self, frame: Atoms, directory: Path, started: float) -> Label | LabelFailure:
        for element in set(frame.get_chemical_symbols()):
            name = file_name(element, self._config.pseudopotentials[element].path)
            (directory / name).write_bytes(self._pseudopotentials[element])
        tried: list[_Tried] = []
        for number, way in enumerate(ways(self._config), start=1):
            left_s = self._config.walltime_s - (time.perf_counter() - started)
            result = self._try(frame, directory, way, number, left_s)
            if isinstance(result, Results):
                return self._made(result, time.perf_counter() - started, tried)
            tried.append(result)
            if result.reason != "not_converged":
                break
        wall_s = time.perf_counter() - started
        last = tried[-1]
        message = last.message if len(tried) == 1 else f"{last.message}; tried {_told(tried)}"
        return LabelFailure(last.reason, f"pw.x: {message}", wall_s=wall_s)

    def _try(self, frame: Atoms, directory: Path, way: Way, number: int, left_s: float) -> Results | _Tried:
        config = self._config
        source, output, errors = (directory / f"try-{number}.{ending}" for ending in ("pwi", "pwo", "err"))
        write_input(source, frame, config, way)
        end = run_program(
            config.launched(config.command, "-in", source.name),
            directory,
            output=output,
            errors=errors,
            timeout_s=left_s,
            environment=program_environment(config.threads, config.environment),
        )
        text = output.read_text(errors="replace")
        failure = failure_reason(end, text, errors.read_text(errors="replace"), directory)
        if failure is not None:
            return _Tried(way, *failure)
        threshold_ry = config.scf_threshold_ry_per_atom * len(frame)
        try:
            results = read_results(text, len(frame), functional=config.functional, threshold_ry=threshold_ry)
        except NotConvergedError as error:
            return _Tried(way, "not_converged", str(error))
        except OtherFunctionalError as error:
            return _Tried(way, "bad_input", str(error))
        except UnphysicalError as error:
            return _Tried(way, "unphysical", str(error))
        except OutputError as error:
            return _Tried(way, "bad_output", str(error))
        if version(text) != self._version:
            return _Tried(way, "bad_input", f"it is version {version(text)}; expected {self._version}")
        return results

    def _made(self, results: Results, wall_s: float, tried: list[_Tried]) -> Label:
        return Label(
            energy_ev=results.energy_ev,
            forces_ev_per_ang=results.forces_ev_per_ang,
            stress_ev_per_ang3=results.stress_ev_per_ang3,
            fingerprint=self._fingerprint,
            code=CODE,
            version=self._version,
            wall_s=wall_s,
            core_s=wall_s * self._config.cores,
            host=platform.node(),
            repairs=f"not converged with {_told(tried)}" if tried else "",
        )


def _told(tried: list[_Tried]) -> str:
    return "; ".join(str(attempt.way) for attempt in tried)


def _keep(directory: Path, scratch: Path) -> None:
    """Move the files that tell of a failure to where they are looked for; large ones are left."""
    for path in directory.iterdir():
        if path.is_file() and path.stat().st_size <= _KEPT_BYTES:
            shutil.copyfile(path, scratch / path.name)
