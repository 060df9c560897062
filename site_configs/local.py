"""One machine, used directly."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, NonNegativeInt, PositiveInt, model_validator

from site_configs.cores import usable_cores, usable_gpus
from site_configs.health import HealthConfig
from site_configs.roles import ROLES, SHARED, STRICT, Part, Role, Slice


class RoleConfig(BaseModel):
    """The part of a machine that one role gets."""

    model_config = STRICT

    workers: PositiveInt
    """Tasks of this role that run at the same time."""
    threads_per_worker: PositiveInt = 1
    """Threads each task may use for arithmetic."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that its workers are bound to in turn, one each; empty for none."""

    def part_from(self, first_core: int) -> Part:
        """Return what its executor gets, with cores from that position on."""
        bound = tuple(self.gpus[i % len(self.gpus)] for i in range(self.workers)) if self.gpus else ()
        cores = self.workers * self.threads_per_worker
        slice_ = Slice(self.workers, cores, bound, first_core=first_core)
        return Part((slice_,), self.threads_per_worker)


class LocalSite(BaseModel):
    """One machine, used directly, without a scheduler."""

    model_config = STRICT

    kind: Literal["local"]
    """One machine, used directly, without a scheduler."""
    cores: PositiveInt | Literal["all"] = "all"
    """Cores to divide among the roles; "all" for those this process may use."""
    shared: RoleConfig | None = None
    """Workers that take tasks of every role, trainings first, then labels, then sampling: none is idle while
    there is anything to do. Default: one on each core of a machine with up to three and no GPU, else none."""
    sampling: RoleConfig
    """Molecular dynamics; by default half of the cores, one worker each."""
    training: RoleConfig
    """Training; by default one worker with a quarter of the cores as threads."""
    labelling: RoleConfig
    """The label source; by default a quarter of the cores, one worker each."""
    require_gpu: bool
    """Whether a task fails whose worker has a GPU that PyTorch does not find; else it uses the CPU. Default:
    where these settings name GPUs, and not where they were only found."""
    bind_cores: bool = False
    """Whether each worker, with all that it starts, keeps to cores of its own: where nothing else runs."""
    retries: NonNegativeInt = 2
    """How often a task is repeated whose worker was lost; failures of the task itself never are."""
    encrypted: bool = True
    """Whether the parts of the pool encrypt what they send to each other."""
    health: HealthConfig = HealthConfig()
    """When a part of the pool counts as lost."""

    @model_validator(mode="before")
    @classmethod
    def _divide(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        cores = settings.get("cores", "all")
        n_cores = usable_cores() if not isinstance(cores, int) else max(cores, 1)
        shares = default_roles(n_cores)
        given = {role: settings.get(role) for role in ROLES}
        if "shared" not in settings and not any(given.values()) and n_cores < 4 and not usable_gpus():
            settings = {**settings, "shared": {"workers": n_cores}}
        roles = {
            role: {**shares[role], **value} if isinstance(value, dict) else value or shares[role]
            for role, value in given.items()
        }
        named = any(
            isinstance(role, dict) and role.get("gpus") for role in (settings.get("shared"), *given.values())
        )
        return {"require_gpu": named, **settings, **roles}

    @property
    def queues_blocks(self) -> bool:
        """Whether nodes come and go, as blocks that are queued for."""
        return False

    def executor(self, role: Role) -> str:
        """Return the name of the executor that runs a role's tasks."""
        return SHARED if self.shared else role

    @property
    def executors(self) -> dict[str, Part]:
        """The executors, by name, with the part of the site that each gets."""
        if self.shared:
            return {SHARED: self.shared.part_from(0)}
        parts: dict[str, Part] = {}
        first_core = 0
        for role in ROLES:
            config: RoleConfig = getattr(self, role)
            parts[role] = config.part_from(first_core)
            first_core += config.workers * config.threads_per_worker
        return parts

    def role(self, role: Role) -> Part:
        """Return the part of the site that runs a role's tasks."""
        return self.executors[self.executor(role)]


def default_roles(cores: int) -> dict[Role, dict[str, Any]]:
    """Return how a machine is divided where its settings do not say so.

    Each role has at least one worker: with fewer than four cores they share. Of several GPUs the first is for
    training and the others are for sampling, one worker on each; a single one is shared by the two.
    """
    gpus = usable_gpus()
    sampling_gpus = gpus[1:] or gpus
    quarter = max(1, cores // 4)
    rest = cores - 2 * quarter if cores >= 4 else 1
    return {
        "sampling": {"workers": len(sampling_gpus) or rest, "gpus": sampling_gpus},
        "training": {"workers": 1, "threads_per_worker": quarter, "gpus": gpus[:1]},
        "labelling": {"workers": quarter},
    }
