"""Ensembles on a worker, loaded once, on the device that it was given."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

import potentials
from potentials.ensemble import AniEnsemble


@lru_cache(maxsize=2)
def ensemble(path: Path) -> AniEnsemble:
    """Load an ensemble, on the GPU this worker was given where there is one."""
    return potentials.load(path).to(device=worker_device())


def worker_device() -> str:
    """Return the device of this worker's torch work."""
    return "cuda" if torch.cuda.is_available() else "cpu"
