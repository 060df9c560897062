"""Builds Parsl's configuration for a site."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.jobs.error_handlers import windowed_error_handler
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from site_configs.config import HealthConfig, LocalSite, RoleConfig, SiteConfig

RetryCost = Callable[[Exception, Any], float]
"""From the error of a failed try and Parsl's record of its task to what the try costs of `retries`."""

_HIGH_THROUGHPUT = "parsl.executors.high_throughput"
_FAILED_BLOCKS_IN_A_ROW = 3


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
    return Config(
        executors=[_executor(site, name, part, run_directory) for name, part in site.executors.items()],
        run_dir=str(run_directory),
        retries=site.retries,
        retry_handler=retry_cost,
        strategy="none",
        strategy_period=1,
        initialize_logging=False,
        usage_tracking=0,
    )


def _executor(site: LocalSite, name: str, part: RoleConfig, run_directory: Path) -> HighThroughputExecutor:
    return HighThroughputExecutor(
        label=name,
        address="127.0.0.1",
        provider=LocalProvider(
            init_blocks=1, max_blocks=1, launcher=SimpleLauncher(), worker_init=_init(part)
        ),
        launch_cmd=_launch_command(),
        interchange_launch_cmd=_interchange_command(run_directory / f"interchange-{name}.log"),
        max_workers_per_node=part.workers,
        available_accelerators=part.accelerators,
        prefetch_capacity=0,
        encrypted=site.encrypted,
        block_error_handler=partial(windowed_error_handler, threshold=_FAILED_BLOCKS_IN_A_ROW),
        **_heartbeat(site.health),
    )


def _heartbeat(health: HealthConfig) -> dict[str, int]:
    return {"heartbeat_period": health.heartbeat_period_s, "heartbeat_threshold": health.silence_s}


def _init(part: RoleConfig) -> str:
    """Return shell lines that set what a role's workers may use.

    `PARSL_CORES` is what Parsl divides among the workers; it counts the machine's cores unless told.
    """
    variables = {
        "PARSL_CORES": part.workers,
        "OMP_NUM_THREADS": part.threads_per_worker,
        "OMP_WAIT_POLICY": "passive",
        "MKL_NUM_THREADS": part.threads_per_worker,
        "OPENBLAS_NUM_THREADS": part.threads_per_worker,
    }
    if not part.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = "''"
    return "\n".join(f"export {name}={value}" for name, value in variables.items())


def _launch_command() -> str:
    program = shlex.join(
        [sys.executable, "-m", "site_configs.tether", f"{_HIGH_THROUGHPUT}.process_worker_pool"]
    )
    braces = program.replace("{", "{{{{").replace("}", "}}}}")  # Parsl formats the line twice
    return str(DEFAULT_LAUNCH_CMD).replace("process_worker_pool.py", f"exec {braces}", 1)


def _interchange_command(log: Path) -> list[str]:
    tether = [sys.executable, "-m", "site_configs.tether", "--session", "--log", str(log)]
    return [*tether, f"{_HIGH_THROUGHPUT}.interchange"]


def python_path() -> str:
    """Return a PYTHONPATH by which a worker finds every module that this process finds."""
    installed = (sys.prefix, sys.base_prefix)
    ours = [str(Path(entry).absolute()) for entry in ["", *sys.path] if not entry.startswith(installed)]
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(dict.fromkeys([*ours, *filter(None, given.split(os.pathsep))]))
