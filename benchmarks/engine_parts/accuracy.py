"""Energies and forces against TorchANI's reading of the same weights, float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.units import Hartree

from benchmarks.engine_parts.bench import Bench
from benchmarks.engine_parts.dynamics import melt
from benchmarks.engine_parts.frames import disordered
from benchmarks.peers.client import Peer
from potentials.batch import Batch
from potentials.import_neurochem import read_neurochem


def test_frames(bench: Bench) -> dict[str, Atoms]:
    """Frames of every kind, by name: random, rattled crystals down to cells far below the cutoff, molten."""
    crystals = {
        "FCC": bulk("Al", a=4.05, cubic=True).repeat(2),
        "HCP": bulk("Al", "hcp", a=2.86, c=4.7).repeat((3, 3, 2)),
        "BCC": bulk("Al", "bcc", a=3.24, cubic=True).repeat(3),
        "FCC, 4 atoms": bulk("Al", a=4.05, cubic=True),
        "FCC, skewed, 1 atom": bulk("Al", a=4.0),
        "HCP, 2 atoms": bulk("Al", "hcp", a=2.8, c=4.7),
        "SC, 8 atoms": bulk("Al", "sc", a=2.71).repeat(2),
        "diamond, 8 atoms": bulk("Al", "diamond", a=6.1, cubic=True),
    }
    for seed, frame in enumerate(crystals.values()):
        frame.rattle(0.15, seed=seed)
    densities = (1.9, 2.7, 3.9)
    random = {f"random, {d} g/cm³": disordered(1, d, seed=1)[0] for d in densities}
    liquid = {f"molten, {k} K": melt(bench, bulk("Al", a=4.2, cubic=True).repeat(2), k) for k in (1500, 3000)}
    return {**random, **crystals, **liquid}


def accuracy(bench: Bench, reference: Path | None = None) -> None:
    """Print the largest differences; write TorchANI's results to ``reference``."""
    kept: dict[str, np.ndarray] = {}
    rows = []
    with bench.torchani(8, dtype="float64") as peer:
        for number, (name, frame) in enumerate(test_frames(bench).items()):
            frame.wrap()
            energy, forces = _theirs(bench, peer, frame)
            row = [name, len(frame)]
            for dtype, kernel in ((torch.float64, "auto"), (torch.float64, "torch"), (torch.float32, "auto")):
                ensemble = replace(
                    read_neurochem(bench.weights, dtype).to(device=bench.device), kernel=kernel
                )
                batch = Batch.from_frames([frame], ["Al"], dtype=dtype, device=bench.device)
                ours = ensemble.evaluate(batch)
                off = ours.forces.double().cpu().numpy() / Hartree - forces
                mean = float(ours.member_energies.mean()) / Hartree
                row += [f"{abs(mean - energy) / len(frame):.1e}", f"{np.abs(off).max():.1e}"]
            rows.append(row)
            kept.update(
                {f"name_{number}": np.array(name), f"cell_{number}": frame.cell.array,
                 f"positions_{number}": frame.positions, f"energy_ha_{number}": np.array(energy),
                 f"forces_ha_per_ang_{number}": forces}
            )  # fmt: skip
    bench.table(
        "Largest difference from TorchANI in float64: energy, Ha/atom, and force component, Ha/Å",
        ["frame", "atoms", "float64", "", "torch kernel", "", "float32", ""],
        rows,
    )
    if reference is not None:
        np.savez_compressed(reference, **kept)


def _theirs(bench: Bench, peer: Peer, frame: Atoms) -> tuple[float, np.ndarray]:
    peer.ask("frames", path=bench.arrays([frame]))
    path = bench.scratch / "results.npz"
    peer.ask("results", path=path)
    with np.load(path) as archive:
        return float(archive["energies"][0]), archive["forces"][0]
