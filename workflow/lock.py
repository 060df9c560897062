"""One driver at a time per campaign directory, also on shared file systems, where flock is not reliable.

The lock is the file with the highest number in ``lock/``. A driver takes it by making the next number with
`os.link`, which only one of several can do and which never shows half a file; then it looks again, and
gives way if a higher number has come. Numbers are never used again: a released lock stays as a file without
a holder until the next one is taken, so that a slow starter cannot act on what is long past.

Whether a holder still lives is known from its process where we can see it. From elsewhere (another host, a
container) it is judged by its heartbeat: the time of its file, which is compared with the time that the
same file system gives to a new file, so that clocks need not agree.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, NoReturn, Self

from site_configs.marks import is_alive, own_name, place

HEARTBEAT_S = 20.0
"""Time between two heartbeats of a driver, s."""
STALE_S = 300.0
"""A driver elsewhere that was not heard of for this long is taken for dead, s."""
STALE_AFTER_REBOOT_S = 3 * HEARTBEAT_S
"""The same for a host of our own name that has another boot or container: most likely ours, rebooted, s."""
_FOLDER = "lock"


class CampaignRunningError(ValueError):
    """Another driver holds the campaign; the message says which, where and since when."""


@dataclass(frozen=True)
class Holder:
    """The driver that holds, or held, a campaign directory.

    Attributes
    ----------
    host, pid
        Where it runs.
    since
        Seconds since the epoch.
    heartbeat_age_s
        How long ago it was heard of.
    is_here
        Whether its process can be seen from here; otherwise the heartbeat decides.
    stale_s
        Then it is taken for dead when it was not heard of for this long.
    alive
        False where it is known to be gone, or was not heard of for too long.
    token
        Different for each time that a lock was taken.
    """

    host: str
    pid: int
    since: float
    heartbeat_age_s: float
    is_here: bool
    stale_s: float
    alive: bool
    token: str

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).astimezone()
        age_s = f"last sign of life {self.heartbeat_age_s:.0f} s ago"
        return f"process {self.pid} on {self.host} since {since:%Y-%m-%d %H:%M:%S} ({age_s})"


def holder(directory: Path) -> Holder | None:
    """Return who holds the campaign directory, or held it when it died; ``None`` if it was given back."""
    path = _newest(directory / _FOLDER)
    content = None if path is None else _read(path)
    if path is None or content is None:
        return None
    age_s = max(0.0, _now(path.parent) - content["heard"])
    is_here = content["place"] == place()
    stale_s = STALE_AFTER_REBOOT_S if content["host"] == platform.node() else STALE_S
    return Holder(
        host=content["host"],
        pid=int(content["process"].partition(":")[0]),
        since=content["since"],
        heartbeat_age_s=age_s,
        is_here=is_here,
        stale_s=stale_s,
        alive=is_alive(content["process"]) if is_here else age_s < stale_s,
        token=content["token"],
    )


class CampaignLock:
    """The right to drive the campaign in a directory; a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / _FOLDER
        self._token = ""
        self._path: Path | None = None
        self._released = threading.Event()
        """Ends the heartbeat."""

    def acquire(self) -> None:
        """Take the lock; one left by a dead driver, or by ourselves before ``execv``, is taken over.

        Raises
        ------
        CampaignRunningError
            If another driver holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        newest = _newest(self._folder)
        self._refuse_if_held()
        path = self._folder / f"{_number(newest) + 1:06d}.json"
        self._make(path)
        if _newest(self._folder) != path:
            self._give_way(path)
        self._path = path
        for older in self._folder.glob("*.json"):
            if _number(older) < _number(path):
                older.unlink(missing_ok=True)
        self._released = threading.Event()
        arguments = (path, self._released)
        threading.Thread(target=_beat, args=arguments, name="heartbeat", daemon=True).start()

    def check(self) -> None:
        """Return if the lock is still ours.

        Raises
        ------
        CampaignRunningError
            If another driver took it, because this one was not heard of for too long (asleep, cut off).
        """
        found = holder(self.directory)
        if found is None or found.token != self._token:
            raise CampaignRunningError(
                f"{self.directory}: this driver was not heard of for too long and lost the campaign"
                f" to {found or 'another one, which has ended'}"
            )

    def release(self) -> None:
        """Give the lock back; does nothing if it is not ours."""
        self._released.set()
        _held.discard(self._token)
        if self._path is not None and self._owns(self._path):
            self._write_temporary(b"").replace(self._path)
        self._path = None

    def _refuse_if_held(self) -> None:
        found = holder(self.directory)
        if found is None or not found.alive:
            return
        ourselves_before_exec = found.is_here and found.pid == os.getpid() and found.token not in _held
        if ourselves_before_exec:
            return
        remedy = "stop it there, or wait for its end"
        if found.is_here:
            remedy = f"stop it with 'kill {found.pid}', or wait for its end"
        elif found.heartbeat_age_s > 2 * HEARTBEAT_S:
            remedy += f"; if {found.host} is down, try again in {found.stale_s - found.heartbeat_age_s:.0f} s"
        raise CampaignRunningError(f"{self.directory}: already driven by {found}; {remedy}")

    def _make(self, path: Path) -> None:
        """Make the lock's file, complete and only if there is none; a rival may have been faster."""
        self._token = secrets.token_hex(8)
        _held.add(self._token)
        content = {
            "host": platform.node(),
            "process": own_name(),
            "place": place(),
            "since": time.time(),
            "token": self._token,
        }
        temporary = self._write_temporary(json.dumps(content).encode())
        try:
            os.link(temporary, path)
        except FileExistsError:
            self._give_way(path)
        finally:
            temporary.unlink()

    def _give_way(self, path: Path) -> NoReturn:
        _held.discard(self._token)
        if self._owns(path):
            path.unlink()
        self._refuse_if_held()
        raise CampaignRunningError(
            f"{self.directory}: another driver was starting at the same time; try again"
        )

    def _write_temporary(self, content: bytes) -> Path:
        path = self._folder / f".{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _owns(self, path: Path) -> bool:
        content = _read(path)
        return content is not None and content["token"] == self._token

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_held: set[str] = set()
"""Tokens of the locks this process holds; empty after ``execv``."""


def _beat(path: Path, released: threading.Event) -> None:
    while not released.wait(HEARTBEAT_S):
        with suppress(OSError):  # the file system is away, or the lock is lost: `check` finds out
            os.utime(path)


def _newest(folder: Path) -> Path | None:
    return max(folder.glob("*.json"), key=_number, default=None)


def _number(path: Path | None) -> int:
    return 0 if path is None else int(path.stem)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a lock's file, and in ``heard`` its time of change.

    ``None`` if the lock was given back or the file removed.
    """
    try:
        with path.open("rb") as file:
            content: dict[str, Any] | None = json.loads(file.read() or b"null")
            return content and {**content, "heard": os.fstat(file.fileno()).st_mtime}
    except FileNotFoundError:
        return None
    except ValueError:
        raise CampaignRunningError(f"{path}: damaged; if no driver runs there, remove it") from None


def _now(folder: Path) -> float:
    """Return the time by the file system's own clock; by ours where we may not write."""
    try:
        with NamedTemporaryFile(dir=folder, prefix=".now-", suffix=".tmp") as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()
