"""Time the descriptor kernels on a rattled FCC crystal: µs per atom, least of several runs, one thread.

python -m benchmarks.kernel_speed [--atoms 500] [--repeats 20] [--dtype float32] [--kernels cpp torch]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list

from potentials.config import AniConfig
from potentials.descriptors import DescriptorKernel, DescriptorSpec, PairGraph
from potentials.kernels.select import kernel_for

SKIN_ANG = 0.5


def fcc(n_atoms: int, dtype: torch.dtype) -> PairGraph:
    """A crystal of about ``n_atoms`` atoms, with the pairs of a skin list."""
    frame = bulk("Al", a=4.05, cubic=True) * max(1, round((n_atoms / 4) ** (1 / 3)))
    frame.rattle(0.1, seed=3)
    centre, neighbour, vector = neighbor_list("ijD", frame, 7.0 + SKIN_ANG)
    counts = np.bincount(centre, minlength=len(frame))
    return PairGraph(
        species=torch.zeros(len(frame), dtype=torch.int64),
        first_pair=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        centre=torch.from_numpy(centre),
        neighbour=torch.from_numpy(neighbour),
        vector=torch.from_numpy(vector).to(dtype),
        frame_index=torch.zeros(len(frame), dtype=torch.int64),
        n_frames=1,
    )


def least_cpu_time(function: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the fastest of ``repeats`` calls."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def tasks_of(kernel: DescriptorKernel, graph: PairGraph, n_features: int) -> list[Callable[[], object]]:
    """The columns of the table."""
    descriptors = kernel(graph)
    cotangent = torch.randn(8, graph.n_atoms, n_features, dtype=graph.vector.dtype)
    tangent = torch.randn(8, graph.n_pairs, 3, dtype=graph.vector.dtype)
    return [
        lambda: kernel(graph).values,
        lambda: descriptors.vjp(cotangent[:1]),
        lambda: descriptors.vjp(cotangent),
        lambda: descriptors.jvp(tangent[:1]),
        lambda: descriptors.jvp(tangent),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--kernels", nargs="+", default=["cpp", "torch"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, arguments.dtype)
    graph = fcc(arguments.atoms, dtype)
    spec = DescriptorSpec.from_config(AniConfig(), 1)
    print(
        f"FCC, {graph.n_atoms} atoms, {graph.n_pairs / graph.n_atoms:.0f} pairs per atom, {arguments.dtype}"
    )
    print(f"{'µs per atom':12}{'values':>9}{'vjp 1':>9}{'vjp 8':>9}{'jvp 1':>9}{'jvp 8':>9}")
    for name in arguments.kernels:
        tasks = tasks_of(kernel_for(spec, "cpu", name), graph, spec.n_features)
        row = [1e6 * least_cpu_time(task, arguments.repeats) / graph.n_atoms for task in tasks]
        print(f"{name:12}" + "".join(f"{value:9.1f}" for value in row))


if __name__ == "__main__":
    main()
