"""A step, energies and forces, against TorchANI's: by size, members, neighbour list, and in a batch."""

from __future__ import annotations

import torch
from ase import Atoms

from benchmarks.engine_parts.bench import SKIN_ANG, Bench
from benchmarks.engine_parts.frames import crystal, disordered, large_disordered
from benchmarks.engine_parts.timing import Timing, Turn
from benchmarks.peers.client import KEEP_MEMORY, Peer

OWN_LIST_ATOMS = 500
"""TorchANI's own cell list is tried from here on; smaller cells need images that it does not find."""
MOST_ATOMS = 1000
"""On a CPU, for more atoms than this TorchANI is asked for less: single networks, lists by vesin."""
LISTS = ("kept", "rebuilt")


def against_torchani(bench: Bench) -> None:
    """Print µs per atom of ours and TorchANI's, which has a fresh process for every size."""
    rows, member_rows = [], []
    for n_atoms in bench.atoms:
        frame = crystal(n_atoms)
        for members in (1, 8):
            turns = _turns(bench, frame, members)
            with bench.torchani(members) as peer, bench.torchani(members, keep_memory=True) as keeper:
                for rival in (peer, keeper):
                    rival.ask("frames", path=bench.arrays([frame]))
                everything = n_atoms <= MOST_ATOMS or bench.device == "cuda"
                turns |= _turns_of_torchani("TorchANI", peer, n_atoms, everything)
                turns |= _turns_of_torchani("tuned", keeper, n_atoms, everything)
                rows.append([n_atoms, members, *_row(bench, bench.take_turns(turns), n_atoms)])
                if members > 1 and everything:
                    member_rows.append([n_atoms, *_member_row(bench, peer, n_atoms)])
    bench.table(
        "Energies and forces, µs per atom (FCC, rattled)",
        ["atoms", "members", "kept", "rebuilt", "torch kept", "TorchANI kept", "TorchANI rebuilt",
         "tuned kept", "× kept", "× rebuilt", "× torch kept", "× tuned kept", "spread"],
        rows,
        f"Neighbour list kept with a skin of {SKIN_ANG:g} Å, or found anew in every step. torch: ours "
        "without anything compiled. TorchANI: the fastest of lists by vesin and (from 500 atoms) its own, "
        "of single and fused networks. tuned: TorchANI with glibc told to keep its memory "
        f"({' '.join(f'{k}={v}' for k, v in KEEP_MEMORY.items())}), without which much of its time is page "
        "faults. Spread: largest median above least.",
    )  # fmt: skip
    bench.table(
        "The same with the forces of all 8 members, µs per atom",
        ["atoms", "kept", "TorchANI kept", "×"],
        member_rows,
    )


def _turns(bench: Bench, frame: Atoms, members: int) -> dict[str, Turn]:
    batch = bench.batch([frame])
    return {
        f"{kernel} {kind}": bench.step(bench.members(members, kernel), batch, kept_list=kind == "kept")
        for kernel, kind in (("auto", "kept"), ("auto", "rebuilt"), ("torch", "kept"))
    }


def _turns_of_torchani(name: str, peer: Peer, n_atoms: int, everything: bool) -> dict[str, Turn]:
    kinds = LISTS + (("own",) if n_atoms >= OWN_LIST_ATOMS and everything else ())
    return {
        f"{name} {'fused' if fused else 'single'} {kind}": peer.turn("step", lists=kind, fused=fused)
        for fused in ((False, True) if everything else (False,))
        for kind in (kinds if name == "TorchANI" else ("kept",))
    }


def _row(bench: Bench, timings: dict[str, Timing], n_atoms: int) -> list[object]:
    least = {name: 1e6 * timing.least(bench.device) / n_atoms for name, timing in timings.items()}

    def fastest(rival: str, *kinds: str) -> float:
        return min(t for name, t in least.items() if name.startswith(rival) and name.endswith(kinds))

    kept, rebuilt = fastest("TorchANI", "kept"), fastest("TorchANI", "rebuilt", "own")
    tuned, (ours, anew, plain) = fastest("tuned", "kept"), list(least.values())[:3]
    ratios = [kept / ours, rebuilt / anew, kept / plain, tuned / ours]
    spread = max(timing.spread(bench.device) for timing in timings.values())
    return [ours, anew, plain, kept, rebuilt, tuned, *ratios, f"{100 * spread:.0f} %"]


def _member_row(bench: Bench, peer: Peer, n_atoms: int) -> list[float]:
    ours = bench.step(bench.members(8), bench.batch([crystal(n_atoms)]), kept_list=True, member_forces=True)
    theirs = peer.turn("step", lists="kept", member_forces=True)
    timings = bench.take_turns({"ours": ours, "theirs": theirs})
    mine, other = (1e6 * timings[name].least(bench.device) / n_atoms for name in ("ours", "theirs"))
    return [mine, other, other / mine]


def batch_of_cells(bench: Bench) -> None:
    """Print what a batch of small random cells costs beside one large cell of their density."""
    frames = disordered(8 if bench.quick else 64)
    n_atoms = sum(len(frame) for frame in frames)
    large = large_disordered(n_atoms)
    ensemble, rows = bench.members(8), []
    for kind in LISTS:
        batch, cell = (
            bench.step(ensemble, bench.batch(these), kept_list=kind == "kept") for these in (frames, [large])
        )
        timings = bench.take_turns({"batch": batch, "cell": cell})
        with bench.torchani(8) as peer:
            peer.ask("frames", path=bench.arrays(frames))
            theirs = peer.turn("step", lists=kind)
            beside = bench.take_turns({"batch": batch, "TorchANI": theirs})
        in_batch, in_cell = (1e6 * timings[name].least(bench.device) for name in ("batch", "cell"))
        ratio = beside["TorchANI"].least(bench.device) / beside["batch"].least(bench.device)
        ours = [in_batch / n_atoms, in_cell / len(large)]
        rows.append([kind, *ours, ours[0] / ours[1], ratio])
    bench.table(
        f"{len(frames)} random cells of 55 to 249 atoms ({n_atoms} in all), 8 members, µs per atom",
        ["list", "in a batch", "one large cell", "batch/large", "× TorchANI"],
        rows,
        "All at 2.7 g/cm³. TorchANI takes them as one padded batch, with lists by vesin.",
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
