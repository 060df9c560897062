"""The ledger: what has happened in a campaign, one JSON line per event.

Only the driver writes it. Each event is handed to the system at once, so that it survives the driver; the
disk is waited for once for all events that arrived together. A line cut short by a kill is the last line, and
is dropped when the ledger is opened for writing again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LEDGER_NAME = "ledger.jsonl"

Event = dict[str, Any]


class LedgerDamagedError(ValueError):
    """A line other than the last cannot be read."""


def read_ledger(directory: Path) -> Iterator[Event]:
    """Yield the events of a campaign in order; a last line cut short by a kill is left out.

    Raises
    ------
    LedgerDamagedError
        If a line before the last is not JSON; the message names file and line.
    """
    path = directory / LEDGER_NAME
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    complete, rest = lines[:-1], lines[-1]
    for number, line in enumerate(complete, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            if number == len(complete) and not rest:
                return
            raise LedgerDamagedError(f"{path}, line {number}: not a JSON event ({error})") from error


def fingerprint_at_start(directory: Path) -> str:
    """Return the level of theory a campaign was begun with; empty if it has not begun."""
    starts = (event["fingerprint"] for event in read_ledger(directory) if event["event"] == "started")
    return next(starts, "")


class Ledger:
    """The driver's handle."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LEDGER_NAME
        _drop_torn_tail(self._path)
        self._file = self._path.open("ab")

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event and return it as a reader will see it."""
        line = json.dumps({"time": time.time(), "event": event, **fields}, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        event_as_read: Event = json.loads(line)
        return event_as_read

    def sync(self) -> None:
        """Wait until everything appended is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Wait for the disk and close the file."""
        self.sync()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _drop_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
