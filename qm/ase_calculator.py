"""Labels from any ASE calculator, run in a process of its own."""

from __future__ import annotations

import platform
import threading
import time
import weakref
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from qm.calculator_process import CalculatorProcess, NoAnswerError, ProcessEndedError, ProcessKilledError
from qm.calculator_worker import LOG_NAME
from qm.channel import Message
from qm.checks import input_problem
from qm.config import AseConfig
from qm.fingerprint import fingerprint
from qm.label import FailureReason, Label, LabelFailure


class AseLabeller:
    """Labels by an ASE calculator, in a process that lives from label to label.

    A label that takes too long, kills its process or takes too much memory is a failure with that reason, and
    the next label starts with a new process. The energy is the free energy where the calculator has one; the
    stress is asked for where the calculator has one and the frame is periodic in three directions. Of the
    frame only elements, positions, cell and periodic directions count. Frames and results travel as plain
    arrays; nothing is pickled.

    Raises
    ------
    ValueError
        If the calculator cannot be imported or made, or its arguments are not plain values.
    """

    def __init__(self, config: AseConfig) -> None:
        self._config = config
        self._fingerprint = fingerprint(
            {"kind": "ase", "calculator": config.calculator, "arguments": _by_content(config.arguments)}
        )
        self._elements = frozenset(config.elements or chemical_symbols[1:])
        self._lock = threading.Lock()
        self._process: CalculatorProcess | None = None
        self._stop: weakref.finalize[[], AseLabeller] | None = None
        self._version = "unknown"
        failure = self._start()
        if failure is not None:
            raise ValueError(f"cannot make calculator {config.calculator!r}: {failure.message}")

    @property
    def fingerprint(self) -> str:
        """Hash of the calculator's name and arguments; files named by absolute path count by content."""
        return self._fingerprint

    @property
    def elements(self) -> frozenset[str]:
        """Elements of the settings, or all."""
        return self._elements

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:
        """Label one frame; the calculator works in ``scratch``, and what it prints goes to a log there."""
        problem = input_problem(frame, self._elements)
        if problem is not None:
            return LabelFailure("bad_input", problem)
        with self._lock:
            started = time.perf_counter()
            answer = self._ask(frame, scratch.resolve())
            wall_s = time.perf_counter() - started
        if isinstance(answer, LabelFailure):
            log = scratch / LOG_NAME
            return LabelFailure(answer.reason, answer.message, log if log.exists() else None, wall_s)
        return self._label(answer, wall_s)

    def close(self) -> None:
        """End the calculator's process; the next label starts a new one."""
        if self._stop is not None:
            self._stop()
        self._process = None

    def _ask(self, frame: Atoms, scratch: Path) -> Message | LabelFailure:
        failure = self._start()
        if failure is not None:
            return failure
        assert self._process is not None
        limit_s = self._config.walltime_s
        try:
            answer = self._process.ask(_request(frame, scratch), limit_s)
        except NoAnswerError:
            return self._failed("walltime", f"label took longer than the limit of {limit_s:g} s")
        except ProcessKilledError as error:
            return self._failed("killed", str(error))
        except ProcessEndedError as error:
            return self._failed("bad_output", str(error))
        except BaseException:
            self.close()  # interrupted: the answer still to come must not be taken for that of the next frame
            raise
        if not answer.values["ok"]:
            return self._failed(answer.values["reason"], answer.values["message"])
        return answer

    def _start(self) -> LabelFailure | None:
        if self._process is not None:
            return None
        self._process = CalculatorProcess()
        self._stop = weakref.finalize(self, self._process.stop)
        names = {"calculator", "arguments", "max_memory_gib"}
        try:
            answer = self._process.ask(Message(self._config.model_dump(include=names)), self._config.start_s)
        except NoAnswerError:
            return self._failed("walltime", f"it was not ready within {self._config.start_s:g} s")
        except ProcessEndedError as error:
            return self._failed("bad_input", str(error))
        if not answer.values["ok"]:
            return self._failed("bad_input", answer.values["message"])
        self._version = answer.values["version"]
        return None

    def _failed(self, reason: FailureReason, message: str) -> LabelFailure:
        self.close()
        return LabelFailure(reason, message)

    def _label(self, answer: Message, wall_s: float) -> Label:
        return Label(
            energy_ev=float(answer.arrays["energy"]),
            forces_ev_per_ang=answer.arrays["forces"],
            stress_ev_per_ang3=answer.arrays.get("stress"),
            fingerprint=self._fingerprint,
            code=self._config.calculator,
            version=self._version,
            wall_s=wall_s,
            core_s=wall_s * self._config.cores,
            host=platform.node(),
        )


def _request(frame: Atoms, scratch: Path) -> Message:
    arrays = {
        "numbers": np.asarray(frame.numbers),
        "positions": np.asarray(frame.positions),
        "cell": frame.cell.array,
        "pbc": np.asarray(frame.pbc),
    }
    return Message({"directory": str(scratch)}, arrays)


def _by_content(value: Any) -> Any:
    """Replace every absolute path of an existing file by a hash of what it holds."""
    if isinstance(value, dict):
        return {str(name): _by_content(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_by_content(item) for item in value]
    if isinstance(value, str) and value.startswith("/") and Path(value).is_file():
        return {"file": blake2b(Path(value).read_bytes(), digest_size=16).hexdigest()}
    return value
