"""A driver whose pool breaks and which then starts itself anew, holding the campaign's lock."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pool_tasks as tasks

from site_configs.load import load_site
from site_configs.marks import command
from workflow.execution.pool import ParslPool, PoolBrokenError
from workflow.execution.processes import members
from workflow.lock import CampaignLock


def main() -> None:
    directory = Path(sys.argv[1])
    CampaignLock(directory).acquire()
    with ParslPool(load_site("local"), directory / "logs", directory.name) as pool:
        if os.environ.get("ANEW"):
            say(f"anew {pool.submit('labelling', tasks.add, 1, 1).result(60).value}")
            return
        break_interchange(directory.name)
        wait_until_broken(pool)
    os.environ["ANEW"] = "1"
    os.execv(sys.executable, sys.orig_argv)


def break_interchange(campaign: str) -> None:
    words = "parsl.executors.high_throughput.interchange"
    os.kill(next(pid for pid in members(campaign) if words in command(pid)), signal.SIGKILL)


def wait_until_broken(pool: ParslPool) -> None:
    while True:
        try:
            pool.check()
        except PoolBrokenError:
            say("broken")
            return
        time.sleep(0.1)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
