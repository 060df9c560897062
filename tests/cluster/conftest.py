"""One virtual Slurm for all tests of this directory, and campaigns on it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tiny_campaign import events, tiny_settings
from virtual_slurm import LONG_S, VirtualSlurm, missing

SUPPORT = Path(__file__).parents[1] / "support"
SITE = {
    "kind": "slurm",
    "queue": "gpu",
    "walltime": 10,
    "notice_s": 60,
    "nodes": 3,
    "node": {"cores": 4, "gpus": 2},
    "require_gpu": False,  # they are device files only
    "labelling": {"workers": 1},
    "health": {
        "heartbeat_period_s": 1,
        "silence_s": 10,
        "start_s": 90,
        "idle_s": 120,  # on a busy machine a worker needs long to begin with its first task
        "scheduler_s": 3,
        "close_s": 10,
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(2 * LONG_S))


@pytest.fixture(scope="session")
def slurm() -> Iterator[VirtualSlurm]:
    """Return a running Slurm of three nodes."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    # Not below pytest's own directory: sockets have short names only.
    base = Path(tempfile.mkdtemp(prefix="slurm-", dir="/var/tmp"))
    with VirtualSlurm(base / "slurm") as cluster:
        yield cluster
    shutil.rmtree(base, ignore_errors=True)


@dataclass
class Campaign:
    """A tiny campaign and its site."""

    slurm: VirtualSlurm
    home: Path
    directory: Path

    def command(self, *arguments: str, resume: bool = False) -> list[str]:
        settings = ["--resume"] if resume else ["--campaign", str(self.home / "tiny.yaml")]
        place = ["--site", str(self.home / "site.yaml"), "--directory", str(self.directory)]
        return [sys.executable, "-m", "workflow.launch", *place, *settings, *arguments]

    def launch(self, *arguments: str, resume: bool = False, status: int = 0) -> str:
        """Run the command on the login node; return what it says."""
        done = subprocess.run(
            self.command(*arguments, resume=resume),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONG_S,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    @contextmanager
    def driving(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the driver on the login node beside the test, to its end or the test's."""
        with (
            (self.home / "output").open("wb") as output,
            subprocess.Popen(self.command(), env=self.environment, stdout=output, stderr=output) as driver,
        ):
            try:
                yield driver
            finally:
                driver.kill()

    def run_in_allocation(self, program: str, *options: str) -> list[str]:
        """Run a program of this directory on the first node of a job; return the lines it printed."""
        here = Path(__file__).parent
        path = os.pathsep.join([str(here.parent / "workflow"), str(here), *sys.path])
        command = [sys.executable, here / program, self.home / "site.yaml", self.directory]
        script = self.home / "program.sh"
        script.write_text(
            f"#!/bin/bash\ncd {here.parents[1]}\nexport PYTHONPATH={shlex.quote(path)}\n"
            f"exec {shlex.join(map(str, command))}\n"
        )
        self.directory.mkdir(exist_ok=True)
        output = self.home / "program.out"
        usual = ["--parsable", "--ntasks-per-node=1", "--exclusive", f"--output={output}"]
        job = self.slurm.run("sbatch", *usual, *options, str(script)).strip()
        assert self.slurm.wait_for_end(job, LONG_S) == "COMPLETED", output.read_text()
        return output.read_text().splitlines()

    @property
    def environment(self) -> dict[str, str]:
        """The login node's, in which the tests' own calculators are found."""
        return {**os.environ, **self.slurm.environment, "PYTHONPATH": str(SUPPORT)}

    def running(self, host: str, role: str) -> list[str]:
        """Return the files of the tasks that run on a host."""
        return [path.name for path in self.directory.glob(f"logs/running/{role}/*.{host}.*")]

    @property
    def machine(self) -> list[str]:
        """What was said of the machine."""
        return [event["line"] for event in events(self.directory, "machine")]

    @property
    def jobs(self) -> list[str]:
        jobs: list[str] = json.loads((self.directory / "jobs.json").read_text())["jobs"]
        return jobs

    def output(self, job: str) -> str:
        path = self.directory / f"logs/job-{job}.out"
        return path.read_text() if path.exists() else "(no output)"

    def wait_until(self, happened: Callable[[], bool], limit_s: float = LONG_S) -> None:
        end = time.monotonic() + limit_s
        while not happened():
            assert time.monotonic() < end, self.story
            time.sleep(0.3)

    @property
    def story(self) -> str:
        """What to show where something took too long."""
        logs = [path for path in (self.directory / "logs").glob("*.*") if path.suffix in {".out", ".log"}]
        tails = "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
        return self.slurm.run("squeue", check=False) + tails

    def finish_after(self, labels: int) -> None:
        """Change the campaign's budget: so many more labels."""
        settings = self.directory / "campaign.yaml"
        enough = yaml.safe_load(settings.read_text())
        enough["stop"]["max_labels"] = self.n("labelled") + labels
        settings.write_text(yaml.safe_dump(enough))

    def n(self, kind: str) -> int:
        """Count the events of a kind in the ledger."""
        return len(events(self.directory, kind))


@pytest.fixture
def campaign(slurm: VirtualSlurm, tmp_path: Path) -> Iterator[Callable[..., Campaign]]:
    """Make a campaign with these changes of its settings, on a site with those."""

    def make(site: dict[str, object] | None = None, **changes: object) -> Campaign:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_settings(**changes)))
        (tmp_path / "site.yaml").write_text(yaml.safe_dump({**SITE, **(site or {})}))
        return Campaign(slurm, tmp_path, tmp_path / "run")

    yield make
    slurm.mend()
    slurm.run("scancel", "--user=root", check=False)  # what a failed test left
    slurm.wait_until_idle()
