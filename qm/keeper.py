"""Runs foreign code and ends it, with all it has started, when its owner is gone.

``keeper.py OWNER_PID [COMMAND...]`` is started as the leader of a new session. It forks: the child runs the
command, or ``qm.calculator_worker`` where there is none; this process waits. Foreign code can hold Python's
lock or ignore signals for hours and can start programs of its own, so neither it nor the owner (which may be
killed) can be relied on to end them. Only the standard library is imported here, to stay small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

OWNER_GONE = signal.SIGUSR1
CHECK_EVERY_S = 1.0
GRACE_S = 3.0
"""Time a program that was asked to end may take for it, so that a launcher can end ranks on other nodes."""
CANNOT_RUN = 127
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork, run the command or the worker in the child, and wait here."""
    owner, command = int(sys.argv[1]), sys.argv[2:]
    watched = {signal.SIGCHLD, signal.SIGTERM, OWNER_GONE}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        signal_when_parent_ends(signal.SIGKILL)
        if command:
            _become(command)
        from qm.calculator_worker import main as work  # here, so that the keeper stays without its imports

        work()
        return
    _drop_channel()
    signal_when_parent_ends(OWNER_GONE)
    _wait(owner, worker, watched, GRACE_S if command else 0.0)


def end_session(leader: int) -> None:
    """Kill every process of the session that ``leader`` began, except this one.

    A session is searched and not a process group: launchers of MPI give each rank a group of its own. The
    caller holds the leader, running or not yet waited for, so that its id cannot stand for another session.
    """
    while members := [pid for pid in _session(leader) if pid != os.getpid()]:
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _session(leader: int) -> list[int]:
    """Return the processes of a session that run, without those that have ended and wait for their parent."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                status, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and status not in "ZX":
                    members.append(int(entry.name))
    return members


def _become(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(CANNOT_RUN)


def signal_when_parent_ends(number: int) -> None:
    """Have the kernel send a signal when the thread that started this process ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _drop_channel() -> None:
    """Leave the pipes to the worker alone, so that its end is seen at the other side."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)


def _wait(owner: int, worker: int, watched: set[signal.Signals], grace_s: float) -> None:
    """Return only through exit: with the worker's status, or by ending the whole session.

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
    if grace_s > 0.0:
        os.kill(worker, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while not os.waitpid(worker, os.WNOHANG)[0] and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
    end_session(os.getpid())
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
