"""Starts the look at every node, as the driver of a campaign would start its workers.

``python -m workflow.diagnosis.steps DIRECTORY`` is what the batch job runs, on its first node.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from site_configs.config import SITE, SiteConfig
from site_configs.launch_variables import SCRATCH
from site_configs.launchers import SliceLauncher
from site_configs.local import LocalSite
from site_configs.parsl_config import python_path
from site_configs.roles import Part
from workflow.diagnosis.driver import Driver, listening
from workflow.diagnosis.finding import Finding, right, wrong
from workflow.diagnosis.node import ANSWER, SECRET, Request, own_file
from workflow.storage.files import read_json, write_json_atomic

JOB, FINDINGS = "job.json", "findings.json"
"""What the batch job is to do, and what came of it."""
_STEP_S = 180.0
"""Longest time a look at the nodes may take: many of them load torch from one file system, s."""
_SAYS_NOTHING = re.compile(r"Exited with exit code|^Try ")
_SEEN_S = 10.0
"""How long a file of another node may take to be seen, s."""


def examine_nodes(
    site: SiteConfig,
    driver: Driver,
    directory: Path,
    campaign: Path | None,
    overrides: Sequence[str],
    step_s: float = _STEP_S,
) -> list[Finding]:
    """Return what is found on the nodes of this allocation, or on this machine.

    Parameters
    ----------
    driver
        Whom the nodes are to reach.
    directory
        An empty directory of ours, where campaigns will lie.
    campaign
        Settings whose label source is looked at; ``None`` for none.
    step_s
        Longest time to wait for the nodes' answers, s.
    """
    findings = [wrong("network", driver.fault, "set site.interface")] if driver.fault else []
    (directory / SECRET).write_text(driver.secret)
    if not any(slice_.gpus for part in site.executors.values() for slice_ in part.slices):
        findings.append(right("GPUs", "no role uses any"))
    # Blocks of a pilot do not share nodes: their steps may not fit beside each other.
    n_parallel = 1 if site.queues_blocks else len(site.executors)
    labelling = site.executor("labelling")
    with ThreadPoolExecutor(n_parallel) as threads:
        request = Request("", str(directory), driver.addresses, driver.port, driver.secret)
        labels = replace(
            request,
            labels=True,
            campaign=str(campaign.absolute()) if campaign else None,
            overrides=tuple(overrides),
        )
        futures = [
            threads.submit(
                _step, site, part, replace(labels if name == labelling else request, part=name), step_s
            )
            for name, part in site.executors.items()
        ]
        return findings + [finding for future in futures for finding in future.result()]


def _step(site: SiteConfig, part: Part, request: Request, step_s: float) -> list[Finding]:
    """Return what is found on the nodes of one executor, and which of them have not answered."""
    node = shlex.join([sys.executable, "-m", "workflow.diagnosis.node", json.dumps(asdict(request))])
    scratch = None if isinstance(site, LocalSite) else site.scratch
    exports = {"PYTHONPATH": python_path(), **({SCRATCH: scratch} if scratch else {})}
    cluster = None if isinstance(site, LocalSite) else site
    output, errors = _run(SliceLauncher(part.slices, exports, cluster)(node, 1, part.n_nodes), step_s)
    answers = [json.loads(line.partition(ANSWER)[2]) for line in output.splitlines() if ANSWER in line]
    hosts = {str(host) for _, host, _ in answers}
    findings = [Finding(**finding) for _, _, answer in answers for finding in answer]
    if len(answers) < part.n_nodes:  # not of different hosts: jsrun may put two slices on one
        text = f"{len(answers)} of {part.n_nodes} answered for {request.part}: {_what_was_said(errors)}"
        findings.append(wrong("nodes", text, "see whether site.launcher and its options fit this machine"))
    findings += [
        replace(
            wrong("shared directory", "what it writes is not seen by the driver", "give another --directory"),
            host=host,
        )
        for host in sorted(hosts)
        if _wrote(findings, host) and not _is_seen(Path(request.directory, own_file(request.part, host)))
    ]
    return findings


def _wrote(findings: list[Finding], host: str) -> bool:
    mine = [f for f in findings if f.host == host and f.subject == "shared directory"]
    return all(finding.verdict == "right" for finding in mine)


def _is_seen(path: Path) -> bool:
    end = time.monotonic() + _SEEN_S
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _run(script: str, limit_s: float) -> tuple[str, str]:
    """Run lines of shell; return what they print, or have printed when the time is over."""
    process = subprocess.Popen(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        return output, f"{errors}\nno answer for {limit_s:g} s"


def _what_was_said(errors: str) -> str:
    """Return the line of a launcher's errors that says most."""
    lines = [line.strip() for line in errors.splitlines() if line.strip() and not _SAYS_NOTHING.search(line)]
    return lines[-1] if lines else "nothing was said"


def main() -> None:
    """Do what the job is for and leave the findings in its directory."""
    directory = Path(sys.argv[1])
    job = read_json(directory / JOB)
    site = SITE.validate_python(job["site"])
    campaign = Path(job["campaign"]) if job["campaign"] else None
    with nullcontext(Driver(**job["driver"])) if job["driver"] else listening(site) as driver:
        findings = examine_nodes(site, driver, directory, campaign, tuple(job["overrides"]))
    write_json_atomic(directory / FINDINGS, [asdict(finding) for finding in findings])


if __name__ == "__main__":
    main()
