"""Talks to Slurm and LSF: what they are asked for, submitting, cancelling, how much time a job has left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from site_configs.cluster import ClusterSite
from site_configs.config import BatchSite
from site_configs.gpu_options import gpu_options
from site_configs.lsf import LsfSite
from site_configs.slurm import SlurmSite
from site_configs.walltime import clock

_TIMEOUT_S = 120.0


class SchedulerError(ValueError):
    """The scheduler cannot be asked, or refused; one line says why."""


class Scheduler(Protocol):
    """What a campaign needs of a scheduler."""

    @property
    def cancel_command(self) -> str:
        """The command that cancels a job."""

    @property
    def list_command(self) -> str:
        """The command that shows a job."""

    def job_id(self) -> str | None:
        """Return the id of the job that this process runs in; ``None`` outside of any."""

    def check(self) -> None:
        """Raise `SchedulerError` if its commands are absent, or the queue does not take the job."""

    def submit(self, script: Path, after: str | None = None) -> str:
        """Queue a batch script, to start when job ``after`` has ended in any way; return the job's id.

        Raises
        ------
        SchedulerError
            If it was not taken.
        """

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs; those that have ended are no error."""

    def cancel_tagged(self, tag: str) -> list[str]:
        """Cancel the jobs that were submitted with a tag (see `directives`); return their ids."""

    def answers(self) -> bool:
        """Return whether it answers a simple question now."""

    def time_left(self, job_id: str) -> timedelta | None:
        """Return the time until the job's walltime ends; ``None`` where there is no answer or no end."""


def make_scheduler(site: BatchSite) -> Scheduler:
    """Return the scheduler of a site."""
    return SlurmScheduler(site) if isinstance(site, SlurmSite) else LsfScheduler(site)


class SlurmScheduler:
    """Slurm, by its commands."""

    cancel_command = "scancel"
    list_command = "squeue -j"

    def __init__(self, site: SlurmSite) -> None:
        self._site = site

    def job_id(self) -> str | None:
        """See `Scheduler.job_id`."""
        return os.environ.get("SLURM_JOB_ID")

    def check(self) -> None:
        """See `Scheduler.check`."""
        _need(
            "sbatch", "scancel", "squeue", *([self._site.launcher] if self._site.launcher != "none" else [])
        )
        queue = self._site.queue
        if queue is None:
            return
        rows = _run(["sinfo", "--noheader", f"--partition={queue}", "--format=%l %D"]).split()
        if not rows:
            raise SchedulerError(f"queue: Slurm knows no partition {queue!r}; 'sinfo -s' shows those it has")
        n_nodes = sum(int(n) for n in rows[1::2])
        if self._site.nodes > n_nodes:
            raise SchedulerError(f"nodes is {self._site.nodes}, but partition {queue} has {n_nodes}")
        longest = slurm_time(rows[0])
        if longest is not None and self._site.walltime > longest:
            raise SchedulerError(
                f"walltime is {clock(self._site.walltime)}, but partition {queue} ends at {clock(longest)}"
            )

    def submit(self, script: Path, after: str | None = None) -> str:
        """See `Scheduler.submit`."""
        dependency = [f"--dependency=afterany:{after}"] if after else []
        answer = _run(["sbatch", "--parsable", *dependency, str(script)])
        return answer.strip().splitlines()[-1].partition(";")[0]  # of several clusters: ID;CLUSTER

    def cancel(self, job_ids: Sequence[str]) -> None:
        """See `Scheduler.cancel`."""
        if job_ids:
            _run(["scancel", *job_ids], must_work=False)

    def begin_again(self, job_id: str) -> None:
        """Queue a running job again, to begin anew under the same id.

        Raises
        ------
        SchedulerError
            If it cannot be done.
        """
        _run(["scontrol", "requeue", job_id])

    def cancel_tagged(self, tag: str) -> list[str]:
        """See `Scheduler.cancel_tagged`."""
        rows = _run(["squeue", "--me", "--noheader", "--format=%i %k"], must_work=False).splitlines()
        jobs = [job for job, _, comment in (row.partition(" ") for row in rows) if comment.strip() == tag]
        self.cancel(jobs)
        return jobs

    def answers(self) -> bool:
        """See `Scheduler.answers`."""
        return _works(["squeue", "--me", "--noheader", "--format=%i"])

    def time_left(self, job_id: str) -> timedelta | None:
        """See `Scheduler.time_left`."""
        answer = _run(["squeue", "--noheader", f"--job={job_id}", "--format=%L"], must_work=False)
        return slurm_time(answer.strip())


