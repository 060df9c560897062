"""Runs of dynamics on disk, a file each: what makes them go on where they were interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from workflow.storage.files import DamagedFileError, load_npz, save_npz_atomic


class DirectoryNotebook:
    """A `validation.trajectory.Notebook` in a directory, which is made when it is needed."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._say = say

    def load(self, name: str) -> Mapping[str, NDArray[Any]] | None:
        """Return what was kept under a name; ``None`` where there is nothing, or it is damaged."""
        try:
            return load_npz(self._file(name))
        except (FileNotFoundError, DamagedFileError):
            return None

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under a name, in place of what was there."""
        self._directory.mkdir(parents=True, exist_ok=True)
        save_npz_atomic(self._file(name), arrays)

    def say(self, text: str) -> None:
        """Tell the user."""
        self._say(text)

    def _file(self, name: str) -> Path:
        return self._directory / f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', name)}.npz"
