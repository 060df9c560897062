"""Runs the process of a foreign calculator and ends it, with all its children, when its owner is gone.

``python -m qm.keeper OWNER_PID`` is started as the leader of a new session. It forks: the child runs
``qm.calculator_worker``, this process waits. Foreign code can hold Python's lock or ignore signals for hours
and can start programs of its own, so neither it nor the owner (which may be killed) can be relied on to end
them. Only the standard library is imported here, to stay small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

OWNER_GONE = signal.SIGUSR1
CHECK_EVERY_S = 1.0
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork, run the worker in the child, and wait here."""
    owner = int(sys.argv[1])
    watched = {signal.SIGCHLD, signal.SIGTERM, OWNER_GONE}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        signal_when_parent_ends(signal.SIGKILL)
        from qm.calculator_worker import main as work  # here, so that the keeper stays without its imports

        work()
        return
    _drop_channel()
    signal_when_parent_ends(OWNER_GONE)
    _wait(owner, worker, watched)


def signal_when_parent_ends(number: int) -> None:
    """Have the kernel send a signal when the thread that started this process ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _drop_channel() -> None:
    """Leave the pipes to the worker alone, so that its end is seen at the other side."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)


def _wait(owner: int, worker: int, watched: set[signal.Signals]) -> None:
    """Return only through exit: with the worker's status, or by ending the whole group.

    The kernel's signal only says that a thread of the owner has ended; whether the owner has, its process id
    tells, which is also looked at every second in case no signal comes.
    """
    while os.getppid() == owner:
        info = signal.sigtimedwait(watched, CHECK_EVERY_S)
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if info is not None and info.si_signo == signal.SIGTERM:
            break
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
