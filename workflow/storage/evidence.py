"""What failed labels leave behind, kept for whoever wants to know why: compressed, bounded in number."""

from __future__ import annotations

import logging
import tarfile
from contextlib import suppress
from pathlib import Path

from potentials.durable import temporary_sibling

MOST_KEPT = 50
"""Archives of failed labels that a campaign keeps, the newest ones."""

LARGEST_BYTES = 2**24
"""Files above this size, bytes, are left out: wavefunctions and densities."""

logger = logging.getLogger(__name__)


def keep_evidence(scratch: Path, directory: Path, name: str) -> Path | None:
    """Pack what lies in ``scratch`` into ``directory/NAME.tar.gz`` and return that; ``None`` if it fails.

    A disk that is full, perhaps the very reason of the failure, must not become a failure of its own.
    """
    archive = directory / f"{name}.tar.gz"
    temporary = temporary_sibling(archive)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tarfile.open(temporary, "w:gz") as tar:
            for path in sorted(scratch.rglob("*")):
                if path.is_file() and path.stat().st_size <= LARGEST_BYTES:
                    tar.add(path, f"{name}/{path.relative_to(scratch)}", recursive=False)
        temporary.replace(archive)
        _drop_oldest(directory)
    except OSError as error:
        logger.warning("files of the failed label %s could not be kept: %s", name, error)
        with suppress(OSError):
            temporary.unlink()
        return None
    return archive


def _drop_oldest(directory: Path) -> None:
    by_age = sorted(directory.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in by_age[MOST_KEPT:]:
        path.unlink(missing_ok=True)
