"""A step, energies and forces, against TorchANI's: by size, members, neighbour list, and in a batch."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from benchmarks.engine_parts.bench import SKIN_ANG, Bench
from benchmarks.engine_parts.frames import crystal, disordered, large_disordered
from benchmarks.engine_parts.timing import Timing, Turn

OWN_LIST_ATOMS = 500
"""TorchANI's own cell list is tried from here on; smaller cells need images that it does not find."""
MEMBER_FORCES_ATOMS = 1000
"""Forces of every member are not asked of TorchANI for more atoms: minutes, and gigabytes."""
LISTS = ("kept", "rebuilt")


def against_torchani(bench: Bench) -> None:
    """Print µs per atom of ours and TorchANI's."""
    rows, member_rows = [], []
    with ExitStack() as stack:
        peers = {"": stack.enter_context(bench.torchani(1)), " fused": stack.enter_context(bench.torchani(1))}
        for members in (1, 8):
            for name, peer in peers.items():
                bench.load_torchani(peer, members, fused=bool(name))
            for n_atoms in (32, 108) if bench.quick else (32, 108, 500, 1000, 4000):
                frame = crystal(n_atoms)
                for peer in peers.values():
                    peer.ask("frames", path=bench.arrays([frame]))
                turns = _turns(bench, frame, members)
                for name, peer in peers.items():
                    for kind in LISTS + (("own",) if n_atoms >= OWN_LIST_ATOMS else ()):
                        turns[f"TorchANI{name} {kind}"] = peer.turn("step", lists=kind, member_forces=False)
                rows.append([n_atoms, members, *_row(bench, bench.take_turns(turns), n_atoms)])
                if members > 1 and n_atoms <= MEMBER_FORCES_ATOMS:
                    member_rows.append([n_atoms, *_member_row(bench, peers[""], n_atoms)])
    bench.table(
        "Energies and forces, µs per atom (FCC, rattled)",
        ["atoms", "members", "kept", "rebuilt", "torch kept", "torch rebuilt", "TorchANI kept",
         "TorchANI rebuilt", "× kept", "× rebuilt", "× torch kept", "× torch rebuilt", "spread"],
        rows,
        f"Neighbour list kept with a skin of {SKIN_ANG:g} Å, or found anew in every step; TorchANI's is the "
        "fastest of vesin and (from 500 atoms) its own cell list, of single and fused networks. torch: ours "
        "without the compiled kernel. Spread: largest median above least.",
    )  # fmt: skip
    bench.table(
        "The same with the forces of all 8 members, µs per atom",
        ["atoms", "kept", "TorchANI kept", "×"],
        member_rows,
    )


def _turns(bench: Bench, frame: object, members: int) -> dict[str, Turn]:
    batch = bench.batch([frame])
    turns = {}
    for kernel in ("auto", "torch"):
        ensemble = bench.members(members, kernel)
        for kind in LISTS:
            turns[f"{kernel} {kind}"] = bench.step(ensemble, batch, kept_list=kind == "kept")
    return turns


def _row(bench: Bench, timings: dict[str, Timing], n_atoms: int) -> list[float]:
    least = {name: 1e6 * timing.least(bench.device) / n_atoms for name, timing in timings.items()}
    kept = min(least["TorchANI kept"], least["TorchANI fused kept"])
    rebuilt = min(t for name, t in least.items() if name.startswith("TorchANI") and not name.endswith("kept"))
    ours = [least[f"{kernel} {kind}"] for kernel in ("auto", "torch") for kind in LISTS]
    ratios = [theirs / mine for mine, theirs in zip(ours, (kept, rebuilt) * 2, strict=True)]
    spread = max(timing.spread(bench.device) for timing in timings.values())
    return [*ours, kept, rebuilt, *ratios, f"{100 * spread:.0f} %"]


def _member_row(bench: Bench, peer: object, n_atoms: int) -> list[float]:
    ours = bench.step(bench.members(8), bench.batch([crystal(n_atoms)]), kept_list=True, member_forces=True)
    timings = bench.take_turns({"ours": ours, "theirs": peer.turn("step", lists="kept", member_forces=True)})
    mine, theirs = (1e6 * timings[name].least(bench.device) / n_atoms for name in ("ours", "theirs"))
    return [mine, theirs, theirs / mine]


def batch_of_cells(bench: Bench) -> None:
    """Print what a batch of small random cells costs beside one large cell of their density."""
    frames = disordered(8 if bench.quick else 64)
    n_atoms = sum(len(frame) for frame in frames)
    large = large_disordered(n_atoms)
    ensemble = bench.members(8)
    turns = {}
    for name, these in (("batch", frames), ("large", [large])):
        for kind in LISTS:
            turns[f"{name} {kind}"] = bench.step(ensemble, bench.batch(these), kept_list=kind == "kept")
    with bench.torchani(8) as peer:
        peer.ask("frames", path=bench.arrays(frames))
        for kind in LISTS:
            turns[f"TorchANI {kind}"] = peer.turn("step", lists=kind, member_forces=False)
        timings = bench.take_turns(turns)
    sizes = {"batch": n_atoms, "large": len(large), "TorchANI": n_atoms}
    least = {name: 1e6 * t.least(bench.device) / sizes[name.split()[0]] for name, t in timings.items()}
    rows = [
        [kind, *(least[f"{name} {kind}"] for name in sizes),
         least[f"batch {kind}"] / least[f"large {kind}"], least[f"TorchANI {kind}"] / least[f"batch {kind}"]]
        for kind in LISTS
    ]  # fmt: skip
    bench.table(
        f"{len(frames)} random cells of 55 to 249 atoms ({n_atoms} in all), 8 members, µs per atom",
        ["list", "in a batch", "one large cell", "TorchANI batch", "batch/large", "× TorchANI"],
        rows,
        "All at 2.7 g/cm³. TorchANI takes them as one padded batch with lists of vesin.",
    )


def threads(bench: Bench) -> None:
    """Print the wall time of 1,000 atoms with one thread and with two."""
    batch, rows = bench.batch([crystal(1000)]), []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        turns = {kind: bench.step(bench.members(8), batch, kept_list=kind == "kept") for kind in LISTS}
        timings = bench.take_turns(turns)
        rows.append([n_threads, *(1e3 * min(timings[kind].wall_s) for kind in LISTS)])
    torch.set_num_threads(1)
    bench.table(
        "1,000 atoms, 8 members, energies and forces, least wall time, ms",
        ["threads", *LISTS],
        rows,
        "The paper: about 20 ms on an RTX 2080 Ti.",
    )
