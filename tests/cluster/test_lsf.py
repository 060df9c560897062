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


def test_a_whole_campaign_runs_in_one_job_and_the_rest_of_the_chain_is_cancelled(campaign, lsf):
    tiny = campaign(SITE, stop__max_rounds=2)
    said = tiny.launch("--chain", "2")
    first, second = tiny.jobs
    assert f"bkill {first} {second}" in said
    assert lsf("bjobs", "-noheader", "-o", "stat", second).stdout == "PEND\n"
    assert tiny.slurm.wait_for_end(first, LONG_S) == "COMPLETED", tiny.output(first)
    assert tiny.slurm.wait_for_end(second, LONG_S) == "CANCELLED"
    check_books(tiny.directory)
    tasks = events(tiny.directory, "task")
    assert {event["host"] for event in tasks} == {"sn1", "sn2"}
    assert not [event for event in tasks if "GpuError" in event["outcome"]]


def test_what_lsf_refuses_is_passed_on(campaign, lsf):
    tiny = campaign({**SITE, "queue": "nowhere"})
    error = tiny.launch(status=2)
    assert error == "error: bsub refused with status 255: nowhere: No such queue. Job not submitted.\n"
