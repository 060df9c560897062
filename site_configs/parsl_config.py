"""Builds Parsl's configuration for a site."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

from site_configs.addresses import own_addresses
from site_configs.blocks import Line, give_up_on_failures
from site_configs.cluster import ClusterSite
from site_configs.config import SiteConfig
from site_configs.launch_variables import GPU_REQUIRED, SCRATCH, WORKERS, WORKERS_PER_GPU
from site_configs.launchers import SliceLauncher
from site_configs.local import LocalSite
from site_configs.marks import CAMPAIGN_MARK, MARKS
from site_configs.providers import make_provider, scheduler_line
from site_configs.roles import Part

RetryCost = Callable[[Exception, Any], float]
"""From the error of a failed try and Parsl's record of its task to what the try costs of `retries`."""

_HIGH_THROUGHPUT = "parsl.executors.high_throughput"
_IDLE_BLOCK_S = 300.0
"""Blocks of an executor without any task are given back after this time, s."""
_LOOPBACK = "127.0.0.1"
_PROBE_S = 30
"""How long a worker tries each of the driver's addresses, s."""


def parsl_config(site: SiteConfig, run_directory: Path, retry_cost: RetryCost) -> Config:
    """Return a fresh configuration: Parsl refuses one that was used before.

    One executor for each role, with the role's name, or one that all share. Nothing depends on PATH, and
    nothing outlives the driver (see `site_configs.tether`), whose environment must carry the marks of
    `site_configs.marks`.

    Parameters
    ----------
    run_directory
        Where Parsl makes a numbered directory for every start. Its path goes unquoted into shell scripts.
    retry_cost
        Decides whether a failed try is repeated.
    """
    line = scheduler_line(site)
    return Config(
        executors=[_executor(site, name, part, run_directory, line) for name, part in site.executors.items()],
        run_dir=str(run_directory),
        retries=site.retries,
        retry_handler=retry_cost,
        strategy="simple" if site.queues_blocks else "none",
        strategy_period=5 if site.queues_blocks else 1,
        max_idletime=_IDLE_BLOCK_S,
        initialize_logging=False,
        usage_tracking=0,
    )


def _executor(
    site: SiteConfig, name: str, part: Part, run_directory: Path, line: Line | None
) -> HighThroughputExecutor:
    cluster = None if isinstance(site, LocalSite) else site
    launcher = SliceLauncher(part.slices, _exports(site, part), cluster, _cores_to_bind(site))
    addresses = {_LOOPBACK} if cluster is None else own_addresses(cluster.interface)
    executor = HighThroughputExecutor(
        label=name,
        address=min(addresses),
        address_probe_timeout=_PROBE_S,
        provider=make_provider(site, part, launcher, os.environ.get(CAMPAIGN_MARK, ""), line),
        launch_cmd=_launch_command(),
        interchange_launch_cmd=_interchange_command(run_directory / f"interchange-{name}.log"),
        max_workers_per_node=max(slice_.workers for slice_ in part.slices),
        prefetch_capacity=0,
        encrypted=site.encrypted,
        block_error_handler=give_up_on_failures,
        heartbeat_period=site.health.heartbeat_period_s,
        heartbeat_threshold=site.health.silence_s,
        drain_period=None if cluster is None else _drain_period_s(cluster),
    )
    executor.all_addresses = addresses  # workers try them all; to find them, Parsl would ask the Internet
    if len(addresses) > 1:
        executor.address = None  # so it listens on them all
    return executor


def _drain_period_s(site: ClusterSite) -> int | None:
    """Return after how long a block's workers take no more tasks; a job's driver sees to that itself."""
    return round(site.walltime.total_seconds()) - site.notice_s if site.queues_blocks else None


def _exports(site: SiteConfig, part: Part) -> dict[str, str]:
    """Return what the environment of a part's workers holds, on whichever node they are."""
    threads = str(part.threads_per_worker)
    scratch = None if isinstance(site, LocalSite) else site.scratch
    marks = {name: os.environ[name] for name in (*MARKS, "PYTHONPATH") if name in os.environ}
    return {
        **marks,
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        WORKERS_PER_GPU: str(_sharers(site, part)),
        **({GPU_REQUIRED: "1"} if site.require_gpu else {}),
        **({} if scratch is None else {SCRATCH: scratch}),
    }


def _cores_to_bind(site: SiteConfig) -> int | None:
    """Return how many cores of a node are divided among the workers; ``None`` where they are not bound."""
    if not site.bind_cores:
        return None
    if not isinstance(site, LocalSite):
        return site.node.cores
    return sum(slice_.cores for part in site.executors.values() for slice_ in part.slices)


def _sharers(site: SiteConfig, part: Part) -> int:
    """Return how many workers, of all executors together, are meant to share a GPU of a part."""
    if not isinstance(site, LocalSite):
        return max((slice_.workers // slice_.n_gpus for slice_ in part.slices if slice_.gpus), default=1)
    users = Counter(gpu for each in site.executors.values() for slice_ in each.slices for gpu in slice_.gpus)
    return max((users[gpu] for slice_ in part.slices for gpu in slice_.gpus), default=1)


def _launch_command() -> str:
    program = shlex.join(
        [sys.executable, "-m", "site_configs.tether", f"{_HIGH_THROUGHPUT}.process_worker_pool"]
    )
    braces = program.replace("{", "{{{{").replace("}", "}}}}")  # Parsl formats the line twice
    line = str(DEFAULT_LAUNCH_CMD).replace("process_worker_pool.py", f"exec {braces}", 1)
    return line.replace("{max_workers_per_node}", f'--max_workers_per_node="${WORKERS}"')


def _interchange_command(log: Path) -> list[str]:
    tether = [sys.executable, "-m", "site_configs.tether", "--session", "--log", str(log)]
    return [*tether, f"{_HIGH_THROUGHPUT}.interchange"]


def python_path() -> str:
    """Return a PYTHONPATH by which a worker finds every module that this process finds."""
    installed = (sys.prefix, sys.base_prefix)
    ours = [str(Path(entry).absolute()) for entry in ["", *sys.path] if not entry.startswith(installed)]
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(dict.fromkeys([*ours, *filter(None, given.split(os.pathsep))]))
