"""Where Parsl gets the nodes of an executor from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parsl.providers import LocalProvider
from parsl.providers.base import ExecutionProvider

from site_configs.blocks import Line, LsfBlocks, Place, SlurmBlocks
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
    site: SiteConfig, part: Part, launcher: SliceLauncher, campaign_id: str, line: Line | None
) -> ExecutionProvider:
    """Return what gives an executor its blocks: nodes that are there already, or jobs of its own.

    The latter are asked for by ``line`` (see `scheduler_line`).
    """
    if isinstance(site, LocalSite) or line is None:
        return LocalProvider(
            nodes_per_block=part.n_nodes,
            init_blocks=1,
            max_blocks=1,
            launcher=launcher,
            cmd_timeout=_COMMAND_TIMEOUT_S,
        )
    places = _places(site, part, block_tag(campaign_id))
    common = _common(site, part, launcher, places)
    if isinstance(site, SlurmSite):  # ours are among the directives
        blocks: SlurmBlocks | LsfBlocks = SlurmBlocks(**common, exclusive=False)
    else:
        blocks = LsfBlocks(**common, bsub_redirection=True)
    blocks.attend(line, places, site.health.scheduler_s)
    return blocks


def scheduler_line(site: SiteConfig) -> Line | None:
    """Return the line to the scheduler of a site whose executors queue for blocks."""
    return None if isinstance(site, LocalSite) or site.mode == "job" else Line(make_scheduler(site))


def block_tag(campaign_id: str) -> str:
    """Return the text by which the scheduler's jobs of a campaign can be found."""
    return f"smelter-{campaign_id}"


def cancel_blocks(site: SiteConfig, campaign_id: str) -> list[str]:
    """Cancel all blocks of a campaign, known to Parsl or not; return their ids."""
    if isinstance(site, LocalSite) or not site.queues_blocks:
        return []
    return make_scheduler(site).cancel_tagged(block_tag(campaign_id))


def _places(site: ClusterSite, part: Part, tag: str) -> list[Place]:
    """Return where blocks are queued: in the executor's own queue, and beyond that in its standby queue."""
    queue = part.queue or site.queue
    places = [Place((*_never_again(site), *directives(site, queue, tag)), part.blocks)]
    if part.standby is not None:
        lines = directives(site, part.standby.queue or queue, tag, qos=part.standby.qos)
        places.append(Place((*_never_again(site), *lines), part.standby.blocks))
    return places


def _never_again(site: ClusterSite) -> list[str]:
    """Return the line that keeps a block from being queued again by Slurm: it would be waited for."""
    return ["#SBATCH --no-requeue"] if isinstance(site, SlurmSite) else []


def _common(
    site: ClusterSite, part: Part, launcher: SliceLauncher, places: Sequence[Place]
) -> dict[str, Any]:
    return {
        "nodes_per_block": part.n_nodes,
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": sum(place.blocks for place in places),
        "walltime": clock(site.walltime),
        "scheduler_options": "\n".join(places[0].directives),
        "worker_init": "\n".join(site.environment),
        "cmd_timeout": _COMMAND_TIMEOUT_S,
        "launcher": launcher,
    }
