"""Runs on the second node of a batch job, and has the job begin again when the driver's node is lost.

A job is told to live on when one of its nodes dies. Where that is its first, no driver is left, and without
this the other nodes would wait, unused, for the end of the walltime.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from site_configs.load import SiteError, load_site
from site_configs.schedulers import SchedulerError, SlurmScheduler
from site_configs.slurm import SlurmSite
from workflow.display import say
from workflow.lock import CampaignRunningError, holder
from workflow.storage.paths import CampaignPaths

LOOK_EVERY_S = 5.0
"""Time between two looks at the campaign's lock, s."""


def main() -> None:
    """Watch over the driver of a campaign until its node is lost, or the job ends and this with it."""
    parser = argparse.ArgumentParser(prog="python -m workflow.launching.watchman")
    parser.add_argument("--site", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    options = parser.parse_args()
    site = load_site(options.site)
    if not isinstance(site, SlurmSite):
        raise SiteError("a watchman is for sites with Slurm: LSF looks after the first node of a job itself")
    scheduler = SlurmScheduler(site)
    job = scheduler.job_id()
    if job is None:
        raise SiteError("not inside an allocation")
    lost = wait_until_lost(options.directory, site.health.silence_s)
    say_and_keep(CampaignPaths(options.directory), f"job {job}: lost its driver, {lost}; it begins again")
    begin_again(scheduler, job)


def wait_until_lost(directory: Path, patience_s: float) -> str:
    """Return which driver was lost: one that was seen alive, and then was not for ``patience_s`` on end.

    A lock that a dead driver left before this job began says nothing: the next driver may just be coming.
    """
    alive = ""
    lost_since: float | None = None
    while True:
        try:
            found = holder(directory)
        except (OSError, CampaignRunningError):  # the file system is away, or just that file
            found = None
        now = time.monotonic()
        if found is not None and found.alive:
            alive = found.token
        if found is None or found.alive or found.token != alive:
            lost_since = None
        elif lost_since is None:
            lost_since = now
        elif now - lost_since >= patience_s:
            return str(found)
        time.sleep(LOOK_EVERY_S)


def begin_again(scheduler: SlurmScheduler, job: str) -> None:
    """Queue the job again; where that cannot be done end it, so that the next of its chain can begin."""
    try:
        scheduler.begin_again(job)
    except SchedulerError as error:
        say(f"{error}; the job is cancelled, --resume goes on with the campaign")
        scheduler.cancel([job])


def say_and_keep(paths: CampaignPaths, line: str) -> None:
    """Say a line where the job's output goes, if that is still there, and write it to the driver's log."""
    with (paths.logs / "driver.log").open("a") as log:
        log.write(f"{line}\n")
    say(line)


if __name__ == "__main__":
    main()
