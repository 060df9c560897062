"""Interatomic potentials: ensembles, their descriptors, training, storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from potentials.ensemble import AniEnsemble

__all__ = ["load"]


def load(path: str | Path) -> AniEnsemble:
    """Load an ensemble from its directory; see `potentials.storage.load`."""
    from potentials import storage  # here, so that settings can be read without importing torch

    return storage.load(Path(path))
