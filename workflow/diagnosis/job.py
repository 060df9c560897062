"""Looks at the nodes of a site with a scheduler, by a short job on as many nodes as a campaign will have."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from site_configs.batch import BatchJob, batch_script
from site_configs.config import SITE, BatchSite
from site_configs.schedulers import SchedulerError, make_scheduler
from workflow.diagnosis.driver import listening
from workflow.diagnosis.finding import Finding, right, wrong
from workflow.diagnosis.scheduler import is_gone
from workflow.diagnosis.steps import FINDINGS, JOB
from workflow.display import say
from workflow.storage.files import read_json, write_json_atomic

_NAME = "smelter-doctor"
_TAG = "doctor-of-smelter"  # no campaign's: a driver cancels the jobs that have its own
_WALLTIME = timedelta(minutes=5)
"""Asked for; the job takes about one, on nodes that load libraries quickly."""
_NOTICE_S = 60
_LOOK_EVERY_S = 0.5
_ASK_EVERY_S = 10.0
_LATE_S = 10.0
"""How long after the job's end its findings may take to be seen here, s."""


def examine_by_job(
    site: BatchSite, directory: Path, campaign: Path | None, overrides: Sequence[str], patience_s: float
) -> list[Finding]:
    """Return what a job finds on the site's nodes; it is cancelled if we are interrupted.

    Parameters
    ----------
    directory
        An empty directory of ours, where campaigns will lie; absolute.
    campaign
        Settings whose label source is looked at; ``None`` for none.
    patience_s
        Longest time to wait for the job's end, s.
    """
    # A pilot's driver is here and not on one of the nodes.
    with listening(site) if site.queues_blocks else nullcontext() as driver:
        todo = {
            "site": SITE.dump_python(site, mode="json"),
            "driver": asdict(driver) if driver else None,
            "campaign": str(campaign.absolute()) if campaign else None,
            "overrides": list(overrides),
        }
        write_json_atomic(directory / JOB, todo)
        return _submit_and_wait(site, directory, patience_s)


def _submit_and_wait(site: BatchSite, directory: Path, patience_s: float) -> list[Finding]:
    script = directory / "job.sh"
    script.write_text(_script(site, directory))
    scheduler = make_scheduler(site)
    try:
        job = scheduler.submit(script)
    except SchedulerError as error:
        return [wrong("job", str(error), "set site.account, queue, qos, nodes or options to what it takes")]
    say(f"submitted job {job}; waiting for it, Ctrl-C cancels it")
    try:
        return _wait(site, job, directory, patience_s)
    finally:
        scheduler.cancel([job])


def _script(site: BatchSite, directory: Path) -> str:
    """Return the batch script; the roles of a pilot, which share no nodes, are looked at in turn."""
    turns = len(site.executors) if site.queues_blocks else 1
    changes = {
        "nodes": max(part.n_nodes for part in site.executors.values()) if site.queues_blocks else site.nodes,
        "walltime": min(turns * _WALLTIME, site.walltime),
        "notice_s": _NOTICE_S,
    }
    command = [sys.executable, "-m", "workflow.diagnosis.steps", str(directory)]
    return batch_script(
        site.model_copy(update=changes), BatchJob(_NAME, _TAG, Path.cwd(), directory, command)
    )


def _wait(site: BatchSite, job: str, directory: Path, patience_s: float) -> list[Finding]:
    end, ask_at, gone_at = time.monotonic() + patience_s, time.monotonic() + _ASK_EVERY_S, float("inf")
    while not (directory / FINDINGS).exists():
        time.sleep(_LOOK_EVERY_S)
        now = time.monotonic()
        if now > end:
            text = f"{job} has not ended within {patience_s / 60:g} minutes"
            return [wrong("job", text, "set a queue for short tests or fewer nodes, or give a longer --wait")]
        if now > ask_at:
            ask_at = now + _ASK_EVERY_S
            if gone_at == float("inf") and is_gone(site, job):
                gone_at = now
        if now > gone_at + _LATE_S:
            return [_lost(job, directory)]
    found = [Finding(**finding) for finding in read_json(directory / FINDINGS)]
    n_nodes = len({finding.host for finding in found if finding.host})
    ran = (
        [right("job", f"{job} has run on {n_nodes} {'node' if n_nodes == 1 else 'nodes'}")] if n_nodes else []
    )
    return [*ran, *found]


def _lost(job: str, directory: Path) -> Finding:
    """Return how a job ended that has left no findings: its output tells, where it has any."""
    output = [line for path in directory.glob("job-*.out") for line in path.read_text().splitlines()]
    if not output:
        text = f"{job} ended and left nothing in {directory.parent}"
        return wrong("job", text, "give --directory on a file system that the nodes share with this host")
    return wrong(
        "job", f"{job} ended early: {output[-1].strip()}", "see site.environment, and that nodes see Python"
    )
