"""Finds and ends the processes of a campaign by a mark in their environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

from site_configs.marks import CAMPAIGN_MARK, WORKER_MARK, environment, is_alive, kill, marked

LIMIT_S = 10.0
"""How long to wait for killed processes to be gone, s."""


def reap(campaign_id: str) -> list[int]:
    """Kill every process of the campaign on this host but ourselves and our ancestors; return their ids.

    Returns when they are gone, at the latest after 10 s. To be called with the campaign's lock held.
    """
    return _kill_until_gone(lambda: members(campaign_id))


def reap_strays(campaign_id: str) -> list[int]:
    """Kill the programs on this host whose worker is gone; return their ids."""
    return _kill_until_gone(lambda: [pid for pid in members(campaign_id) if _is_stray(pid)])


def members(campaign_id: str) -> list[int]:
    """Return the processes of the campaign on this host but ourselves and our ancestors."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [pid for pid in marked(CAMPAIGN_MARK, campaign_id) if pid not in ours]


def _is_stray(pid: int) -> bool:
    worker = environment(pid).get(WORKER_MARK)
    return worker is not None and not is_alive(worker)


def _kill_until_gone(find: Callable[[], list[int]]) -> list[int]:
    killed: set[int] = set()
    end = time.monotonic() + LIMIT_S
    while (pids := find()) and time.monotonic() < end:
        for pid in pids:
            kill(pid, signal.SIGKILL)
        killed.update(pids)
        time.sleep(0.02)
    return sorted(killed)
