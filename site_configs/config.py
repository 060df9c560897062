"""What a site must state: its cores, GPUs, and how they are divided among the executor roles."""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    model_validator,
)

from site_configs.cores import usable_cores, usable_gpus

Role = Literal["sampling", "training", "labelling"]
ROLES: tuple[Role, ...] = get_args(Role)
SHARED = "shared"
"""Name of the executor of a site whose roles share their workers."""

_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RoleConfig(BaseModel):
    """The part of a site that one role gets."""

    model_config = _STRICT

    workers: PositiveInt
    """Tasks of this role that run at the same time."""
    threads_per_worker: PositiveInt = 1
    """Threads each task may use for arithmetic."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that its workers are bound to in turn, one each; empty for none."""

    @property
    def accelerators(self) -> tuple[str, ...]:
        """The GPU of every worker; empty without GPUs."""
        return tuple(self.gpus[i % len(self.gpus)] for i in range(self.workers)) if self.gpus else ()


class HealthConfig(BaseModel):
    """When a part of the pool counts as lost. Longer times suit busy machines, shorter ones quick repair."""

    model_config = _STRICT

    heartbeat_period_s: PositiveInt = 1
    """Time between two signs of life of a manager; a lost worker is noticed within it, s."""
    silence_s: PositiveInt = 15
    """A part that gave no sign of life for this long is lost, s."""
    start_s: PositiveInt = 90
    """Time a manager may take from its start to its first sign of life, s."""
    idle_s: PositiveInt = 30
    """A worker that leaves a task waiting for this long is stuck, s."""
    close_s: PositiveInt = 10
    """Time for an orderly end before everything is killed, s."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.silence_s < 2 * self.heartbeat_period_s:
            raise ValueError(
                f"silence_s is {self.silence_s}; expected at least twice"
                f" heartbeat_period_s = {self.heartbeat_period_s}"
            )
        return self


class LocalSite(BaseModel):
    """One machine, used directly, without a scheduler."""

    model_config = _STRICT

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
        return {**settings, **roles}

    def role(self, role: Role) -> RoleConfig:
        """Return the part of the site that a role gets."""
        own = {"sampling": self.sampling, "training": self.training, "labelling": self.labelling}
        return self.shared or own[role]

    def executor(self, role: Role) -> str:
        """Return the name of the executor that runs a role's tasks."""
        return SHARED if self.shared else role

    @property
    def executors(self) -> dict[str, RoleConfig]:
        """The executors, by name, with the part of the site that each gets."""
        return {self.executor(role): self.role(role) for role in ROLES}


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


SiteConfig = LocalSite
"""Any kind of site; a union told apart by ``kind`` as soon as there is a second."""

SITE: TypeAdapter[SiteConfig] = TypeAdapter(SiteConfig)
