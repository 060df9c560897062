"""Starts, asks and ends the process of a foreign calculator, with a time limit on everything."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from qm.channel import Message, pack, unpack

ENDING_S = 10.0
"""Time a process that has closed its side may take to end by itself, in seconds."""


class ProcessEndedError(RuntimeError):
    """The calculator's process ended before it answered; the message says how."""


class ProcessKilledError(ProcessEndedError):
    """It was ended by a signal."""


class NoAnswerError(RuntimeError):
    """The calculator's process did not answer in time."""


class CalculatorProcess:
    """One process, in a session of its own, that answers one message at a time.

    Ended by :meth:`stop` together with every program it has started. Should this process be killed, the
    keeper (``qm.keeper``) ends them.
    """

    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "qm.keeper", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._owner = os.getpid()
        os.set_blocking(self._requests, False)
        os.set_blocking(self._answers, False)

    def ask(self, message: Message, timeout_s: float) -> Message:
        """Send a message and return the answer.

        Raises
        ------
        NoAnswerError
            If there is none in time; the process is then of no use any more and should be stopped.
        ProcessEndedError, ProcessKilledError
            If the process is gone.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self._write(pack(message), deadline)
            answer = unpack(lambda size: self._read(size, deadline))
        except (BrokenPipeError, EOFError):
            answer = None
        if answer is None:
            raise self._ended()
        return answer

    def stop(self) -> None:
        """End the process and every program of its session that it started; may be called again.

        Does nothing in a process that was forked from the one that started it.
        """
        if os.getpid() != self._owner:
            return
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait_for(self._requests, select.POLLOUT, deadline)
            view = view[os.write(self._requests, view) :]

    def _read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            self._wait_for(self._answers, select.POLLIN, deadline)
            part = os.read(self._answers, size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    @staticmethod
    def _wait_for(descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000.0):
            raise NoAnswerError("no answer in time")

    def _ended(self) -> ProcessEndedError:
        """Find out how the process ended; its programs, if any are left, end with it.

        The status is collected last, so that the group's id cannot have been given to another.
        """
        ending = os.pidfd_open(self._process.pid)
        with contextlib.suppress(NoAnswerError):
            self._wait_for(ending, select.POLLIN, time.monotonic() + ENDING_S)
        os.close(ending)
        os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        if code > 128 or code < 0:
            return ProcessKilledError(f"the calculator's process was ended by signal {abs(code) % 128}")
        return ProcessEndedError(f"the calculator's process ended with status {code}{self._last_words()}")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read()[-4000:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""
