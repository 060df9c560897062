"""Peak memory of one step in a process of its own.

python -m benchmarks.engine_parts.memory ATOMS DIRECTORY DEVICE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from benchmarks.engine_parts.frames import crystal
from potentials.batch import Batch
from potentials.import_neurochem import read_neurochem


def main(n_atoms: int, weights: Path, device: str) -> None:
    """Print atoms, memory before and at its peak, and the time."""
    ensemble = read_neurochem(weights).to(device=device)
    batch = Batch.from_frames([crystal(n_atoms)], ["Al"], device=device)
    before = _memory_mib(device)
    start = time.perf_counter()
    ensemble.evaluate(batch).forces.cpu()
    seconds = time.perf_counter() - start
    found = {"before_mib": before, "peak_mib": _memory_mib(device), "seconds": seconds}
    print(json.dumps({"atoms": batch.n_atoms, **found}))


def _memory_mib(device: str) -> float:
    """Most memory so far: of the process, or of the card."""
    if device == "cpu":
        status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage counts the parent, too
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    return torch.cuda.max_memory_allocated() / 2**20


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
