"""Binds each worker to its GPU, and sees when two share one that should not.

Parsl's own pinning computes with the numbers of GPUs and gives several workers on one the wrong one, or one
that does not exist; it also overwrites what the scheduler gave. Here a worker looks up the GPU that its
launcher assigned to it among those that it was given.
"""

from __future__ import annotations

import os
import platform
from collections.abc import MutableMapping
from pathlib import Path

from site_configs.launch_variables import GPU_REQUIRED, GPUS, WORKERS_PER_GPU
from site_configs.marks import is_alive, own_name

VISIBLE = "CUDA_VISIBLE_DEVICES"
PINNED = "SMELTER_GPU"
"""Holds the process and the GPU that it is bound to, in that process."""


class GpuError(RuntimeError):
    """A worker has no GPU of its own where it should have one."""


def pin_once(claims: Path) -> None:
    """Bind this worker to its GPU when it takes its first task; does nothing for roles without GPUs.

    Parameters
    ----------
    claims
        Directory in which the workers of all executors say which GPU they have.

    Raises
    ------
    GpuError
        If this node gave it fewer GPUs than its site says, or others are on the GPU already.
    """
    if os.environ.get(GPUS) and not os.environ.get(PINNED, "").startswith(f"{own_name()} "):
        gpu = assigned_gpu(os.environ)
        claim(claims, gpu, int(os.environ.get(WORKERS_PER_GPU, "1")))
        os.environ[VISIBLE] = gpu
        os.environ[PINNED] = f"{own_name()} {gpu}"


def required_gpu() -> str | None:
    """Return the GPU that this worker is bound to and must use; ``None`` where it may use the CPU."""
    process, _, gpu = os.environ.get(PINNED, "").partition(" ")
    return gpu if process == own_name() and os.environ.get(GPU_REQUIRED) else None


def assigned_gpu(environment: MutableMapping[str, str]) -> str:
    """Return the GPU of the worker with this environment, as CUDA is to be told.

    Raises
    ------
    GpuError
        If the node gave no such GPU.
    """
    gpus = environment[GPUS].split(",")
    rank = int(environment.get("PARSL_WORKER_RANK", "0"))
    if rank >= len(gpus):
        raise GpuError(f"worker {rank} of {platform.node()} has no GPU: {len(gpus)} workers have one")
    gpu = gpus[rank]
    given = environment.get(VISIBLE)
    if given is None or not gpu.isdecimal():
        return gpu
    visible = [name.strip() for name in given.split(",") if name.strip()]
    if int(gpu) >= len(visible):
        raise GpuError(
            f"worker {rank} of {platform.node()} is to use GPU {gpu} (counted from 0), but its step was given"
            f" {len(visible)}: {given or 'none'}; compare node.gpus and the launcher's options"
        )
    return visible[int(gpu)]


def claim(claims: Path, gpu: str, most: int) -> None:
    """Say that this process uses a GPU of this node.

    Raises
    ------
    GpuError
        If ``most`` living processes do so already.
    """
    others = []
    for place in range(most):
        path = claims / f"{platform.node()}.{gpu.replace('/', '_')}.{place}"
        holder = _holder(path)
        if holder is None:
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_text(own_name())
            try:
                os.link(temporary, path)
            except FileExistsError:  # another worker was faster
                holder = _holder(path)
            finally:
                temporary.unlink()
            if holder is None:
                return
        others.append(holder)
    raise GpuError(
        f"GPU {gpu} of {platform.node()} is used by {' and '.join(others)} already, and process {own_name()}"
        f" was bound to it as well; expected {most} at most"
    )


def _holder(path: Path) -> str | None:
    """Return the living process that made a claim; claims of dead ones are removed."""
    try:
        name = path.read_text()
    except FileNotFoundError:
        return None
    if name and is_alive(name):
        return name
    path.unlink(missing_ok=True)
    return None
