"""Writes a directory of files as a whole: a kill leaves all of them, or none under the final name."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path


def new_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files``, by their path below it, to the directory ``path`` and wait for the disk.

    Raises
    ------
    FileExistsError
        If something of that name exists; it is left as it is.
    OSError
        If the files cannot be written; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new"
    new.mkdir()
    try:
        for name, content in files.items():
            target = new / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for directory in (new, *(d for d in new.rglob("*") if d.is_dir())):
            _synchronise(directory)
        if os.path.lexists(path):  # a rename would silently replace an empty directory
            raise FileExistsError(f"{path}: exists already")
        new.rename(path)
        _synchronise(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _synchronise(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
