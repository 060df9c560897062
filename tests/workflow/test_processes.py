"""Processes of a campaign are found by their mark and killed, and nobody else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from site_configs.marks import CAMPAIGN_MARK, WORKER_MARK, own_name
from workflow.execution.processes import members, reap, reap_strays

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a program with marks."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str, **marks: str) -> subprocess.Popen[str]:
        environment = {**os.environ, **marks}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for program in started:
        program.kill()
        program.wait()


def test_reap_kills_the_campaign_and_nobody_else(start: Start, tmp_path: Path) -> None:
    mine = start("sleep", "600", **{CAMPAIGN_MARK: tmp_path.name})
    stopped = start("sleep", "600", **{CAMPAIGN_MARK: tmp_path.name})
    stopped.send_signal(signal.SIGSTOP)
    other = start("sleep", "600", **{CAMPAIGN_MARK: f"{tmp_path.name}-not"})
    unmarked = start("sleep", "600")
    wait_for_members(tmp_path.name, 2)
    assert set(reap(tmp_path.name)) == {mine.pid, stopped.pid}
    assert members(tmp_path.name) == []
    assert other.poll() is None
    assert unmarked.poll() is None


def test_reap_finds_processes_that_left_their_session_and_parent(start: Start, tmp_path: Path) -> None:
    shell = start("bash", "-c", "setsid sleep 600 & disown", **{CAMPAIGN_MARK: tmp_path.name})
    shell.wait(60)
    wait_for_members(tmp_path.name, 1)
    assert len(reap(tmp_path.name)) == 1
    assert members(tmp_path.name) == []


def test_reap_spares_ourselves_and_our_ancestors(start: Start, tmp_path: Path) -> None:
    code = (
        "import subprocess; from workflow.execution.processes import reap;"
        "child = subprocess.Popen(['sleep', '600']);"
        f"print(reap({tmp_path.name!r}) == [child.pid], flush=True)"
    )
    # A marked shell that waits for a marked Python which reaps: both must live.
    shell = start("bash", "-c", f'{sys.executable} -c "{code}"; echo alive', **{CAMPAIGN_MARK: tmp_path.name})
    assert shell.communicate(timeout=60)[0].split() == ["True", "alive"]


def test_only_programs_whose_worker_is_gone_are_strays(start: Start, tmp_path: Path) -> None:
    mark = {CAMPAIGN_MARK: tmp_path.name}
    kept = start("sleep", "600", **mark, **{WORKER_MARK: own_name()})
    unmarked = start("sleep", "600", **mark)
    stray = start("sleep", "600", **mark, **{WORKER_MARK: f"{os.getpid()}:1"})
    wait_for_members(tmp_path.name, 3)
    assert reap_strays(tmp_path.name) == [stray.pid]
    assert kept.poll() is None
    assert unmarked.poll() is None


def test_reap_of_an_unknown_campaign_finds_nothing(tmp_path: Path) -> None:
    assert reap(tmp_path.name) == []


def wait_for_members(campaign: str, number: int) -> None:
    end = time.monotonic() + 30
    while len(members(campaign)) != number:
        assert time.monotonic() < end
        time.sleep(0.01)
