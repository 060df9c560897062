"""Where the workers' time went: the classes of real small campaigns, and that they leave nothing out."""

from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise

import pytest
from synthetic_campaign import SyntheticCampaign
from thread_pool import ThreadPool
from tiny_campaign import events, run_tiny, tiny_config

import workflow.campaign
from site_configs.roles import ROLES
from workflow.accounting import gpu_h_per_label, gpu_time, worker_hours, worker_time
from workflow.execution.running import RUNNING, RunningTask, lost_seconds
from workflow.ledger import read_ledger
from workflow.reporting.rounds import round_rows
from workflow.state import fold, load_state
from workflow.storage.paths import CampaignPaths


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(workflow.campaign, "write_report", lambda directory: None)


def measured_idle_h(ledger, role):
    """Hours in which the one worker of a role had no task, from the gaps between its tasks."""
    begin, end = ledger[0]["time"], ledger[-1]["time"]
    tasks = sorted((e["started"], e["ended"]) for e in ledger if e["event"] == "task" and e["role"] == role)
    times = [begin, *(time_ for task in tasks for time_ in task), end]
    return sum(right - left for left, right in list(pairwise(times))[::2]) / 3600.0


def test_the_classes_of_a_real_campaign_leave_nothing_out(tmp_path):
    run_tiny(tmp_path, tiny_config())
    ledger = events(tmp_path)
    next(e for e in ledger if e["event"] == "started")["workers"] = dict.fromkeys(ROLES, 1)  # its threads
    state = fold(ledger)
    assert worker_time(state).total_h == pytest.approx(len(ROLES) * state.wall_s / 3600.0, rel=1e-6)
    hours = worker_hours(state)
    for role in ROLES:
        assert hours[role]["idle"] == pytest.approx(measured_idle_h(ledger, role), rel=1e-3, abs=1e-6)
    refused = any(not event["promoted"] for event in ledger if event["event"] == "trained")
    assert (hours["training"]["discarded"] > 0.0) == refused
    row = round_rows(ledger)[-1]
    total_h = row.useful_h + row.failed_h + row.repeated_h + row.discarded_h + row.idle_h
    assert total_h == pytest.approx(len(ROLES) * row.wall_h, rel=1e-6)
    assert row.gpu_h_per_label is None


def test_labels_that_the_checks_refuse_are_discarded(tmp_path):
    assert run_tiny(tmp_path, tiny_config(checks={"max_force_ev_per_ang": 1e-6})).state == "paused"
    work = load_state(tmp_path).work["labelling"]
    assert work.discarded_s == pytest.approx(sum(e["wall_s"] for e in events(tmp_path, "labelled")))
    assert work.discarded_s > 0.0
    assert work.failed_s == 0.0


def test_a_training_that_is_not_promoted_is_discarded(tmp_path):
    for promoted in (True, False):
        campaign = SyntheticCampaign(tmp_path / str(promoted))
        campaign.start()
        campaign.task("training", 20.0)
        campaign.train(1, energy=1.0, force=0.1)
        campaign.task("training", 30.0)
        campaign.train(2, energy=1.0, force=0.1, promoted=promoted)
        spent = load_state(campaign.directory).work["training"]
        assert (spent.useful_s, spent.discarded_s) == ((50.0, 0.0) if promoted else (20.0, 30.0))


class UnluckyPool(ThreadPool):
    """The first chunk ends in an error; the second succeeds after a try of 2 s that was lost."""

    def __init__(self):
        super().__init__()
        self._fates = [{"ok": False, "value": None, "error": "ValueError: bad luck"}, {"lost_s": 2.0}]

    def submit(self, role, function, *args, timeout_s=None):
        real = super().submit(role, function, *args)
        if function.__name__ != "sample_chunk" or not self._fates:
            return real
        fate, future = self._fates.pop(0), Future()
        real.add_done_callback(lambda done: future.set_result(replace(done.result(), **fate)))
        return future


def test_failed_tasks_and_lost_tries_are_not_useful(tmp_path):
    run_tiny(tmp_path, tiny_config(), pool=UnluckyPool())
    [failed] = [e for e in events(tmp_path, "task") if not e["ok"]]
    ok = [e for e in events(tmp_path, "task") if e["ok"] and e["role"] == "sampling"]
    work = load_state(tmp_path).work["sampling"]
    assert work.failed_s == pytest.approx(failed["ended"] - failed["started"])
    assert work.useful_s == pytest.approx(sum(e["ended"] - e["started"] for e in ok))
    assert work.repeated_s == 2.0


def test_what_a_dead_drivers_tasks_had_done_is_repeated(tmp_path, one_round):
    """One task of 3 s was running when the driver died; an older one belongs to a driver before."""
    one_round(tmp_path)
    end, begin = events(tmp_path)[-1]["time"], events(tmp_path, "started")[0]["time"]
    records = CampaignPaths(tmp_path).logs / RUNNING / "sampling"
    records.mkdir(parents=True)
    began = begin + 0.25 * (end - begin)
    for number, started in enumerate([began, begin - 1000.0]):
        run = RunningTask(number, "1:1", "", "host", "sampling/0", started=started)
        with run.recorded(records):
            text = next(records.glob(f"{number}.*")).read_text()
        (records / f"{number}.host.1").write_text(text)
    assert lost_seconds(records.parents[1], begin, end) == {"sampling": pytest.approx(end - began)}
    run_tiny(tmp_path)
    assert load_state(tmp_path).work["sampling"].repeated_s == pytest.approx(end - began)


def test_time_between_two_drivers_is_nobodys(tmp_path):
    campaign = SyntheticCampaign(tmp_path)
    campaign.start()
    campaign.task("sampling", 30.0)
    campaign.time += 36_000.0
    campaign.start()
    campaign.task("sampling", 60.0)
    spent = worker_time(load_state(tmp_path))
    assert spent.total_h == pytest.approx(3 * 120.0 / 3600.0)
    assert spent.useful_h == pytest.approx(90.0 / 3600.0)


def test_gpu_hours_are_those_that_workers_held(tmp_path):
    campaign = SyntheticCampaign(tmp_path)
    campaign.start(sampling=8, labelling=2)
    campaign.task("sampling", 60.0)
    campaign.label(4)
    ledger = list(read_ledger(tmp_path))
    assert gpu_h_per_label(fold(ledger)) is None
    ledger[0]["gpus"] = {"sampling": 4, "labelling": 0}
    state = fold(ledger)
    assert gpu_time(state).total_h == pytest.approx(4 * state.wall_s / 3600.0)
    assert gpu_time(state).useful_h == pytest.approx(0.5 * 60.0 / 3600.0)
    assert gpu_h_per_label(state) == pytest.approx(state.wall_s / 3600.0)
