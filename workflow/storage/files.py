"""Files of a campaign: recognised when damaged, and removed when a killed writer left them behind."""

from __future__ import annotations

import io
import json
import math
import shutil
import struct
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, write_array
from numpy.typing import NDArray

from potentials.durable import TEMPORARY_SUFFIX, replace_file, synchronise

_ZIP_HEADER = 30
"""Bytes of the fixed part of the header before each member of a zip archive."""
_DIGEST_BYTES = 32
_SEAL = b"blake2b:"
SEAL_LENGTH = len(_SEAL) + 2 * _DIGEST_BYTES


class DamagedFileError(ValueError):
    """A file is torn, altered or not what its name says; the message names it and what is wrong."""


def temporaries(directory: Path) -> list[Path]:
    """Return what unfinished writes left in ``directory``, or are writing there now."""
    return sorted(directory.glob(f".*{TEMPORARY_SUFFIX}"))


def remove_temporary_files(directory: Path, *, older_than_s: float = 0.0) -> int:
    """Remove temporary files and directories that writers left in ``directory``; return how many there were.

    With other writers alive, ``older_than_s`` must be longer than a write takes.
    """
    newest = time.time() - older_than_s
    removed = 0
    for path in temporaries(directory):
        try:
            if path.lstat().st_mtime <= newest:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed += 1
        except FileNotFoundError:  # its writer has just finished
            continue
    return removed


def sync_tree(directory: Path) -> None:
    """Make everything below ``directory`` survive a crash of the machine."""
    paths = [directory, *directory.rglob("*")]
    with ThreadPoolExecutor(max_workers=16) as pool:  # the file system does many at once in the time of one
        list(pool.map(synchronise, paths))


def write_json_atomic(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON; not-a-number is refused, because JSON has none."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    replace_file(path, text.encode())


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
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array))
        archive.comment = bytes(SEAL_LENGTH)
    payload = buffer.getvalue()[:-SEAL_LENGTH]
    replace_file(path, payload + seal(payload))


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
    payload, end = content[:-SEAL_LENGTH], content[-SEAL_LENGTH:]
    if not end.startswith(_SEAL):
        raise DamagedFileError(f"{path}: damaged, its {len(content)} bytes do not end with a checksum")
    if end != seal(payload):
        raise DamagedFileError(f"{path}: damaged, its content does not match its checksum")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {
            member.filename.removesuffix(".npy"): _array(path, content, _start_of(member, content))
            for member in archive.infolist()
        }


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    write_array(buffer, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def _start_of(member: zipfile.ZipInfo, content: bytes) -> int:
    """Return where a member's bytes begin: after its header, whose last two fields have these lengths."""
    name_length, extra_length = struct.unpack_from("<HH", content, member.header_offset + 26)
    return int(member.header_offset + _ZIP_HEADER + name_length + extra_length)


def _array(path: Path, content: bytes, start: int) -> NDArray[Any]:
    """Return the array in NumPy's format at ``start``; five times as fast as ``numpy.load``.

    A driver reads each label once. What the file holds is known to be sound by its checksum, and most arrays
    have a header that was seen before.
    """
    length_size = 2 if content[start + 6] == 1 else 4  # by the format's version
    first = start + 8 + length_size
    end = first + int.from_bytes(content[start + 8 : first], "little")
    shape, fortran, dtype = _header(content[start + 8 : end], length_size)
    if dtype.hasobject:
        raise DamagedFileError(f"{path}: holds Python objects, which are not read")
    flat = np.frombuffer(content, dtype, count=math.prod(shape), offset=end)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


@lru_cache(maxsize=1024)
def _header(text: bytes, length_size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = read_array_header_1_0 if length_size == 2 else read_array_header_2_0
    return read(io.BytesIO(text))


def seal(payload: bytes) -> bytes:
    """Return the end of a file with this content: its checksum."""
    return _SEAL + blake2b(payload, digest_size=_DIGEST_BYTES).hexdigest().encode()
