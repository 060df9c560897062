"""Divides the nodes of a cluster job among the roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import BaseModel, NonNegativeInt, PositiveInt, model_validator

from site_configs.roles import STRICT, Part, Role, Slice, Standby
from site_configs.texts import Name


class NodeConfig(BaseModel):
    """One node; all nodes of a job are alike."""

    model_config = STRICT

    cores: PositiveInt
    """Cores that a job may use."""
    gpus: NonNegativeInt = 0
    """GPUs."""
    memory_gb: PositiveInt | None = None
    """Memory to ask for on each node, GB; by default what the scheduler gives with the node."""


class StandbyConfig(BaseModel):
    """More blocks for a role, where they are cheap or quick to be had and may be taken away again."""

    model_config = STRICT

    blocks: PositiveInt = 1
    """Blocks of nodes it may have there at a time."""
    queue: Name | None = None
    """Queue (partition) of these blocks, where it is another than that of the role's other blocks."""
    qos: Name | None = None
    """Quality of service of these blocks (Slurm), where it is not the site's."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.queue is None and self.qos is None:
            raise ValueError("standby: expected a queue or a qos")
        return self


class ClusterRole(BaseModel):
    """The part of a job's nodes that one role gets."""

    model_config = STRICT

    nodes: PositiveInt | Literal["all"] = "all"
    """Nodes it runs on: the first so many, beside other roles; "all" for every one that is not ``exclusive``
    to a role. With ``mode: pilot`` the nodes of each of its blocks, "all" meaning ``nodes`` of the site."""
    exclusive: bool = False
    """Whether it has its nodes for itself, as a label code that runs with MPI on whole nodes."""
    gpus: NonNegativeInt | Literal["rest"] = 0
    """GPUs it has on each of its nodes; "rest" for those that no other role has there."""
    workers_per_gpu: PositiveInt = 1
    """Workers that share one GPU."""
    workers: PositiveInt | Literal["rest"] | None = None
    """Workers on each node; by default ``workers_per_gpu`` on every GPU, or one without GPUs. "rest": as many
    as the cores that no other role has there allow."""
    threads_per_worker: PositiveInt = 1
    """Threads each task may use for arithmetic: the cores one worker occupies."""
    nodes_per_worker: PositiveInt = 1
    """Nodes of one worker, for labels that run on several at a time: these must be ``exclusive``, and a
    worker has all of their cores."""
    blocks: PositiveInt = 1
    """With ``mode: pilot``, blocks of nodes it may have at a time."""
    queue: Name | None = None
    """With ``mode: pilot``, the queue (partition) of its blocks where it is not the site's."""
    standby: StandbyConfig | None = None
    """With ``mode: pilot``, more blocks in a standby queue. Tasks of a block that is taken away begin again
    on another."""


@dataclass(frozen=True)
class _Stretch:
    """Neighbouring nodes that the same roles share."""

    first: int
    n_nodes: int
    roles: tuple[Role, ...]


def divide(roles: Mapping[Role, ClusterRole], n_nodes: int, node: NodeConfig) -> dict[str, Part]:
    """Return the part that every role has of the ``n_nodes`` nodes of one job.

    Raises
    ------
    ValueError
        If the nodes, or what a node has, do not suffice, or a role is left without a worker.
    """
    slices: dict[Role, list[Slice]] = {role: [] for role in roles}
    for stretch in _stretches(roles, n_nodes):
        shares = _share({role: roles[role] for role in stretch.roles}, node)
        for role, share in shares.items():
            slices[role].append(replace(share, first_node=stretch.first, n_nodes=stretch.n_nodes))
    for role, found in slices.items():
        if not found:
            raise ValueError(f"{role} gets no worker: the other roles leave no cores or GPUs to it")
    return {role: Part(tuple(slices[role]), roles[role].threads_per_worker) for role in roles}


def divide_blocks(roles: Mapping[Role, ClusterRole], n_nodes: int, node: NodeConfig) -> dict[str, Part]:
    """Return the part of every role where each has blocks of nodes for itself."""
    parts: dict[str, Part] = {}
    for role, config in roles.items():
        n = n_nodes if config.nodes == "all" else config.nodes
        alone = divide({role: config.model_copy(update={"nodes": n, "exclusive": True})}, n, node)
        standby = None if config.standby is None else Standby(**config.standby.model_dump())
        parts[role] = replace(alone[role], blocks=config.blocks, queue=config.queue, standby=standby)
    return parts


