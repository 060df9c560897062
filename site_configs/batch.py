"""Writes the batch script of a campaign."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from site_configs.config import BatchSite
from site_configs.schedulers import directives
from site_configs.slurm import SlurmSite
from site_configs.walltime import clock, whole_minutes


@dataclass(frozen=True)
class BatchJob:
    """One job of a campaign.

    Attributes
    ----------
    name
        The job's name.
    tag
        Text by which the jobs of a campaign can be found again.
    directory
        Where it runs.
    logs
        Directory of its output.
    command
        What it runs.
    goes_on
        Whether it may be run again from the start when its first node is lost.
    watchman
        What runs beside it on the second node, where there is one that can be reached.
    """

    name: str
    tag: str
    directory: Path
    logs: Path
    command: Sequence[str]
    goes_on: bool = False
    watchman: Sequence[str] = ()


def batch_script(site: BatchSite, job: BatchJob) -> str:
    """Return the script of a job; it runs on the first node.

    The command replaces the shell, so that the scheduler's warning reaches it.
    """
    write = _slurm_head if isinstance(site, SlurmSite) else _lsf_head
    node = f"{site.node.cores} cores" + (f" and {site.node.gpus} GPUs" if site.node.gpus else "")
    nodes = f"{site.nodes} {'node' if site.nodes == 1 else 'nodes'}"
    lines = [
        "#!/bin/bash",
        f"# {job.name}: {nodes} of {node} for {clock(site.walltime)}",
        *write(site, job),
        *directives(site, site.queue, job.tag),
        "",
        *site.environment,
        "trap '' USR1 USR2  # a warning that comes before the driver listens is not its end",
        f"cd {shlex.quote(str(job.directory))} || exit",
        *_watchman(site, job),
        f"exec {shlex.join(job.command)}",
    ]
    return "\n".join(lines) + "\n"


def _slurm_head(site: BatchSite, job: BatchJob) -> list[str]:
    options = [
        f"--job-name={job.name}",
        f"--output={job.logs}/job-%j.out",
        f"--nodes={site.nodes}",
        "--ntasks-per-node=1",
        f"--time={clock(site.walltime)}",
        f"--signal=B:USR1@{site.notice_s}",
        *(["--requeue", "--open-mode=append"] if job.goes_on else ["--no-requeue"]),
    ]
    return [f"#SBATCH {option}" for option in options]


def _lsf_head(site: BatchSite, job: BatchJob) -> list[str]:
    options = [
        f"-J {job.name}",
        f"-o {job.logs}/job-%J.out",
        f"-nnodes {site.nodes}",
        f"-W {whole_minutes(site.walltime)}",
        "-wa USR1",
        f"-wt {-(-site.notice_s // 60)}",
        *(["-r"] if job.goes_on else []),
    ]
    return [f"#BSUB {option}" for option in options]


def _watchman(site: BatchSite, job: BatchJob) -> list[str]:
    """Return the line that starts the watchman: Slurm keeps a job whose first node died, LSF does not."""
    if not job.watchman or site.launcher != "srun" or site.nodes == 1:
        return []
    options = "--relative=1 --nodes=1 --ntasks=1 --overlap --cpu-bind=none --no-kill"
    return [f"srun {options} {shlex.join(job.watchman)} &"]
