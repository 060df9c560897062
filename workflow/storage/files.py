"""Files that survive a kill: complete or not there at all, and recognised when damaged.

A file is written to a temporary name in its own directory, synchronised to disk and renamed. A kill can
leave temporary files behind, never half a file under its final name.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array
from numpy.typing import NDArray

TEMPORARY_SUFFIX = ".tmp"
_DIGEST_BYTES = 32
_SEAL = b"blake2b:"
_SEAL_LENGTH = len(_SEAL) + 2 * _DIGEST_BYTES


class DamagedFileError(ValueError):
    """A file is torn, altered or not what its name says; the message names it and what is wrong."""


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden name in the directory of ``path``, for what is to be renamed to ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def temporaries(directory: Path) -> list[Path]:
    """Return what unfinished writes left in ``directory``, or are writing there now."""
    return sorted(directory.glob(f".*{TEMPORARY_SUFFIX}"))


def remove_temporary_files(directory: Path, *, older_than_s: float = 0.0) -> int:
    """Remove temporary files that writers left in ``directory``; return how many there were.

    With other writers alive, ``older_than_s`` must be longer than a write takes.
    """
    newest = time.time() - older_than_s
    removed = 0
    for path in temporaries(directory):
        try:
            if path.stat().st_mtime <= newest:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # its writer has just finished
            continue
    return removed


def sync_directory(directory: Path) -> None:
    """Make renames and new names in ``directory`` survive a crash of the machine."""
    _sync(directory)


def sync_tree(directory: Path) -> None:
    """Make everything below ``directory`` survive a crash of the machine."""
    paths = [directory, *directory.rglob("*")]
    with ThreadPoolExecutor(max_workers=16) as pool:  # the file system does many at once in the time of one
        list(pool.map(_sync, paths))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, replacing what was there; the directory must exist."""
    temporary = temporary_sibling(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON; not-a-number is refused, because JSON has none."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes_atomic(path, text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedFileError
        If it is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedFileError(f"{path}: damaged, not JSON ({error})") from None


def save_npz_atomic(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write ``arrays`` as a NumPy ``.npz`` file sealed with a checksum.

    The checksum of the whole file stands in the comment at the end of the zip archive, so that
    ``numpy.load`` reads the file as any other. Arrays of Python objects are refused with ValueError.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                write_array(file, np.asanyarray(array), allow_pickle=False)
        archive.comment = bytes(_SEAL_LENGTH)
    payload = buffer.getvalue()[:-_SEAL_LENGTH]
    write_bytes_atomic(path, payload + _seal(payload))


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file of `save_npz_atomic` and check its checksum. Nothing is unpickled.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedFileError
        If it is torn or altered.
    """
    content = path.read_bytes()
    payload, seal = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    if not seal.startswith(_SEAL):
        raise DamagedFileError(f"{path}: damaged, its {len(content)} bytes do not end with a checksum")
    if seal != _seal(payload):
        raise DamagedFileError(f"{path}: damaged, its content does not match its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _seal(payload: bytes) -> bytes:
    return _SEAL + blake2b(payload, digest_size=_DIGEST_BYTES).hexdigest().encode()
