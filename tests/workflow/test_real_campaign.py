"""Whole campaigns with real executors, by the command that users type; stages that always fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sabotage
import yaml
from tiny_campaign import Watcher, check_books, events, prepare, run_tiny, tiny_config, tiny_settings

import workflow.campaign
import workflow.stages.sampling
import workflow.stages.training
from site_configs.load import load_site
from site_configs.marks import CAMPAIGN_MARK, marked
from workflow.campaign import run_campaign
from workflow.reporting.summary import summarise
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import ids, read_refusal

SUPPORT = Path(__file__).parents[1] / "support"
LIMIT_S = 250
"""Far more than any of these campaigns takes: they must not hang."""

pytestmark = pytest.mark.slow


def launch(directory, *arguments, **changes):
    """Run the command on a tiny campaign; return its status, output and errors."""
    settings = directory.parent / "tiny.yaml"
    settings.write_text(yaml.safe_dump(tiny_settings(**changes)))
    command = [sys.executable, "-m", "workflow.launch", "--site", "local", "--campaign", str(settings)]
    done = subprocess.run(
        [*command, "--directory", str(directory), *arguments],
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def assert_no_process_is_left(directory):
    assert not marked(CAMPAIGN_MARK, load_state(directory).campaign_id)


def test_a_campaign_comes_to_its_end(tmp_path):
    status, out, err = launch(tmp_path / "run")
    assert (status, err) == (0, "")
    assert "budget spent: 2 of 2 rounds" in out
    assert_no_process_is_left(tmp_path / "run")
    check_books(tmp_path / "run")
    assert "data:image/svg" in (tmp_path / "run" / "report.html").read_text()
    status, out, err = launch(tmp_path / "run", "--resume", "--set", "stop.max_rounds=3")
    assert (status, err) == (0, "")
    assert "resumed, was budget_spent" in out
    assert "3 of 3 rounds" in out
    check_books(tmp_path / "run")


def always_failing(calculator):
    labeller = {"kind": "ase", "calculator": f"faulty_calculators.{calculator}", "walltime_s": 1.0}
    return {"labeller": labeller, "labelling": {"frames_per_task": 1, "attempts": 1}}


def test_a_label_source_that_kills_its_worker_pauses_the_campaign(tmp_path):
    status, out, err = launch(tmp_path / "run", "--set", "site.retries=0", **always_failing("KillsWorker"))
    assert (status, err) == (1, "")
    assert "paused: labelling is paused: 3 of the last 6 results failed" in out
    assert "worker lost" in out
    assert "mend the label source, then run the same command again" in out
    assert_no_process_is_left(tmp_path / "run")
    assert_no_label(tmp_path / "run")


@pytest.mark.parametrize(
    ("calculator", "reason"),
    [
        ("AlwaysFails", "this calculator always fails"),
        ("ReturnsNan", "bad_output"),
        ("Hangs", "walltime"),
        ("KillsItself", "killed"),
    ],
)
def test_a_label_source_that_always_fails_pauses_the_campaign(tmp_path, calculator, reason):
    ending = run_tiny(tmp_path / "run", tiny_config(**always_failing(calculator)))
    assert ending.state == "paused"
    assert ending.reason.startswith("labelling is paused: 3 of the last 6 results failed: ")
    assert reason in ending.reason
    assert ending.reason.endswith("mend the label source, then run the same command again.")
    assert_no_label(tmp_path / "run")


def assert_no_label(directory):
    paths = CampaignPaths(directory)
    assert not ids(paths.labels)
    assert not events(directory, "merged")
    assert not any(event["ok"] for event in events(directory, "labelled"))
    assert ids(paths.quarantine)
    assert all(read_refusal(path).message for path in paths.quarantine.glob("*.npz"))
    assert summarise(directory).state == "paused"


@pytest.fixture
def in_this_process(tmp_path, monkeypatch):
    """Run a campaign with real executors, but without its report: that asks the label source too."""
    monkeypatch.setattr(workflow.campaign, "write_report", lambda directory: None)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))

    def run(config):
        prepare(tmp_path, config)
        site = load_site("local", {"retries": 0, "health.silence_s": 5})
        return run_campaign(config, site, tmp_path, Watcher())

    return run


def test_an_unreliable_label_source_holds_nothing_up(tmp_path, in_this_process):
    """Failures of every kind, a third of all frames: the good labels come in, the bad ones never do."""
    labeller = {"kind": "ase", "calculator": "faulty_calculators.Unreliable", "walltime_s": 1.5}
    ending = in_this_process(
        tiny_config(
            labeller=labeller,
            labelling={"frames_per_task": 4, "attempts": 1},
            breaker={"window": 30, "max_failures": 25},
            stop__max_rounds=1,
        )
    )
    assert ending.state == "budget_spent"
    assert_no_process_is_left(tmp_path)
    state = load_state(tmp_path)
    assert set(state.label_failures) == {"bad_output", "killed", "walltime"}
    assert state.label_failures.total() == len(ids(CampaignPaths(tmp_path).quarantine))
    assert check_books(tmp_path).n_labels == state.n_labelled > 0


@pytest.mark.parametrize("stage", ["sampling", "training"])
def test_tasks_that_kill_their_worker_pause_the_campaign(tmp_path, in_this_process, monkeypatch, stage):
    module, name = {
        "sampling": (workflow.stages.sampling, "sample_chunk"),
        "training": (workflow.stages.training, "train_round"),
    }[stage]
    monkeypatch.setattr(module, name, sabotage.kill_worker)
    ending = in_this_process(tiny_config(breaker={"window": 4, "max_failures": 2}))
    assert ending.state == "paused"
    assert ending.reason.startswith(f"{stage} is paused: 2 of the last 4 results failed: ")
    assert "worker lost" in ending.reason
    assert_no_process_is_left(tmp_path)
    check_books(tmp_path)
