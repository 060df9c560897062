"""Evaluates one large frame with eight networks of published size and prints what memory that took, GiB."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from ase.build import bulk

from potentials import network
from potentials.batch import Batch
from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble


def peak_gib() -> float:
    """Return the most memory this program has held; getrusage counts the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def main(repeats: tuple[int, int, int]) -> None:
    config = AniConfig(**PUBLISHED_WIDTHS)
    spec = DescriptorSpec.from_config(config, 1)
    networks = network.initial(spec, config, range(config.n_members))
    ensemble = AniEnsemble(config, ("Al",), spec, networks, torch.zeros(1, dtype=torch.float64))
    frame = bulk("Al", cubic=True).repeat(repeats)
    frame.rattle(0.1, seed=1)
    small = Batch.from_frames([bulk("Al", cubic=True)], ensemble.elements)
    ensemble.evaluate(small, stress=True)
    before = peak_gib()
    found = ensemble.evaluate(Batch.from_frames([frame], ensemble.elements), stress=True)
    assert bool(torch.isfinite(found.forces).all())
    print(json.dumps({"n_atoms": len(frame), "before_gib": before, "peak_gib": peak_gib()}))  # noqa: T201


if __name__ == "__main__":
    main((int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
