"""Talks to a rival in a process of its own: one line of JSON there, one back; arrays go through files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from benchmarks.engine_parts.timing import Turn

ROOT = Path(__file__).parents[2]


class PeerError(RuntimeError):
    """A rival could not do what it was asked."""


KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""Tells glibc not to give large arrays back to the system: using them anew then costs no page faults."""


class Peer:
    """A rival's process, one thread, as it is or with `KEEP_MEMORY`."""

    def __init__(self, python: Path, module: str, *, keep_memory: bool = False) -> None:
        settings = dict(KEEP_MEMORY) if keep_memory else {}
        settings |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "TORCHANI_NO_WARN_EXTENSIONS": "1"}
        self.name = module.rpartition(".")[2]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **settings},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def ask(self, request: str, **arguments: Any) -> Any:
        """Have one request done and return the answer.

        Raises
        ------
        PeerError
            With the rival's own message, if it fails or ends.
        """
        self._process.stdin.write(json.dumps([request, arguments], default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._log.seek(0)
            last = self._log.read().strip().rpartition("\n")[2]
            raise PeerError(f"{self.name} ended with status {status} at {request}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.name}: {request}: {answer['error']}")
        return answer["result"]

    def turn(self, request: str, **arguments: Any) -> Turn:
        """Make turns of a request that answers with CPU and wall seconds."""
        return lambda: tuple(self.ask(request, **arguments))


def serve(requests: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until there are no more; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": requests[name](**arguments)}
        except Exception as error:  # noqa: BLE001  (the other side reports it)
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