def _stretches(roles: Mapping[Role, ClusterRole], n_nodes: int) -> list[_Stretch]:
    """Cut the nodes where the roles on them change; exclusive roles have the last nodes."""
    stretches: list[_Stretch] = []
    n_left = n_nodes
    for role, config in roles.items():
        if config.exclusive:
            n = 1 if config.nodes == "all" else config.nodes
            n_left -= n
            stretches.append(_Stretch(n_left, n, (role,)))
    sharing = {role: config for role, config in roles.items() if not config.exclusive}
    fewest = max((1 if config.nodes == "all" else config.nodes for config in sharing.values()), default=0)
    if fewest > n_left:
        raise ValueError(f"the roles need {n_nodes - n_left + fewest} nodes, but nodes is {n_nodes}")
    ends = {role: n_left if config.nodes == "all" else config.nodes for role, config in sharing.items()}
    last = max(ends.values(), default=0)
    if last < n_left:
        raise ValueError(f"nodes is {n_nodes}, but the roles use {n_nodes - n_left + last} of them only")
    first = 0
    for end in sorted(set(ends.values())):
        present = tuple(role for role in sharing if ends[role] > first)
        stretches.append(_Stretch(first, end - first, present))
        first = end
    return sorted(stretches, key=lambda stretch: stretch.first)


def _share(roles: Mapping[Role, ClusterRole], node: NodeConfig) -> dict[Role, Slice]:
    """Divide one node: what is stated first, then what is left. A role that gets nothing is left out."""
    for role, config in roles.items():
        _check_span(role, config)
    n_gpus = _gpus(roles, node)
    workers = {role: _workers(roles[role], n_gpus[role]) for role in roles}
    taken = sum(n * roles[role].threads_per_worker for role, n in workers.items() if n is not None)
    takers = [role for role, n in workers.items() if n is None]
    if len(takers) > 1:
        raise ValueError(f'workers: "rest" is for one role only, found for {" and ".join(takers)}')
    if taken > node.cores:
        raise ValueError(f"the roles ask for {taken} cores of nodes with {node.cores}")
    shares: dict[Role, Slice] = {}
    first_gpu = first_core = 0
    for role in sorted(roles, key=lambda role: role != "training"):  # training has the first GPU
        threads = roles[role].threads_per_worker
        n_workers = workers[role]
        n = (node.cores - taken) // threads if n_workers is None else n_workers
        positions = range(first_gpu, first_gpu + n_gpus[role])
        first_gpu += n_gpus[role]
        if n:
            gpus = tuple(str(gpu) for gpu in positions for _ in range(roles[role].workers_per_gpu))
            cores = node.cores if roles[role].exclusive else n * threads
            shares[role] = Slice(n, cores, gpus, span=roles[role].nodes_per_worker, first_core=first_core)
            first_core += cores
    return shares


def _check_span(role: Role, config: ClusterRole) -> None:
    span = config.nodes_per_worker
    if span == 1:
        return
    if not config.exclusive or config.workers not in {None, 1} or config.gpus:
        raise ValueError(
            f"{role}: nodes_per_worker is {span}; expected exclusive: true, no gpus, and one worker"
        )
    n_nodes = 1 if config.nodes == "all" else config.nodes
    if n_nodes % span:
        raise ValueError(f"{role}: nodes is {n_nodes}; expected a multiple of nodes_per_worker = {span}")


def _gpus(roles: Mapping[Role, ClusterRole], node: NodeConfig) -> dict[Role, int]:
    stated = {role: config.gpus for role, config in roles.items() if config.gpus != "rest"}
    takers = [role for role, config in roles.items() if config.gpus == "rest"]
    if len(takers) > 1:
        raise ValueError(f'gpus: "rest" is for one role only, found for {" and ".join(takers)}')
    if sum(stated.values()) > node.gpus:
        who = " and ".join(role for role, n in stated.items() if n)
        raise ValueError(f"{who}: {sum(stated.values())} GPUs asked for, a node has {node.gpus}")
    return stated | dict.fromkeys(takers, node.gpus - sum(stated.values()))


def _workers(role: ClusterRole, n_gpus: int) -> int | None:
    """Return the workers of a role on a node; ``None`` for as many as are left."""
    if role.gpus == 0:
        return None if role.workers == "rest" else role.workers or 1
    if role.workers is not None:
        raise ValueError("workers: a role with GPUs has workers_per_gpu on each; leave workers out")
    return n_gpus * role.workers_per_gpu
