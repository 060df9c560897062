"""What the machine can do at most, and how much of it a step uses."""

from __future__ import annotations

import torch

from benchmarks.engine_parts.bench import Bench
from benchmarks.engine_parts.frames import crystal
from potentials.kernels.select import kernel_for
from potentials.neighbours import NeighbourList

PER_EXP = 12
"""Operations that an exponential, a power or a root counts for."""


def flop_per_atom(bench: Bench, pairs: float, near: float) -> dict[str, float]:
    """Estimate the operations that energies and mean forces of one atom need.

    ``pairs`` neighbours lie within the radial cutoff, ``near`` within the angular one. Networks: two per
    weight forward, two back. A radial term and its derivative: one exponential and 4 operations each. A
    triple: 2 per angular feature for the values and 4 for the gradient, one exponential and 4 operations per
    shell and angle each time, and 60 for distances, cosines and vectors.
    """
    spec, networks = bench.ensemble.spec, bench.ensemble.networks
    weights = sum(w[0].numel() for w in networks.weights[0])
    shells, angles = len(spec.angular_shifts_ang), len(spec.angle_shifts_rad)
    triples = near * (near - 1) / 2
    return {
        "networks": 4.0 * weights * networks.n_members,
        "radial": 2.0 * pairs * len(spec.radial_shifts_ang) * (PER_EXP + 4),
        "angular": triples * (6 * shells * angles + 2 * (shells + angles) * (PER_EXP + 4) + 60),
    }


def share_of_peak(bench: Bench) -> None:
    """Print peaks and what a step and its parts reach."""
    n_atoms = 108 if bench.quick else 500
    size = 512 if bench.quick else 2048 if bench.device == "cpu" else 8192
    copied = torch.rand(2**22 if bench.quick else 2**26, device=bench.device)
    target = torch.empty_like(copied)
    a, b = torch.rand(2, size, size, device=bench.device)
    batch = bench.batch([crystal(n_atoms)])
    graph = NeighbourList(bench.ensemble.cutoff_ang).graph(batch)
    lengths = graph.vector.norm(dim=1)
    near = float((lengths < bench.ensemble.spec.angular_cutoff_ang).sum()) / n_atoms
    flop = flop_per_atom(bench, graph.n_pairs / n_atoms, near)
    descriptors = kernel_for(bench.ensemble.spec, bench.device)(graph)
    cotangent = torch.rand_like(descriptors.values)[None]
    kernel = kernel_for(bench.ensemble.spec, bench.device)
    timings = bench.take_turns(
        {
            "product": bench.turn(lambda: a @ b),
            "copy": bench.turn(lambda: target.copy_(copied)),
            "step": bench.step(bench.members(8), batch, kept_list=True),
            "descriptors": bench.turn(lambda: (kernel(graph).values, descriptors.vjp(cotangent))),
        }
    )
    least = {name: timing.least(bench.device) for name, timing in timings.items()}
    peak = 2e-9 * size**3 / least["product"]
    rows = []
    for name, parts in (("step", tuple(flop)), ("descriptors", ("radial", "angular"))):
        work = sum(flop[part] for part in parts)
        rate = 1e-9 * work * n_atoms / least[name]
        rows.append([name, work / 1e6, 1e6 * least[name] / n_atoms, rate, f"{100 * rate / peak:.0f} %"])
    bench.table(
        f"Share of the peak: {n_atoms} atoms, 8 members, energies and mean forces, list kept",
        ["", "MFLOP/atom", "µs/atom", "GFLOP/s", "of the peak"],
        rows,
        f"Peak by torch: matrix product {peak:.0f} GFLOP/s (float32, {size}²), "
        f"copying {8e-9 * copied.numel() / least['copy']:.1f} GB/s. Operations are counted from {near:.0f} "
        f"neighbours within 5 Å and {graph.n_pairs / n_atoms:.0f} within 7 Å; an exponential or power is "
        f"{PER_EXP}; networks are {flop['networks'] / 1e6:.2f} MFLOP.",
    )  # fmt: skip


def kernels(bench: Bench) -> None:
    """Print the time of the descriptor kernels alone."""
    n_atoms = 108 if bench.quick else 500
    graph = NeighbourList(bench.ensemble.cutoff_ang, 0.5).graph(bench.batch([crystal(n_atoms)]))
    spec, rows = bench.ensemble.spec, []
    cotangent = torch.randn(8, n_atoms, spec.n_features, device=bench.device)
    tangent = torch.randn(8, graph.n_pairs, 3, device=bench.device)
    fastest = kernel_for(spec, bench.device)
    torch_kernel = kernel_for(spec, bench.device, "torch")
    for kernel in {kernel.name: kernel for kernel in (fastest, torch_kernel)}.values():
        descriptors = kernel(graph)
        turns = {
            "values": lambda kernel=kernel: kernel(graph).values,
            "one gradient": lambda descriptors=descriptors: descriptors.vjp(cotangent[:1]),
            "eight": lambda descriptors=descriptors: descriptors.vjp(cotangent),
            "one tangent": lambda descriptors=descriptors: descriptors.jvp(tangent[:1]),
            "eight tangents": lambda descriptors=descriptors: descriptors.jvp(tangent),
        }
        timings = bench.take_turns({name: bench.turn(call) for name, call in turns.items()})
        rows.append(
            [kernel.name, *(1e6 * timing.least(bench.device) / n_atoms for timing in timings.values())]
        )
    columns = ["kernel", "values", "1 gradient", "8 gradients", "1 tangent", "8 tangents"]
    bench.table(f"Descriptors alone, {n_atoms} atoms, µs per atom", columns, rows)
