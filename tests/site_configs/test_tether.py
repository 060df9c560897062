"""What runs on the tether ends with its driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from site_configs.marks import DRIVER_MARK, marked, process_name, start_ticks


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.parametrize("frozen", [False, True])
def test_what_runs_on_the_tether_ends_with_its_driver(tmp_path: Path, frozen: bool) -> None:
    driver = subprocess.Popen(["sleep", "600"])
    name = process_name(driver.pid)
    assert name is not None
    environment = {**os.environ, DRIVER_MARK: name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    tether = [sys.executable, "-m", "site_configs.tether", "--session", "--log"]
    runs = [
        subprocess.Popen(
            [*tether, tmp_path / f"log{i}", "tethered", tmp_path / f"pid{i}", "--flag"], env=environment
        )
        for i in range(2)
    ]
    pids = [tmp_path / "pid0", tmp_path / "pid1"]
    wait_until(lambda: all(path.exists() and path.read_text() for path in pids))
    assert (tmp_path / "log0").read_text() == f"__main__ {[str(tmp_path / 'pid0'), '--flag']}\n"
    assert os.getsid(runs[0].pid) == runs[0].pid
    time.sleep(1.5)  # long enough for the tethers to look
    assert [run.poll() for run in runs] == [None, None]

    if frozen:  # one cannot look any more: the other ends it
        runs[0].send_signal(signal.SIGSTOP)
    driver.kill()
    driver.wait()
    assert [run.wait(60) for run in runs] == [-signal.SIGKILL] * 2
    assert [start_ticks(int(path.read_text())) for path in pids] == [None, None]
    assert marked(DRIVER_MARK, name) == []
