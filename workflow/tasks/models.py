"""Ensembles on a worker, loaded once, on the device that it was given."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

import torch

import potentials
from potentials.ensemble import AniEnsemble
from site_configs.pinning import GpuError, required_gpu


@lru_cache(maxsize=2)
def ensemble(path: Path) -> AniEnsemble:
    """Load an ensemble, on the GPU this worker was given where there is one."""
    return potentials.load(path).to(device=worker_device())


def worker_device() -> str:
    """Return the device of this worker's torch work.

    Raises
    ------
    GpuError
        If the site gives this worker a GPU that it must use, and PyTorch finds none.
    """
    if torch.cuda.is_available():
        return "cuda"
    gpu = required_gpu()
    if gpu is not None:
        why = "is built without CUDA" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
        raise GpuError(
            f"this worker has GPU {gpu} of {platform.node()}, but PyTorch {torch.__version__} ({why}) sees"
            " none; python -m workflow.doctor tells more, and site.require_gpu=false lets it use the CPU"
        )
    return "cpu"
