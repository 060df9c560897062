"""Sites whose scheduler is LSF."""

from __future__ import annotations

from typing import Literal

from site_configs.cluster import ClusterSite, Launcher


class LsfSite(ClusterSite):
    """A machine whose scheduler is LSF."""

    kind: Literal["lsf"]
    """A machine whose scheduler is LSF."""
    launcher: Launcher = "jsrun"
    """How processes are started on a job's nodes; "none" on a single node, directly."""
    account_option: Literal["-P", "-G"] = "-P"
    """How the account is given to ``bsub``: as a project or as a user group (bank)."""
