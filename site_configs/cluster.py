"""What Slurm and LSF sites have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, NonNegativeInt, PositiveInt, model_validator

from site_configs.division import ClusterRole, NodeConfig, divide, divide_blocks
from site_configs.health import HealthConfig
from site_configs.roles import ROLES, STRICT, Part, Role
from site_configs.texts import Command, Name, Option, ScratchPath
from site_configs.walltime import Walltime, clock

Launcher = Literal["srun", "jsrun", "mpiexec", "none"]


class ClusterSite(BaseModel):
    """A machine whose nodes a scheduler hands out."""

    model_config = STRICT

    mode: Literal["job", "pilot"] = "job"
    """"job": one batch job per campaign, the driver runs inside it. "pilot": the driver runs where it is
    started, and each role has blocks of nodes queued for it as there is work."""
    account: Name | None = None
    """What the time is charged to (LSF: bank or project)."""
    needs_account: bool = False
    """Whether the site takes no job without ``account``."""
    queue: Name | None = None
    """Queue (Slurm: partition); by default the scheduler's own."""
    walltime: Walltime
    """Time to ask for: ``HH:MM:SS``, ``D-HH:MM:SS`` or minutes."""
    limits: dict[Name, Walltime] = {}
    """Longest walltime of queues (or qualities of service), where it is known."""
    nodes: PositiveInt = 1
    """Nodes of the job; with ``mode: pilot`` of each block."""
    node: NodeConfig
    """What a node has."""
    launcher: Launcher
    """How processes are started on a job's nodes; "none" on a single node, directly."""
    launcher_options: tuple[Option, ...] = ()
    """More options for the launcher."""
    options: tuple[Option, ...] = ()
    """More options for the scheduler, one line of the batch script each."""
    environment: tuple[Command, ...] = ()
    """Lines of shell at the beginning of every job, such as ``module load cudatoolkit``."""
    scratch: ScratchPath | None = None
    """Where label codes work; by default in the campaign's directory."""
    interface: Name | None = None
    """Network interface by which workers reach the driver; by default they try all of its addresses."""
    require_gpu: bool = True
    """Whether a task fails whose worker has a GPU that PyTorch does not find; else it uses the CPU."""
    notice_s: PositiveInt = 300
    """This long before the end of the walltime nothing new is started and checkpoints are written, s."""
    sampling: ClusterRole
    """Molecular dynamics; by default every GPU that training has not, or half of the cores."""
    training: ClusterRole
    """Training; by default on the first node one GPU and a quarter of the cores as threads."""
    labelling: ClusterRole
    """The label source; by default one worker on each core that the others leave."""
    bind_cores: bool = True
    """Whether each worker, with all that it starts, keeps to cores of its own."""
    retries: NonNegativeInt = 2
    """How often a task is repeated whose worker was lost; failures of the task itself never are."""
    encrypted: bool = True
    """Whether the parts of the pool encrypt what they send to each other: other users share the network."""
    health: HealthConfig
    """When a part of the pool counts as lost; by default later than on one machine."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        node = settings.get("node")
        shares = _default_roles(node if isinstance(node, dict) else {})
        given = {role: settings.get(role) for role in ROLES}
        health = settings.get("health", {})
        return {
            **settings,
            "health": {**_HEALTH, **health} if isinstance(health, dict) else health,
            **{
                role: {**shares[role], **_alone(value)} if isinstance(value, dict) else value or shares[role]
                for role, value in given.items()
            },
        }

    @model_validator(mode="after")
    def _fits(self) -> Self:
        longest = self.longest_walltime
        if longest is not None and self.walltime > longest:
            raise ValueError(
                f"walltime is {clock(self.walltime)}, but {self.limited_by} ends at {clock(longest)}"
            )
        if self.walltime < timedelta(seconds=2 * self.notice_s):
            raise ValueError(
                f"walltime is {clock(self.walltime)}; expected at least twice notice_s = {self.notice_s} s"
            )
        with_standby = [role for role in ROLES if getattr(self, role).standby is not None]
        if with_standby and self.mode == "job":
            raise ValueError(f"{with_standby[0]}: standby is for mode pilot; a job has its nodes to its end")
        wide = [role for role in ROLES if getattr(self, role).nodes_per_worker > 1]
        if wide and self.launcher != "srun":
            raise ValueError(f"{wide[0]}: nodes_per_worker needs launcher srun; found {self.launcher}")
        if self.launcher == "none" and self.nodes > 1:
            raise ValueError(f"launcher is none, which reaches one node, and nodes is {self.nodes}")
        parts = self.executors
        uneven = [name for name, part in parts.items() if part.n_nodes != self.nodes or len(part.slices) > 1]
        if self.launcher == "mpiexec" and uneven and self.mode == "job":
            raise ValueError(
                f"launcher is mpiexec, which cannot be told nodes: {' and '.join(uneven)} must have the same"
                " part of every node"
            )
        return self

    @property
    def queues_blocks(self) -> bool:
        """Whether nodes come and go, as blocks that are queued for."""
        return self.mode == "pilot"

    @property
    def limited_by(self) -> str | None:
        """Which entry of ``limits`` holds for the jobs."""
        return self.queue

    @property
    def longest_walltime(self) -> timedelta | None:
        """The longest walltime that the queue takes, where it is known."""
        return self.limits.get(self.limited_by) if self.limited_by else None

    def executor(self, role: Role) -> str:
        """Return the name of the executor that runs a role's tasks."""
        return role

    @property
    def executors(self) -> dict[str, Part]:
        """The executors, by name, with the part of the site that each gets."""
        roles: dict[Role, ClusterRole] = {
            "sampling": self.sampling,
            "training": self.training,
            "labelling": self.labelling,
        }
        divided = divide if self.mode == "job" else divide_blocks
        return divided(roles, self.nodes, self.node)

    def role(self, role: Role) -> Part:
        """Return the part of the site that runs a role's tasks."""
        return self.executors[role]


_HEALTH = {"heartbeat_period_s": 5, "silence_s": 60, "start_s": 300, "idle_s": 120, "close_s": 15}


def _alone(role: dict[str, Any]) -> dict[str, Any]:
    """Return a role's settings, with one worker where it has several nodes and nothing else is said."""
    return {"workers": 1, **role} if "nodes_per_worker" in role else role


def _default_roles(node: dict[str, Any]) -> dict[Role, dict[str, Any]]:
    cores, gpus = node.get("cores"), node.get("gpus", 0)
    quarter = max(1, cores // 4) if isinstance(cores, int) else 1
    if gpus:
        return {
            "sampling": {"gpus": "rest"},
            "training": {"nodes": 1, "gpus": 1, "threads_per_worker": quarter},
            "labelling": {"workers": "rest"},
        }
    return {
        "sampling": {"workers": "rest"},
        "training": {"nodes": 1, "threads_per_worker": quarter},
        "labelling": {"workers": quarter},
    }
