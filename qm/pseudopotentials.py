"""Pseudopotential files: part of the level of theory by what they hold, wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class PseudopotentialConfig(BaseModel):
    """One element's pseudopotential."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    what: ClassVar[str] = "pseudopotential"
    """What the file holds, for messages."""

    path: str = Field(min_length=1)
    """The file; a relative path counts from where the campaign is launched."""

    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Its checksum, as ``sha256sum FILE`` prints it; noted at the launch where it is not given."""

    def read(self, element: str) -> bytes:
        """Return what the file holds.

        Raises
        ------
        ValueError
            If there is no such file, or its checksum is not that of the settings.
        """
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.what} of {element}: {self.path}: {error.strerror}") from None
        found = sha256(content).hexdigest()
        if self.sha256 not in (None, found):
            raise ValueError(
                f"{self.what} of {element}: {self.path} has sha256 {found}; "
                f"expected {self.sha256}: it has changed"
            )
        return content

    def resolved(self, element: str) -> Self:
        """Return it with an absolute path and its checksum; raises as :meth:`read`."""
        checksum = sha256(self.read(element)).hexdigest()
        return self.model_copy(update={"path": str(Path(self.path).resolve()), "sha256": checksum})


File = TypeVar("File", bound=PseudopotentialConfig)


def all_resolved(files: Mapping[str, File]) -> dict[str, File]:
    """Return files by element with absolute paths and checksums.

    Raises
    ------
    ValueError
        If one is missing or has changed.
    """
    return {element: file.resolved(element) for element, file in files.items()}


def file_name(element: str, path: str) -> str:
    """Return a name for a copy of a pseudopotential: codes tell formats by the ending of the name."""
    ending = re.sub(r"[^A-Za-z0-9]", "", Path(path).suffix)
    return f"{element}.{ending or 'UPF'}"
