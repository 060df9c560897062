"""What all parts of the engine benchmark share: where to compute, with which weights, and what was found."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from benchmarks.engine_parts.timing import Timing, Turn, take_turns, turn_of
from benchmarks.peers.client import Peer
from benchmarks.peers.environment import peer_python
from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.import_neurochem import read_neurochem
from potentials.kernels.library import forgone
from potentials.kernels.select import KernelName
from potentials.neighbours import NeighbourList

SKIN_ANG = 1.0


@dataclass
class Bench:
    """One run.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    quick
        Small sizes and short times: does everything run?
    weights
        NeuroChem's files, read by all.
    scratch
        A directory for arrays on their way to rivals.
    peers
        Where the rivals' environment is, or is made.
    atoms
        Sizes of the crystals of which a step is compared.
    """

    device: str
    quick: bool
    weights: Path
    scratch: Path
    peers: Path
    atoms: Sequence[int] = (32, 108)
    tables: list[dict[str, Any]] = field(default_factory=list, init=False)

    @cached_property
    def ensemble(self) -> AniEnsemble:
        """Ours, float32."""
        return read_neurochem(self.weights).to(device=self.device)

    @property
    def seconds(self) -> float:
        """How long to go on with one comparison."""
        return 0.3 if self.quick else 4.0

    def members(self, n_members: int, kernel: KernelName = "auto") -> AniEnsemble:
        """The first members of ours."""
        networks = self.ensemble.networks.map(lambda tensor: tensor[:n_members])
        return replace(self.ensemble, networks=networks, kernel=kernel)

    def batch(self, frames: Sequence[Atoms]) -> Batch:
        """Frames as ours takes them."""
        return Batch.from_frames(frames, ["Al"], device=self.device)

    def step(
        self, ensemble: AniEnsemble, batch: Batch, *, kept_list: bool, member_forces: bool = False
    ) -> Turn:
        """Turns of energies and forces by ours; without anything compiled if its kernel is PyTorch's."""
        kept = NeighbourList(ensemble.cutoff_ang, SKIN_ANG) if kept_list else None
        without_compiler = ensemble.kernel == "torch"

        def call() -> None:
            with forgone() if without_compiler else nullcontext():
                ensemble.evaluate(batch, neighbours=kept, member_forces=member_forces)

        return self.turn(call)

    def turn(self, call: Callable[[], object]) -> Turn:
        """Turns of a function of ours."""
        return turn_of(call, self.device)

    def take_turns(self, turns: dict[str, Turn]) -> dict[str, Timing]:
        """Measure."""
        return take_turns(turns, self.seconds, least_rounds=2 if self.quick else 3)

    def peer(self, name: str, *, keep_memory: bool = False) -> Peer:
        """Start a rival: ``torchani`` or ``hippynn``."""
        return Peer(peer_python(self.peers), f"benchmarks.peers.{name}_peer", keep_memory=keep_memory)

    def torchani(self, members: int, *, dtype: str = "float32", keep_memory: bool = False) -> Peer:
        """Start TorchANI with the first members of these weights."""
        peer = self.peer("torchani", keep_memory=keep_memory)
        peer.ask("load", directory=self.weights, device=self.device, dtype=dtype, members=members)
        return peer

    def arrays(self, frames: Sequence[Atoms], **more: np.ndarray) -> Path:
        """Write frames for a rival, the smaller ones padded, and return the file."""
        most = max(len(frame) for frame in frames)
        positions = np.zeros((len(frames), most, 3))
        for row, frame in zip(positions, frames, strict=True):
            row[: len(frame)] = frame.get_positions(wrap=True)
        path = self.scratch / "frames.npz"
        np.savez(
            path,
            positions=positions,
            cells=np.stack([frame.cell.array for frame in frames]),
            n_atoms=np.array([len(frame) for frame in frames]),
            **more,
        )
        return path

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ""
    ) -> None:
        """Print a table, in Markdown, and keep it."""
        cells = [[_text(value) for value in row] for row in rows]
        widths = [max(3, *map(len, column)) for column in zip(columns, *cells, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        print(f"\n{title}\n")
        for first, *others in (columns, rule, *cells):
            padded = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
            print("| " + " | ".join([first.ljust(widths[0]), *padded]) + " |")
        print(f"\n{note}" if note else "", flush=True)
        self.tables.append({"title": title, "columns": list(columns), "rows": rows, "note": note})


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def header(device: str, weights: str) -> dict[str, Any]:
    """Return what figures must be read with."""
    packages = ("torch", "numpy", "ase", "vesin")
    pinned = (Path(__file__).parents[1] / "peers" / "requirements.txt").read_text().split()
    return {
        "machine": f"{os.cpu_count()} CPUs, {_processor()}",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread each",
        "load": f"{os.getloadavg()[0]:.1f}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in packages]
            + [pin.replace("==", " ") for pin in pinned if pin.startswith(("torchani", "hippynn"))]
        ),
        "weights": weights,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write_json(path: Path, head: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    """Write everything found."""
    path.write_text(json.dumps({**head, "tables": tables}, indent=1, default=str) + "\n", encoding="utf-8")
