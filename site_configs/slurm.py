"""Sites whose scheduler is Slurm."""

from __future__ import annotations

from typing import Literal

from site_configs.cluster import ClusterSite, Launcher
from site_configs.texts import Expression, Name


class SlurmSite(ClusterSite):
    """A machine whose scheduler is Slurm."""

    kind: Literal["slurm"]
    """A machine whose scheduler is Slurm."""
    launcher: Launcher = "srun"
    """How processes are started on a job's nodes; "none" on a single node, directly."""
    qos: Name | None = None
    """Quality of service; by default the account's own."""
    constraint: Expression | None = None
    """Features that the nodes must have, such as ``gpu``."""
    gpu_request: Literal["gpus-per-node", "gres", "none"] = "gpus-per-node"
    """How GPUs are asked for; "none" where whole nodes come with theirs."""

    @property
    def limited_by(self) -> str | None:
        """Which entry of ``limits`` holds for the jobs: that of the quality of service, or the partition."""
        return self.qos if self.qos in self.limits else self.queue
