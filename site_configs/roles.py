"""The three roles of a campaign's workers, and what one executor gets of a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ConfigDict

Role = Literal["sampling", "training", "labelling"]
ROLES: tuple[Role, ...] = get_args(Role)
SHARED = "shared"
"""Name of the executor of a site whose roles share their workers."""

STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Slice:
    """The part that an executor has of each of some neighbouring nodes.

    Attributes
    ----------
    first_node, n_nodes
        Which nodes of the allocation, or of a block.
    workers
        Workers on each of them.
    cores
        Cores these workers occupy on each node.
    gpus
        The GPU of every worker of a node: its position among the node's GPUs from 0, or its name; empty for
        none.
    span
        Nodes of one worker: it runs on the first of them, and what it starts on all.
    first_core
        Position of the first of the cores on each node.
    """

    workers: int
    cores: int
    gpus: tuple[str, ...] = ()
    first_node: int = 0
    n_nodes: int = 1
    span: int = 1
    first_core: int = 0

    @property
    def n_workers(self) -> int:
        """Workers on all of these nodes."""
        return self.workers * self.n_nodes // self.span

    @property
    def n_gpus(self) -> int:
        """GPUs of a node that these workers use."""
        return len(set(self.gpus))


@dataclass(frozen=True)
class Standby:
    """Where an executor has more blocks that may be taken from it again.

    Attributes
    ----------
    blocks
        Blocks there at a time.
    queue, qos
        Where they are queued, and with which quality of service; ``None`` for those of the other blocks.
    """

    blocks: int
    queue: str | None = None
    qos: str | None = None


@dataclass(frozen=True)
class Part:
    """What one executor gets of a site.

    Attributes
    ----------
    slices
        Its parts of the nodes of one block.
    threads_per_worker
        Threads each task may use for arithmetic.
    blocks
        Blocks of nodes it may have at a time.
    queue
        Where its blocks are queued; ``None`` for the site's own.
    standby
        Further blocks, of the same kind.
    """

    slices: tuple[Slice, ...]
    threads_per_worker: int = 1
    blocks: int = 1
    queue: str | None = None
    standby: Standby | None = None

    @property
    def n_blocks(self) -> int:
        """Blocks of nodes it may have at a time, everywhere."""
        return self.blocks + (self.standby.blocks if self.standby else 0)

    @property
    def workers(self) -> int:
        """Tasks that run at the same time, when it has all its blocks."""
        return self.n_blocks * sum(slice_.n_workers for slice_ in self.slices)

    @property
    def n_nodes(self) -> int:
        """Nodes of one block that it has a part of."""
        return sum(slice_.n_nodes for slice_ in self.slices)
