"""Which tasks run where, from one small file per running task.

The worker makes the file when it takes the task and removes it at the end. The driver learns from the files
that a worker has taken no task that was sent to it, and why a worker was lost: of its own, or stopped
because its task took too long. The worker learns from its file that the task is still its own: the driver
removes it when it gives the task to another, and a new driver removes all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from site_configs.marks import is_alive, place

RUNNING = "running"
"""Directory of these files, below a campaign's logs: in it one for each executor."""
DUMP_HEADER = "Timeout ("
"""How the interpreter's own watchdog begins what it writes when a task's time is over."""


_own: Path | None = None
"""The file of the task that this process runs, in a worker."""


class TaskTakenAwayError(RuntimeError):
    """The task was given to another worker, as this one had not been heard of."""


def refuse_if_taken_away() -> None:
    """To be called by a task before it writes what may replace something newer.

    A worker that was cut off, or stopped for a while, can wake up when its task has been done elsewhere and
    the campaign has gone on from there.

    Raises
    ------
    TaskTakenAwayError
        If this process's task is no longer its own.
    """
    if _own is None:
        return
    try:
        _own.open().close()  # a shared file system may answer from memory unless a file is opened
    except FileNotFoundError:
        raise TaskTakenAwayError(f"task {_own.name} was given to another worker meanwhile") from None


@dataclass(frozen=True)
class RunningTask:
    """One task that a worker has taken.

    Attributes
    ----------
    task
        Its number.
    process
        The worker's process, ``pid:ticks``, in ``place``.
    place, host
        Where process ids mean what they say, and the host's name.
    worker
        The role and the worker's number in it.
    started
        Seconds since the epoch.
    timeout_s
        Time it may take; ``None`` for no limit.
    """

    task: int
    process: str
    place: str
    host: str
    worker: str
    started: float
    timeout_s: float | None = None
    traceback: str = ""
    """Where the task was when its time was over; written by the interpreter's watchdog."""

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return int(self.process.partition(":")[0])

    @property
    def timed_out(self) -> bool:
        """Whether its time is over."""
        late = self.timeout_s is not None and time.time() - self.started >= self.timeout_s
        return late or self.traceback.startswith(DUMP_HEADER)

    @property
    def is_here(self) -> bool:
        """Whether its process id means something to this process."""
        return self.place == place()

    @property
    def is_alive(self) -> bool:
        """False if its process is known to be gone."""
        return not self.is_here or is_alive(self.process)

    @contextmanager
    def recorded(self, directory: Path) -> Iterator[IO[str]]:
        """Keep a file for this task while the body runs; the file is open for the watchdog's report."""
        global _own
        path = directory / f"{self.task}.{self.host}.{self.pid}"
        fields = {name: value for name, value in asdict(self).items() if name != "traceback"}
        with path.open("w") as file:
            file.write(json.dumps(fields) + "\n")
            file.flush()
            _own = path
            try:
                yield file
            finally:
                _own = None
                path.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file; ``None`` if the task has just ended or is just beginning."""
        try:
            first, _, traceback = path.read_text(errors="replace").partition("\n")
            return cls(**json.loads(first), traceback=traceback)
        except (OSError, ValueError):
            return None


class RunningTasks:
    """The tasks of an executor that workers have taken and not ended, those of lost workers included.

    Each file is read once: on a large machine there are thousands, on a file system that many share.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, RunningTask] = {}

    def look(self) -> list[RunningTask]:
        """Return those of now, without what a watchdog may have added to their files."""
        found = {
            path.name: self._known.get(path.name) or RunningTask.read(path)
            for path in self._directory.iterdir()
        }
        self._known = {name: task for name, task in found.items() if task is not None}
        return list(self._known.values())


def find(directory: Path, task: int) -> RunningTask | None:
    """Return what is known of the last try of a task; ``None`` if no worker has taken it."""
    tries = [RunningTask.read(path) for path in directory.glob(f"{task}.*")]
    return max((run for run in tries if run is not None), key=lambda run: run.started, default=None)


def lost_seconds(logs: Path, since: float, until: float) -> dict[str, float]:
    """Return, by role, the time that a driver's unfinished tasks had taken when it ended, s.

    Their files lie there until the next pool begins. The driver's first and last event were at ``since`` and
    ``until``, s since the epoch; tasks of earlier ones do not count.
    """
    lost: dict[str, float] = {}
    for path in (logs / RUNNING).glob("*/*"):
        run = RunningTask.read(path)
        if run is not None and since <= run.started < until:
            role = run.worker.partition("/")[0]
            lost[role] = lost.get(role, 0.0) + until - run.started
    return lost


def forget(directory: Path, task: int) -> None:
    """Remove the files that lost workers left for a task."""
    for path in directory.glob(f"{task}.*"):
        path.unlink(missing_ok=True)
