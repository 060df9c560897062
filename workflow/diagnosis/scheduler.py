"""What a scheduler says of a site's commands, account and queue, without a job."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator

from site_configs.config import BatchSite
from site_configs.schedulers import SchedulerError, make_scheduler
from site_configs.slurm import SlurmSite
from workflow.diagnosis.finding import Finding, right, unknown, wrong

_ASK_S = 60.0


def scheduler_findings(site: BatchSite) -> list[Finding]:
    """Return what can be known of a site's commands, account and queues on its login node."""
    commands = _commands(site)
    if commands.verdict == "wrong":
        return [commands]
    slurm = isinstance(site, SlurmSite)
    account = _slurm_account(site) if isinstance(site, SlurmSite) else _lsf_account(site)
    queues = dict.fromkeys([site.queue, *(part.queue for part in site.executors.values() if part.queue)])
    found = [_slurm_queue(site, queue) if slurm else _lsf_queue(queue) for queue in queues]
    return [commands, *account, *found]


def _commands(site: BatchSite) -> Finding:
    needed = ["bsub", "bjobs", "bkill"]  # jsrun exists on the nodes only
    if isinstance(site, SlurmSite):
        needed = ["sbatch", "scancel", "squeue", "sinfo"]
        needed += [] if site.launcher == "none" else [site.launcher]
    missing = [command for command in needed if shutil.which(command) is None]
    if missing:
        remedy = "run this on the login node of the site, with the scheduler's commands on PATH"
        return wrong("commands", f"{', '.join(missing)}: no such command here", remedy)
    return right("commands", ", ".join(needed))


def _slurm_account(site: SlurmSite) -> Iterator[Finding]:
    """Compare with what sacctmgr tells of the user, where it tells anything."""
    where = f"user={getpass.getuser()}"
    asked = ["show", "associations", where, "format=Account,QOS"]
    answer = ask("sacctmgr", "--noheader", "--parsable2", *asked)
    if not answer:
        yield unknown("account", f"{_account(site)}: sacctmgr does not tell yours", "the job will show")
        return
    qos_of: dict[str, set[str]] = {}
    for line in answer.splitlines():
        account, _, qos = line.partition("|")
        qos_of.setdefault(account, set()).update(filter(None, qos.split(",")))
    yours = ", ".join(sorted(qos_of))
    if site.account is not None and site.account not in qos_of:
        yield wrong("account", f"{site.account} is not one of yours", f"set site.account to one of {yours}")
        return
    yield right("account", _account(site))
    known = qos_of[site.account] if site.account else set().union(*qos_of.values())
    if site.qos is not None and known and site.qos not in known:
        text = f"{site.qos} is not open to {_account(site)}"
        yield wrong("quality of service", text, f"set site.qos to one of {', '.join(sorted(known))}")


def _slurm_queue(site: BatchSite, queue: str | None) -> Finding:
    try:
        make_scheduler(site.model_copy(update={"queue": queue})).check()
    except SchedulerError as error:
        remedy = "set site.queue, site.nodes or site.walltime to what 'sinfo -s' shows"
        return wrong("queue", str(error).removeprefix("queue: "), remedy)
    if queue is None:
        return unknown("queue", "the scheduler's own")
    shown = ask("scontrol", "--oneliner", "show", "partition", queue)
    values = dict(word.partition("=")[::2] for word in shown.split())
    if values.get("State", "UP") != "UP":
        return wrong("queue", f"partition {queue} is {values['State']}", "wait, or set another site.queue")
    allowed = values.get("AllowAccounts", "ALL")
    if site.account is not None and allowed != "ALL" and site.account not in allowed.split(","):
        text = f"partition {queue} is not open to account {site.account}"
        return wrong("queue", text, f"set site.account to one of {allowed}, or another site.queue")
    nodes = f"{site.nodes} {'node' if site.nodes == 1 else 'nodes'}"
    return right("queue", f"partition {queue} takes {nodes} for the site's walltime")


def _lsf_account(site: BatchSite) -> Iterator[Finding]:
    yield unknown("account", f"{_account(site)}: LSF has no command that tells yours", "the job will show")


def _lsf_queue(queue: str | None) -> Finding:
    if queue is None:
        return unknown("queue", "the scheduler's own")
    if shutil.which("bqueues") is None:
        return unknown("queue", f"{queue}: there is no bqueues to ask", "the job will show")
    lines = [line.split() for line in ask("bqueues", queue).splitlines()]
    status = next((line[2] for line in lines if line[:1] == [queue] and len(line) > 2), None)
    if status is None:
        return wrong("queue", f"LSF knows no queue {queue!r}", "set site.queue to one that 'bqueues' shows")
    if status != "Open:Active":
        return wrong("queue", f"{queue} is {status}", "wait, or set another site.queue")
    return right("queue", f"{queue} is open")


def _account(site: BatchSite) -> str:
    return site.account or "your default account"


def is_gone(site: BatchSite, job: str) -> bool:
    """Return whether a job has ended; not, where the scheduler gives no answer."""
    if isinstance(site, SlurmSite):
        command = ["squeue", "--noheader", f"--job={job}", "--format=%T"]
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
        unheard_of = "Invalid job id"
    else:
        command, over, unheard_of = ["bjobs", "-noheader", "-o", "stat", job], {"DONE", "EXIT"}, "not found"
    done = _run(command)
    if done is None:
        return False
    if done.returncode:
        return unheard_of in done.stderr
    state = done.stdout.strip()
    return not state or state in over


def ask(*command: str) -> str:
    """Return what a command prints; nothing where it fails or is not there."""
    done = _run(list(command))
    return done.stdout if done is not None and not done.returncode else ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
