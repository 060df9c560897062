"""Where Parsl gets the nodes of an executor from."""

from __future__ import annotations

from typing import Any

from parsl.providers import LocalProvider, LSFProvider, SlurmProvider
from parsl.providers.base import ExecutionProvider

from site_configs.cluster import ClusterSite
from site_configs.config import SiteConfig
from site_configs.launchers import SliceLauncher
from site_configs.local import LocalSite
from site_configs.roles import Part
from site_configs.schedulers import directives, make_scheduler
from site_configs.slurm import SlurmSite
from site_configs.walltime import clock

_COMMAND_TIMEOUT_S = 120
"""A busy scheduler may take this long to answer; one that is given up on may still submit the block, s."""


def make_provider(
    site: SiteConfig, part: Part, launcher: SliceLauncher, campaign_id: str
) -> ExecutionProvider:
    """Return what gives an executor its blocks: nodes that are there already, or jobs of its own."""
    if isinstance(site, LocalSite) or site.mode == "job":
        return LocalProvider(
            nodes_per_block=part.n_nodes,
            init_blocks=1,
            max_blocks=1,
            launcher=launcher,
            cmd_timeout=_COMMAND_TIMEOUT_S,
        )
    common = _common(site, part, launcher, block_tag(campaign_id))
    if isinstance(site, SlurmSite):
        return SlurmProvider(**common)
    return LSFProvider(**common, bsub_redirection=True)


def block_tag(campaign_id: str) -> str:
    """Return the text by which the scheduler's jobs of a campaign can be found."""
    return f"smelter-{campaign_id}"


def cancel_blocks(site: SiteConfig, campaign_id: str) -> list[str]:
    """Cancel all blocks of a campaign, known to Parsl or not; return their ids."""
    if isinstance(site, LocalSite) or not site.queues_blocks:
        return []
    return make_scheduler(site).cancel_tagged(block_tag(campaign_id))


def _common(site: ClusterSite, part: Part, launcher: SliceLauncher, tag: str) -> dict[str, Any]:
    lines = directives(site, queue=part.queue or site.queue, tag=tag)
    own = {"exclusive": False} if isinstance(site, SlurmSite) else {}  # ours are among the directives
    return {
        "nodes_per_block": part.n_nodes,
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": part.blocks,
        "walltime": clock(site.walltime),
        "scheduler_options": "\n".join(lines),
        "worker_init": "\n".join(site.environment),
        "cmd_timeout": _COMMAND_TIMEOUT_S,
        "launcher": launcher,
        **own,
    }
