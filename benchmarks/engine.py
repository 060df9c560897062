"""The numerical engine beside the libraries that one would take instead, in one run.

    python -m benchmarks.engine [--device cpu|cuda] [--quick] [--weights DIR] [--only PART ...] [--json OUT]

Rivals (TorchANI, hippynn) run in an environment of their own, made at the first run, in a process of their
own; turns alternate, one thread each. Times are the least CPU time of a call over all turns (on a GPU wall
time, after waiting for it), so that other work on the machine matters little; the spread is given too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.engine_parts.accuracy import accuracy
from benchmarks.engine_parts.bench import Bench, header, write_json
from benchmarks.engine_parts.dynamics import dynamics
from benchmarks.engine_parts.growth import growth
from benchmarks.engine_parts.machine import kernels, share_of_peak
from benchmarks.engine_parts.steps import against_torchani, batch_of_cells, threads
from benchmarks.engine_parts.training import training
from benchmarks.engine_parts.weights import find_weights
from benchmarks.peers.client import PeerError
from benchmarks.peers.environment import DEFAULT_DIRECTORY
from potentials.neurochem import NeuroChemError

PARTS: dict[str, Callable[[Bench], None]] = {
    "accuracy": accuracy,
    "peak": share_of_peak,
    "kernels": kernels,
    "steps": against_torchani,
    "batch": batch_of_cells,
    "threads": threads,
    "training": training,
    "dynamics": dynamics,
    "growth": growth,
}
WEIGHTS = "SMELTER_ANI_AL"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 0, or 1 if a rival or the weights fail, or 2 for wrong usage."""
    options = _options(arguments)
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _run(options, Path(scratch))
        except (NeuroChemError, PeerError, RuntimeError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1


def _run(options: argparse.Namespace, scratch: Path) -> int:
    weights, what = find_weights(options.weights, scratch)
    head = header(options.device, what)
    for name, value in head.items():
        print(f"{name:9} {value}")
    bench = Bench(options.device, options.quick, weights, scratch, options.peers, options.atoms)
    for name in options.only:
        start = time.perf_counter()
        if name == "accuracy":
            accuracy(bench, options.write_reference)
        else:
            PARTS[name](bench)
        print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)
    if options.json:
        write_json(options.json, {**head, "load at the end": f"{os.getloadavg()[0]:.1f}"}, bench.tables)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="small and short: does everything run?")
    parser.add_argument(
        "--weights",
        type=Path,
        default=os.environ.get(WEIGHTS),
        help=f"NeuroChem's files, such as the published ANI-Al; default ${WEIGHTS}, else random weights",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--atoms", nargs="+", type=int, help="sizes for the part steps")
    parser.add_argument("--json", type=Path, help="write all tables to this file")
    parser.add_argument(
        "--peers", type=Path, default=DEFAULT_DIRECTORY, help="where the rivals' environment is made"
    )
    parser.add_argument(
        "--write-reference", type=Path, help="with the part accuracy: write TorchANI's results to this .npz"
    )
    options = parser.parse_args(arguments)
    options.atoms = options.atoms or ((32, 108) if options.quick else (32, 108, 500, 1000, 4000))
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this torch sees no CUDA device")
    return options


if __name__ == "__main__":
    sys.exit(main())