class LsfScheduler:
    """LSF, by its commands."""

    cancel_command = "bkill"
    list_command = "bjobs"

    def __init__(self, site: LsfSite) -> None:
        self._site = site

    def job_id(self) -> str | None:
        """See `Scheduler.job_id`."""
        return os.environ.get("LSB_JOBID")

    def check(self) -> None:
        """See `Scheduler.check`; jsrun exists on the nodes only."""
        _need("bsub", "bjobs", "bkill")

    def submit(self, script: Path, after: str | None = None) -> str:
        """See `Scheduler.submit`."""
        dependency = ["-w", f"ended({after})"] if after else []
        # LSF reads the options in a script that comes through standard input, and elsewhere only if told to.
        answer = _run(["bsub", *dependency], script.read_text())
        match = re.search(r"Job <(\d+)> is submitted", answer)
        if match is None:
            raise SchedulerError(f"bsub: no job id in its answer: {' '.join(answer.split())}")
        return match[1]

    def cancel(self, job_ids: Sequence[str]) -> None:
        """See `Scheduler.cancel`."""
        if job_ids:
            _run(["bkill", *job_ids], must_work=False)

    def cancel_tagged(self, tag: str) -> list[str]:
        """See `Scheduler.cancel_tagged`."""
        rows = _run(["bjobs", "-noheader", "-o", "jobid job_description"], must_work=False).splitlines()
        jobs = [job for job, _, text in (row.strip().partition(" ") for row in rows) if text.strip() == tag]
        self.cancel(jobs)
        return jobs

    def answers(self) -> bool:
        """See `Scheduler.answers`."""
        return _works(["bjobs", "-noheader", "-o", "jobid"], or_says="No unfinished job")

    def time_left(self, job_id: str) -> timedelta | None:
        """See `Scheduler.time_left`."""
        answer = _run(["bjobs", "-noheader", "-o", "time_left", job_id], must_work=False)
        return lsf_time(answer.strip())


def directives(site: ClusterSite, queue: str | None, tag: str, qos: str | None = None) -> list[str]:
    """Return the lines of a batch script that say what kind of nodes is wanted, and for whom.

    How many, for how long and under which name is left to the writer of the script.

    Parameters
    ----------
    tag
        Text by which the jobs of a campaign can be found again.
    qos
        Quality of service (Slurm) where it is not the site's.
    """
    if isinstance(site, SlurmSite):
        stated = {
            "account": site.account,
            "partition": queue,
            "qos": qos or site.qos,
            "constraint": site.constraint,
        }
        options = [f"--{name}={value}" for name, value in stated.items() if value is not None]
        options += ["--exclusive", *gpu_options(site)]
        if site.node.memory_gb is not None:
            options.append(f"--mem={site.node.memory_gb}G")
        # A node that dies must not end the job on the others.
        options += [f"--comment={tag}", "--no-kill", *site.options]
        return [f"#SBATCH {option}" for option in options]
    if isinstance(site, LsfSite):
        options = [f"{site.account_option} {site.account}"] if site.account else []
        options += [f"-q {queue}"] if queue else []
        options += [f"-Jd {tag}", *site.options]
        return [f"#BSUB {option}" for option in options]
    raise TypeError(f"{type(site).__name__} has no batch scripts")


def slurm_time(text: str) -> timedelta | None:
    """Return a time as Slurm prints it, ``[D-][[HH:]MM:]SS``; ``None`` for anything else (no limit)."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def lsf_time(text: str) -> timedelta | None:
    """Return a time as LSF prints it, ``[hours:]minutes`` and a letter; ``None`` for anything else."""
    match = re.fullmatch(r"(?:(\d+):)?(\d+)(?:\s+[A-Z])?", text)
    return None if match is None else timedelta(hours=int(match[1] or 0), minutes=int(match[2]))


def _need(*commands: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        raise SchedulerError(
            f"{', '.join(missing)}: no such command here; expected the login node (or a job) of the site"
        )


def _works(command: list[str], or_says: str | None = None) -> bool:
    """Return whether a command ends well, or at least says this."""
    try:
        _run(command)
    except SchedulerError as error:
        return or_says is not None and or_says in str(error)
    return True


def _run(command: list[str], text: str | None = None, *, must_work: bool = True) -> str:
    """Return what a command of the scheduler prints."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if must_work:
            raise SchedulerError(f"{command[0]}: {error}") from error
        return ""
    if done.returncode and must_work:
        said = " ".join((done.stderr or done.stdout).split())
        raise SchedulerError(f"{command[0]} refused with status {done.returncode}: {said}")
    return done.stdout
