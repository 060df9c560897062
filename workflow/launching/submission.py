"""One batch job per campaign, or a chain of them: what is written, queued, and said to the user."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from potentials.durable import replace_file
from site_configs.batch import BatchJob, batch_script
from site_configs.config import SITE, BatchSite
from site_configs.schedulers import Scheduler, make_scheduler
from workflow.launching.jobs import record_jobs, submitted_jobs
from workflow.launching.plan import Plan
from workflow.storage.paths import CampaignPaths


@dataclass(frozen=True)
class Submission:
    """A launch that becomes batch jobs."""

    plan: Plan
    site: BatchSite

    @property
    def paths(self) -> CampaignPaths:
        """Where the campaign lies, seen from anywhere."""
        return CampaignPaths(self.plan.directory.absolute())

    def script(self) -> str:
        """Return the batch script."""
        paths = self.paths
        place = ["--site", str(paths.site), "--directory", str(paths.directory)]
        job = BatchJob(
            name=f"smelter-{self.plan.config.name}",
            tag=f"smelter-{self.plan.config.name}",
            directory=Path.cwd(),
            logs=paths.logs,
            command=[sys.executable, "-m", "workflow.launch", *place, "--resume", "--in-allocation"],
            goes_on=True,
            watchman=[sys.executable, "-m", "workflow.launching.watchman", *place],
        )
        return batch_script(self.site, job)

    def submit(self, n_jobs: int) -> str:
        """Queue ``n_jobs`` jobs, each to start when the one before has ended; return what to tell the user.

        Raises
        ------
        SchedulerError
            If the scheduler is not there, or refuses; what was queued before is cancelled.
        """
        scheduler = make_scheduler(self.site)
        scheduler.check()
        self.plan.prepare()
        paths = self.paths
        paths.make()
        settings = yaml.safe_dump(SITE.dump_python(self.site, mode="json"), sort_keys=False)
        replace_file(paths.site, settings.encode())
        replace_file(paths.batch_script, self.script().encode())
        jobs: list[str] = []
        try:
            for _ in range(n_jobs):
                jobs.append(scheduler.submit(paths.batch_script, jobs[-1] if jobs else None))
        except BaseException:
            scheduler.cancel(jobs)
            raise
        record_jobs(paths, jobs)
        return self._told(scheduler, jobs)

    def _told(self, scheduler: Scheduler, jobs: list[str]) -> str:
        paths = self.paths
        rest = f", and then {', '.join(jobs[1:])}, each when the one before has ended" if jobs[1:] else ""
        again = f"--site {self.plan.site_name} --resume --directory {paths.directory}"
        rows = [
            ("to watch", f"python -m workflow.status {paths.directory}"),
            ("", f"{scheduler.list_command} {jobs[0]}"),
            ("output", f"{paths.logs}/job-{jobs[0]}.out"),
            ("to stop", f"{scheduler.cancel_command} {' '.join(jobs)}"),
            (
                "to go on",
                f"python -m workflow.launch {again}",
            ),
        ]
        lines = [f"  {name:<11} {text}" for name, text in rows]
        return "\n".join([f"submitted job {jobs[0]}{rest}", *lines])


def cancel_rest_of_chain(site: BatchSite, paths: CampaignPaths) -> list[str]:
    """Cancel the jobs that wait for the one we are in, since nothing is left to do; return their ids."""
    scheduler, jobs = make_scheduler(site), submitted_jobs(paths)
    own = scheduler.job_id()
    rest = jobs[jobs.index(own) + 1 :] if own in jobs else []
    scheduler.cancel(rest)
    return rest
