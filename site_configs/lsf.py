"""Sites whose scheduler is LSF."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from site_configs.cluster import ClusterSite, Launcher
from site_configs.roles import ROLES


class LsfSite(ClusterSite):
    """A machine whose scheduler is LSF."""

    kind: Literal["lsf"]
    """A machine whose scheduler is LSF."""
    launcher: Launcher = "jsrun"
    """How processes are started on a job's nodes; "none" on a single node, directly."""

    account_option: Literal["-P", "-G"] = "-P"
    """How the account is given to ``bsub``: as a project or as a user group (bank)."""

    @model_validator(mode="after")
    def _no_qos(self) -> Self:
        for role in ROLES:
            standby = getattr(self, role).standby
            if standby is not None and standby.qos is not None:
                raise ValueError(
                    f"{role}: standby: LSF knows no qos, found {standby.qos!r}; expected a queue"
                )
        return self
