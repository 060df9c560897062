"""The watchman of a batch job knows a driver that was lost from one that ended, or was dead before."""

from __future__ import annotations

import json

import pytest

from site_configs.schedulers import SchedulerError
from workflow.launching import watchman
from workflow.lock import CampaignLock


class StillWatchingError(Exception):
    """Ends the watch of a test."""


@pytest.fixture
def between_looks(monkeypatch):
    """Return a list of what happens between the watchman's looks; after the last the test ends."""
    todo = []

    def sleep(_seconds):
        if not todo:
            raise StillWatchingError
        todo.pop(0)()

    monkeypatch.setattr(watchman.time, "sleep", sleep)
    return todo


@pytest.fixture
def lock(tmp_path):
    with CampaignLock(tmp_path) as lock:
        yield lock


def die(directory):
    """Let the newest lock be that of a process that is gone."""
    path = max((directory / "lock").glob("*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "process": "1:1"}))


def test_a_driver_that_was_alive_and_is_gone_is_lost(tmp_path, lock, between_looks):
    between_looks += [lambda: None, lambda: die(tmp_path), lambda: None]
    assert "process 1 on" in watchman.wait_until_lost(tmp_path, patience_s=0.0)


def test_a_lock_of_before_or_a_driver_that_ended_is_not(tmp_path, lock, between_looks):
    die(tmp_path)
    with pytest.raises(StillWatchingError):
        watchman.wait_until_lost(tmp_path, patience_s=0.0)
    with CampaignLock(tmp_path) as next_lock:
        between_looks += [lambda: None, next_lock.release, lambda: None]
        with pytest.raises(StillWatchingError):
            watchman.wait_until_lost(tmp_path, patience_s=0.0)


class Scheduler:
    def __init__(self, *, takes_again):
        self.takes_again, self.done = takes_again, []

    def begin_again(self, job_id):
        if not self.takes_again:
            raise SchedulerError("refused")
        self.done.append(("again", job_id))

    def cancel(self, job_ids):
        self.done.append(("cancel", *job_ids))


@pytest.mark.parametrize(("takes_again", "done"), [(True, "again"), (False, "cancel")])
def test_a_job_that_cannot_begin_again_ends(takes_again, done):
    scheduler = Scheduler(takes_again=takes_again)
    watchman.begin_again(scheduler, "7")
    assert scheduler.done == [(done, "7")]
