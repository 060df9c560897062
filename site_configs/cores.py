"""How many cores this process may use, and which GPUs."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from pathlib import Path


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores this process may use: by affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def usable_gpus() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs this process may use; empty where there are none.

    The names are the driver's universal identifiers, not numbers: Parsl computes with numbers, and gives
    several workers on one GPU the wrong one.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    names = [line.strip() for line in answer.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(names) if visible is None else _visible(names, visible)


def _visible(names: list[str], visible: str) -> tuple[str, ...]:
    chosen = [entry.strip() for entry in visible.split(",") if entry.strip()]
    return tuple(
        names[int(entry)] if entry.isdecimal() and int(entry) < len(names) else entry for entry in chosen
    )
