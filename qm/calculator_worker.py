"""The process in which a foreign ASE calculator runs: frames in, results or the reason of a failure out.

The first message names the calculator and its arguments; every later one holds a frame and the directory to
work in. After a failure the process ends, so that the next label starts with a calculator that is as new.
"""

from __future__ import annotations

import importlib
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    BaseCalculator,
    CalculatorSetupError,
    PropertyNotImplementedError,
    SCFError,
    all_changes,
)
from ase.stress import voigt_6_to_full_3x3_stress

from qm.channel import Message, pack, unpack
from qm.label import FailureReason

LOG_NAME = "calculator.log"
"""File in the working directory that receives what the calculator prints, and the traceback of a failure."""

MAX_MESSAGE_CHARACTERS = 300


def main() -> None:
    """Serve requests from standard input until it ends; answers go to what was standard output."""
    requests, answers = _take_channel()
    setup = unpack(requests.read)
    if setup is None:
        return
    _limit_memory(setup.values["max_memory_gib"])
    try:
        calculator = make_calculator(setup.values["calculator"], setup.values["arguments"])
    except BaseException as error:  # noqa: BLE001 - whatever foreign code raises is an answer
        _send(answers, Message({"ok": False, "message": one_line(error)}))
        return
    _send(answers, Message({"ok": True, "version": _version(calculator)}))
    while (request := unpack(requests.read)) is not None:
        answer = _answer(calculator, request)
        _send(answers, answer)
        if not answer.values["ok"]:
            return


def make_calculator(dotted_name: str, arguments: dict[str, Any]) -> Any:
    """Import and call what the dotted name stands for.

    Raises
    ------
    ValueError
        If the module or its attribute does not exist, the message naming which.
    """
    module_name, _, attribute = dotted_name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no module {error.name!r} for calculator {dotted_name!r}") from error
    if not hasattr(module, attribute):
        raise ValueError(f"module {module_name!r} has no {attribute!r} for calculator {dotted_name!r}")
    return getattr(module, attribute)(**arguments)


def failure_reason(error: BaseException) -> FailureReason:
    """Return the reason that an exception out of a foreign calculator stands for."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return "out_of_memory"
    if isinstance(error, SCFError):
        return "not_converged"
    if isinstance(error, subprocess.TimeoutExpired):
        return "walltime"
    if isinstance(error, subprocess.CalledProcessError):
        return "killed" if error.returncode < 0 else "bad_output"
    if isinstance(error, CalculatorSetupError | NotImplementedError | KeyError | FileNotFoundError):
        return "bad_input"
    return "bad_output"


def one_line(error: BaseException) -> str:
    """Return an exception as one line of text."""
    text = " ".join(str(error).split())[:MAX_MESSAGE_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _take_channel() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes to ourselves: what the calculator reads and prints must not touch them."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, answers


def _limit_memory(gib: float | None) -> None:
    if gib is not None:
        size = int(gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _send(answers: BinaryIO, message: Message) -> None:
    answers.write(pack(message))
    answers.flush()


def _version(calculator: Any) -> str:
    package = type(calculator).__module__.partition(".")[0]
    return f"{package} {getattr(sys.modules.get(package), '__version__', 'unknown')}"


def _answer(calculator: Any, request: Message) -> Message:
    _work_in(Path(request.values["directory"]))
    frame = Atoms(calculator=calculator, **request.arrays)
    try:
        return Message({"ok": True}, _results(frame, calculator))
    except BaseException as error:  # noqa: BLE001 - whatever foreign code raises is an answer
        traceback.print_exc()
        return Message({"ok": False, "reason": failure_reason(error), "message": one_line(error)})


def _work_in(directory: Path) -> None:
    os.chdir(directory)
    sys.stdout.flush()
    log = os.open(directory / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _results(frame: Atoms, calculator: Any) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Ask for everything at once where the calculator can, so that codes that run per request run once."""
    reset = getattr(calculator, "reset", None)
    if callable(reset):
        reset()
    known = getattr(calculator, "implemented_properties", ["energy", "forces"])
    with_stress = "stress" in known and bool(frame.pbc.all())
    if isinstance(calculator, BaseCalculator):
        wanted = ["energy", "forces", "stress"] if with_stress else ["energy", "forces"]
        calculator.calculate(frame, wanted, all_changes)
    results = {"forces": frame.get_forces(apply_constraint=False), "energy": _energy(frame)}
    if with_stress:
        stress = np.asarray(frame.get_stress(apply_constraint=False), dtype=np.float64)
        results["stress"] = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress
    return {name: np.asarray(value, dtype=np.float64) for name, value in results.items()}


def _energy(frame: Atoms) -> float:
    """Return the free energy, whose derivative the forces are, or the energy where there is none."""
    try:
        return float(frame.get_potential_energy(force_consistent=True))
    except PropertyNotImplementedError:
        return float(frame.get_potential_energy())
