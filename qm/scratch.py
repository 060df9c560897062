"""Directories for a running calculation's large files."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psutil

_PREFIX = "smelter-"


@contextmanager
def scratch_directory(parent: str | None, default: Path) -> Iterator[Path]:
    """Make a directory below ``parent`` (or ``default``) and remove it, with all it holds, at the end.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    place = Path(parent) if parent is not None else default
    place.mkdir(parents=True, exist_ok=True)
    directory = Path(mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=place))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sweep(parent: str) -> int:
    """Remove what killed processes of this host have left below ``parent``; return how many directories."""
    left = [path for path in Path(parent).glob(f"{_prefix()}*") if not psutil.pid_exists(_owner(path))]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _prefix() -> str:
    return f"{_PREFIX}{platform.node()}-"


def _owner(path: Path) -> int:
    number = path.name.removeprefix(_prefix()).partition("-")[0]
    return int(number) if number.isdecimal() else os.getpid()
