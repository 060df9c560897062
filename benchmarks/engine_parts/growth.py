"""How time and memory grow with atoms, members and cells in a batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from benchmarks.engine_parts import memory
from benchmarks.engine_parts.bench import Bench
from benchmarks.engine_parts.frames import crystal, disordered
from benchmarks.peers.client import ROOT


def growth(bench: Bench) -> None:
    """Print time per atom by atoms, members and cells, and peak memory by atoms."""
    _by_atoms(bench)
    _by_members(bench)
    _by_cells(bench)
    _memory(bench)


def _by_atoms(bench: Bench) -> None:
    rows = []
    for n_atoms in (108, 500) if bench.quick else (500, 2000, 8000, 50_000):
        batch = bench.batch([crystal(n_atoms)])
        turns = {k: bench.step(bench.ensemble, batch, kept_list=k == "kept") for k in ("kept", "rebuilt")}
        timings = bench.take_turns(turns)
        rows.append([batch.n_atoms, *(1e6 * timings[k].least(bench.device) / batch.n_atoms for k in turns)])
    bench.table("Growth with atoms, 8 members, µs per atom", ["atoms", "kept", "rebuilt"], rows)


def _by_members(bench: Bench) -> None:
    batch = bench.batch([crystal(108 if bench.quick else 500)])
    turns = {}
    for n in (1, 2, 4, 8):
        turns[f"{n}"] = bench.step(bench.members(n), batch, kept_list=True)
        turns[f"{n} all"] = bench.step(bench.members(n), batch, kept_list=True, member_forces=True)
    least = {
        name: 1e6 * timing.least(bench.device) / batch.n_atoms
        for name, timing in bench.take_turns(turns).items()
    }
    rows = [[n, least[f"{n}"], least[f"{n} all"]] for n in (1, 2, 4, 8)]
    bench.table(
        f"Growth with members, {batch.n_atoms} atoms, µs per atom",
        ["members", "mean forces", "all members' forces"],
        rows,
    )


def _by_cells(bench: Bench) -> None:
    cells = disordered(4 if bench.quick else 256)
    numbers = [n for n in (1, 2, 4, 8, 16, 64, 256) if n <= len(cells)]
    batches = {n: bench.batch(cells[:n]) for n in numbers}
    turns = {str(n): bench.step(bench.ensemble, batch, kept_list=True) for n, batch in batches.items()}
    timings = bench.take_turns(turns)
    rows = [
        [n, batches[n].n_atoms, 1e6 * timings[str(n)].least(bench.device) / batches[n].n_atoms,
         1e3 * timings[str(n)].least(bench.device)]
        for n in numbers
    ]  # fmt: skip
    bench.table(
        "Growth with random cells in a batch, 8 members, list kept",
        ["cells", "atoms", "µs per atom", "ms per step"],
        rows,
    )


def _memory(bench: Bench) -> None:
    rows = []
    for n_atoms in (108, 500) if bench.quick else (500, 4000, 10_000, 50_000, 100_000):
        found = memory_of_ours(bench, n_atoms)
        theirs: object = "-"
        if n_atoms <= 4000:
            with bench.torchani(8) as peer:
                peer.ask("frames", path=bench.arrays([crystal(n_atoms)]))
                peer.ask("step", lists="rebuilt")
                theirs = peer.ask("peak_memory_mib")
        rows.append([found["atoms"], found["before_mib"], found["peak_mib"], found["seconds"], theirs])
    bench.table(
        "Peak memory of a process, 8 members, energies and forces, MiB",
        ["atoms", "before", "peak", "first step, s", "TorchANI peak"],
        rows,
    )


def memory_of_ours(bench: Bench, n_atoms: int) -> dict[str, float]:
    """Run one step in a fresh process and return its memory."""
    done = subprocess.run(
        [sys.executable, "-m", memory.__name__, str(n_atoms), str(bench.weights), bench.device],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
