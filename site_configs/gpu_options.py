"""How Slurm is asked for GPUs."""

from __future__ import annotations

from site_configs.slurm import SlurmSite


def gpu_options(site: SlurmSite) -> list[str]:
    """Return how all GPUs of a node are asked for, from ``sbatch`` and from ``srun``."""
    if not site.node.gpus or site.gpu_request == "none":
        return []
    if site.gpu_request == "gres":
        return [f"--gres=gpu:{site.node.gpus}"]
    return [f"--gpus-per-node={site.node.gpus}"]
