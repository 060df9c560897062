"""Binds each worker to cores of its own, and with it whatever it starts.

Every executor sees all cores of a node. Left alone, the ranks and threads of labels side by side move over
all of them, and programs that bind themselves, as ``mpirun`` does by default, all take the first ones. So a
worker binds itself, by its place among those of the node, and the ranks of its labels inherit that.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from site_configs.launch_variables import CORES, LAUNCHER

TO_CORES = "--cpu-bind=cores"
"""What ``srun`` is told where a label has whole nodes; it knows nothing of other steps beside it."""
_TOPOLOGY = Path("/sys/devices/system/cpu")

Core = tuple[int, ...]
"""The hardware threads of a core, by the kernel's numbers."""


@dataclass(frozen=True)
class CoreShare:
    """Which cores of a node the workers of one executor have.

    Attributes
    ----------
    first
        Position of the first worker's first core.
    each
        Cores of each worker.
    node
        Cores of the node, as its site counts them.
    in_set
        Cores of the executor's own resource set, where its launcher makes one (jsrun); 0 where it makes none.
        Whether workers see only these, or the whole node, shows in how many they see.
    """

    first: int
    each: int
    node: int
    in_set: int = 0

    def __str__(self) -> str:
        return f"{self.first},{self.each},{self.node},{self.in_set}"

    @classmethod
    def read(cls, text: str) -> CoreShare:
        """Return what was written by ``str``."""
        return cls(*map(int, text.split(",")))


def bind() -> None:
    """Bind this worker to its cores; where it was told of none, or the node has too few, do nothing."""
    if not os.environ.get(CORES):
        return
    share = CoreShare.read(os.environ[CORES])
    rank = int(os.environ.get("PARSL_WORKER_RANK", "0"))
    own = threads_of_worker(share, rank, cores_among(os.sched_getaffinity(0)))
    if own is None:
        return
    os.sched_setaffinity(0, own)
    if LAUNCHER in os.environ and share.each < share.node:
        # What srun starts does not inherit from us. One mask for all ranks: they share the worker's cores.
        mask = sum(1 << thread for thread in own)
        os.environ[LAUNCHER] = os.environ[LAUNCHER].replace(TO_CORES, f"--cpu-bind=mask_cpu:{mask:#x}")


def threads_of_worker(share: CoreShare, rank: int, cores: Sequence[Core]) -> Core | None:
    """Return the hardware threads of a worker, whole cores where the site counts cores.

    ``None`` where the node lets us use fewer than its site says.
    """
    units: Sequence[Core] = cores
    first = share.first
    if len(cores) < share.node and share.in_set:
        if len(cores) != share.in_set:
            return None
        first = 0
    elif len(cores) < share.node:  # the site counts hardware threads
        units = [(thread,) for core in cores for thread in core]
        if len(units) < share.node:
            return None
    first += rank * share.each
    own = units[first : first + share.each]
    return tuple(thread for unit in own for thread in unit) if len(own) == share.each else None


def cores_among(threads: Collection[int], topology: Path = _TOPOLOGY) -> list[Core]:
    """Return hardware threads by core, those of a socket together; where nothing is known, each is a core."""
    cores: dict[tuple[int, int], list[int]] = {}
    for thread in sorted(threads):
        folder = topology / f"cpu{thread}/topology"
        socket, core = _number(folder / "physical_package_id", 0), _number(folder / "core_id", thread)
        cores.setdefault((socket, core), []).append(thread)
    return [tuple(cores[place]) for place in sorted(cores)]


def _number(path: Path, otherwise: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return otherwise
