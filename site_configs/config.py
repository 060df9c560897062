"""What a site must state: its cores, GPUs, and how they are divided among the executor roles."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

Role = Literal["sampling", "training", "labelling"]
ROLES: tuple[Role, ...] = get_args(Role)


class RoleConfig(BaseModel):
    """The part of a site that one role gets."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    workers: PositiveInt
    """Tasks of this role that run at the same time."""
    threads_per_worker: PositiveInt = 1
    """Threads each task may use for arithmetic."""


class LocalSite(BaseModel):
    """This machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["local"] = "local"
    """This machine, without a scheduler."""
    sampling: RoleConfig
    """Molecular dynamics."""
    training: RoleConfig
    """Training of the ensemble."""
    labelling: RoleConfig
    """The label source."""
    heartbeat_period_s: PositiveFloat = 1
    """Time between two signs of life of a part of the pool, s."""

    def role(self, role: Role) -> RoleConfig:
        """Return the part of the site that a role gets."""
        parts: dict[Role, RoleConfig] = {
            "sampling": self.sampling,
            "training": self.training,
            "labelling": self.labelling,
        }
        return parts[role]


SiteConfig = LocalSite
