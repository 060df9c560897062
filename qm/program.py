"""Runs an external program, perhaps one of many MPI ranks, within a time limit and without leaving anything.

The program is a child of the keeper (``qm.keeper``), in a session of its own: whoever ends it, and whoever
dies first, nothing of it stays behind.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qm import keeper

_MPI_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL")
_OURS_TO_KEEP = ("OMPI_ALLOW_RUN_AS_ROOT",)
_ENDING_S = keeper.GRACE_S + 5.0


@dataclass(frozen=True)
class ProgramEnd:
    """How a program ended.

    Attributes
    ----------
    status
        Its exit status, 128 and more where a signal ended it; ``None`` where the time limit did.
    wall_s
        How long it ran, s.
    """

    status: int | None
    wall_s: float

    @property
    def signal(self) -> int | None:
        """The signal that ended the program, if one did."""
        return self.status - 128 if self.status is not None and self.status > 128 else None


def run_program(
    command: Sequence[str],
    directory: Path,
    *,
    output: Path,
    errors: Path,
    timeout_s: float,
    environment: Mapping[str, str],
) -> ProgramEnd:
    """Run a command in ``directory`` to its end, or to the end of its time.

    Parameters
    ----------
    output, errors
        Files for what it prints to its standard output and standard error.
    environment
        All of its environment; see :func:`program_environment`.
    """
    started = time.monotonic()
    with output.open("wb") as out, errors.open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), *command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environment),
            start_new_session=True,
        )
    ended = False
    try:
        ended = _ends_within(process, timeout_s)
        if not ended:
            process.terminate()  # the keeper asks the program to end, waits a little, and ends it
            _ends_within(process, _ENDING_S)
    finally:
        keeper.end_session(process.pid)
        status = process.wait()
    wall_s = time.monotonic() - started
    return ProgramEnd((status if status >= 0 else 128 - status) if ended else None, wall_s)


def program_environment(threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment for a program with so many threads per rank.

    What tells a process that it is part of an MPI job is left out: the program begins one of its own. What a
    Fortran program prints is written at once, so that it is there if the program is killed.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_MPI_VARIABLES) or name.startswith(_OURS_TO_KEEP)
    }
    ours = {"OMP_NUM_THREADS": str(threads), "GFORTRAN_UNBUFFERED_PRECONNECTED": "y"}
    return inherited | ours | dict(extra)


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Return whether a process ended in time; it is not waited for, so that its id stays its own."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000.0))
    finally:
        os.close(descriptor)
