"""Files and directories that survive a kill: complete under their final name, or not there at all.

All is written under a hidden temporary name beside the final one, synchronised to disk and renamed. A kill
can leave what is temporary behind, never a part under a final name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden name in the directory of ``path``, for what is to be renamed to ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def synchronise(path: Path) -> None:
    """Make a file, or the renames and new names in a directory, survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, replacing what was there; the directory must exist."""
    temporary = temporary_sibling(path)
    try:
        _write(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    synchronise(path.parent)


def write_directory(path: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Write ``files``, by their path below it, as the directory ``path``.

    Raises
    ------
    FileExistsError
        If something of that name exists and is not to be replaced; it is left as it is.
    OSError
        If the files cannot be written; what was there stays, and nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = temporary_sibling(path), temporary_sibling(path)
    new.mkdir()
    try:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            _write(new / name, content)
        for directory in (new, *(d for d in new.rglob("*") if d.is_dir())):
            synchronise(directory)
        if os.path.lexists(path):  # a rename would silently replace an empty directory
            if not replace:
                raise FileExistsError(f"{path}: exists already")
            path.replace(old)
        new.replace(path)
        synchronise(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
