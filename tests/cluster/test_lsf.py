"""A campaign as a chain of LSF jobs, tried with a stand-in for LSF over the virtual Slurm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tiny_campaign import check_books, events
from virtual_slurm import LONG_S, N_GPUS

SITE = {
    "kind": "lsf",
    "launcher": "jsrun",
    "queue": "pbatch",
    "account": "bank",
    "account_option": "-G",
    "nodes": 2,
    "sampling": {"gpus": 1},
    "labelling": {"workers": 1},
}


@pytest.fixture
def lsf(slurm, tmp_path, monkeypatch):
    """Put bsub, bjobs, bkill and jsrun on the path."""
    folder = tmp_path / "lsf"
    folder.mkdir()
    program = Path(__file__).with_name("lsf_stand_in.py")
    for name in ("bsub", "bjobs", "bkill", "jsrun"):
        (folder / name).symlink_to(program)
    path = f"{folder}:{slurm.environment['PATH']}"
    monkeypatch.setitem(slurm.environment, "PATH", path)
    monkeypatch.setenv("STAND_IN_STATE", str(folder))
    monkeypatch.setenv("STAND_IN_GPUS_PER_NODE", str(N_GPUS))
    return lambda *command: subprocess.run(
        command, env={**os.environ, **slurm.environment}, capture_output=True, text=True
    )


def test_a_chain_goes_on_after_its_walltime_and_what_is_left_of_it_is_cancelled(campaign, lsf):
    tiny = campaign(
        {**SITE, "walltime": 2, "notice_s": 25}, stop__max_rounds=1000, candidates__max_in_flight=1000
    )
    said = tiny.launch("--chain", "3")
    first, second, third = tiny.jobs
    assert f"bkill {first} {second} {third}" in said
    assert lsf("bjobs", "-noheader", "-o", "stat", second).stdout == "PEND\n"
    tiny.slurm.run("scontrol", "update", f"JobId={second}", "TimeLimit=20")  # not what the site says
    assert tiny.slurm.wait_for_end(first, LONG_S) == "FAILED", tiny.output(first)  # no status but 0 is good
    assert tiny.slurm.exit_code(first) == 75, tiny.output(first)
    tiny.finish_after(labels=4)
    assert tiny.slurm.wait_for_end(second, LONG_S) == "COMPLETED", tiny.output(second)
    assert tiny.slurm.wait_for_end(third, LONG_S) == "CANCELLED"
    stopped = [
        (event["state"], event["reason"].partition(";")[0]) for event in events(tiny.directory, "stopped")
    ]
    # LSF's warning (bsub -wa) may be first.
    assert stopped[0] in [("paused", "the walltime is nearly over"), ("paused", "interrupted by SIGUSR1")]
    assert stopped[1][0] == "budget_spent"
    check_books(tiny.directory)
    labelled = [event["id"] for event in events(tiny.directory, "labelled") if event["ok"]]
    assert len(set(labelled)) == len(labelled)
    tasks = events(tiny.directory, "task")
    assert {event["host"] for event in tasks} == {"sn1", "sn2"}
    assert not [event for event in tasks if "GpuError" in event["outcome"]]


def test_a_pilot_runs_in_blocks_and_leaves_none(campaign, lsf):
    tiny = campaign({**SITE, "mode": "pilot", "nodes": 1}, stop__max_rounds=1)
    tiny.launch()
    assert events(tiny.directory, "stopped")[-1]["state"] == "budget_spent"
    check_books(tiny.directory)
    tasks = events(tiny.directory, "task")
    assert {event["host"] for event in tasks} == set(tiny.slurm.nodes)  # each role has a block of its own
    assert all(event["ok"] for event in tasks)
    tiny.wait_until(lambda: not lsf("bjobs", "-noheader", "-o", "jobid").stdout, 30)


def test_what_lsf_refuses_is_passed_on(campaign, lsf):
    tiny = campaign({**SITE, "queue": "nowhere"})
    error = tiny.launch(status=2)
    assert error == "error: bsub refused with status 255: nowhere: No such queue. Job not submitted.\n"
