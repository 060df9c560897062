"""One driver at a time per campaign directory, also on shared file systems, where flock is not reliable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


class CampaignRunningError(ValueError):
    """Another driver holds the campaign; the message says which, where and since when."""


@dataclass(frozen=True)
class Holder:
    """The driver that holds a campaign directory."""

    host: str
    pid: int
    since: float
    """Seconds since the epoch."""
    heartbeat_age_s: float
    alive: bool
    """False where the driver is known to be gone, or has not been heard of for too long."""


def holder(directory: Path) -> Holder | None:
    """Return who holds the campaign directory, or ``None``."""
    raise NotImplementedError


class CampaignLock:
    """The right to drive the campaign in a directory; a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def acquire(self) -> None:
        """Take the lock; a lock left by a dead driver, or by ourselves before ``execv``, is taken over.

        Raises
        ------
        CampaignRunningError
            If another driver holds it.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Return if the lock is still ours.

        Raises
        ------
        CampaignRunningError
            If another driver took it, because this one was not heard of for too long (asleep, cut off).
        """
        raise NotImplementedError

    def release(self) -> None:
        """Give the lock back; does nothing if it is not ours."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
