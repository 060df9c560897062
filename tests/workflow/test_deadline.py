"""A campaign in an allocation that ends: what is still started, what is saved, how it says so."""

import math
import time

import pytest
from thread_pool import ThreadPool
from tiny_campaign import AGREES, Watcher, check_books, events, prepare, tiny_config
from unusual_pools import HoldingPool

import workflow.campaign
from site_configs.load import load_site
from workflow.campaign import run_campaign
from workflow.execution.deadline import FOR_EVER, Deadline, allocation_deadline
from workflow.storage.paths import CampaignPaths


@pytest.fixture(autouse=True)
def reports(monkeypatch):
    """Write no reports, which take long; return for which directories there would have been one."""
    asked = []
    monkeypatch.setattr(workflow.campaign, "write_report", asked.append)
    return asked


def run(directory, deadline, config=None, pool=None, act=None):
    if config is not None:
        prepare(directory, config)
    else:
        config = tiny_config()
    make_pool = (lambda *_: ThreadPool()) if pool is None else (lambda *_: pool)
    return run_campaign(config, load_site("local"), directory, Watcher(act), make_pool, deadline)


def test_time_for_tasks_ends_before_the_allocation_does():
    deadline = Deadline(time.time() + 1000.0, notice_s=300.0)
    assert deadline.task_time_s == pytest.approx(1000.0 - 90.0, abs=1.0)
    assert deadline.allows(900.0)
    assert not deadline.allows(920.0)
    assert not deadline.is_near
    assert Deadline(time.time() + 299.0, notice_s=300.0).is_near
    assert Deadline(time.time() + 1000.0, notice_s=20.0).closing_s == 10.0


def test_where_nothing_ends_everything_is_allowed():
    assert FOR_EVER.allows(math.inf)
    assert not FOR_EVER.is_near


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Let squeue give this answer."""

    def answer(text):
        path = tmp_path / "bin/squeue"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\necho '{text}'\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))

    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SMELTER_ALLOCATION_BEGAN", raising=False)
    return answer


def test_the_scheduler_knows_the_end_better_than_the_settings(squeue, monkeypatch):
    site = load_site("slurm", {"walltime": "12:00:00"})
    squeue("1-01:00:00")
    assert allocation_deadline(site).end == pytest.approx(time.time() + 90000.0, abs=10.0)
    squeue("INVALID")
    assert allocation_deadline(site).end == pytest.approx(time.time() + 43200.0, abs=10.0)
    monkeypatch.setenv("SMELTER_ALLOCATION_BEGAN", str(time.time() - 3600.0))  # a driver that starts anew
    assert allocation_deadline(site).end == pytest.approx(time.time() + 39600.0, abs=10.0)


def test_near_the_end_all_is_saved_and_the_next_driver_goes_on(tmp_path, monkeypatch, reports):
    monkeypatch.setattr(workflow.campaign, "WATCH_EVERY_S", 0.2)
    config = tiny_config(stop__max_rounds=30, sampling__thresholds=AGREES, stop__median_survival_ps=0.05)
    clock = {"near": False}

    class Allocation(Deadline):
        @property
        def is_near(self):
            return clock["near"]

    def act(state):
        clock["near"] = state.round >= 1

    ending = run(tmp_path / "run", Allocation(time.time() + 1000.0, 60.0), config, act=act)
    assert (ending.state, ending.by) == ("paused", "walltime")
    paths = CampaignPaths(tmp_path / "run")
    assert not paths.stop_sampling.exists()
    assert not paths.stop_training.exists()
    assert reports == []  # there is no time for it
    check_books(tmp_path / "run")
    last = run(tmp_path / "run", FOR_EVER, tiny_config(stop__max_rounds=2))
    assert last.state in {"budget_spent", "converged"}
    assert reports == [tmp_path / "run"]
    assert [event["resumed"] for event in events(tmp_path / "run", "started")] == [False, True]
    check_books(tmp_path / "run")


def test_labels_that_cannot_end_are_not_started_and_stay_candidates(tmp_path):
    """The longest label so far took longer than there is time."""

    def act(state):
        if state.n_labelled:
            state.longest_s["label_candidates"] = 1e6

    config = tiny_config()
    ending = run(tmp_path / "run", Deadline(time.time() + 1000.0, 60.0), config, act=act)
    assert (ending.state, ending.by) == ("paused", "walltime")
    assert "no label can end within the walltime" in ending.reason
    waiting = list(CampaignPaths(tmp_path / "run").candidates.glob("*.npz"))
    n_labelled = len(events(tmp_path / "run", "labelled"))
    assert 0 < n_labelled < config.bootstrap.n_frames
    assert len(waiting) == config.bootstrap.n_frames - n_labelled
    assert run(tmp_path / "run", FOR_EVER, config).state in {"budget_spent", "converged"}
    check_books(tmp_path / "run")


def test_a_label_that_does_not_make_it_is_left_when_the_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow.campaign, "WATCH_EVERY_S", 0.05)
    pool = HoldingPool(lambda name, number: name == "label_candidates" and number > 3, until=lambda: False)
    pool.check = lambda: None  # it never comes back
    end = time.time() + 3.0
    ending = run(tmp_path / "run", Deadline(end, notice_s=1.0), tiny_config(), pool=pool)
    assert (ending.state, ending.by) == ("paused", "walltime")
    assert time.time() < end + 30.0
    assert run(tmp_path / "run", FOR_EVER, tiny_config()).state in {"budget_spent", "converged"}
    dataset = check_books(tmp_path / "run")
    assert dataset.n_labels >= tiny_config().bootstrap.n_frames
