"""A campaign as a chain of LSF jobs, tried with a stand-in for LSF over the virtual Slurm."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
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
    "sampling": {"gpus": "rest"},
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


def test_a_killed_job_loses_nothing_and_the_next_of_the_chain_goes_on(campaign, lsf):
    tiny = campaign(SITE, stop__max_rounds=3)
    said = tiny.launch("--chain", "3")
    first, second, third = tiny.jobs
    assert f"bkill {first} {second} {third}" in said
    tiny.wait_until(lambda: tiny.n("labelled") >= 4)
    assert lsf("bkill", first).returncode == 0
    assert tiny.slurm.wait_for_end(second, LONG_S) == "COMPLETED", tiny.output(second)
    assert tiny.slurm.wait_for_end(third, LONG_S) == "CANCELLED"
    check_books(tiny.directory)
    labelled = Counter(event["id"] for event in events(tiny.directory, "labelled") if event["ok"])
    assert set(labelled.values()) == {1}
    hosts = {event["host"] for event in events(tiny.directory, "task")}
    assert hosts == {"sn1", "sn2"}
    assert not any("GpuError" in event["outcome"] for event in events(tiny.directory, "task"))


def test_what_lsf_refuses_is_passed_on(campaign, lsf):
    tiny = campaign({**SITE, "queue": "nowhere"})
    error = tiny.launch(status=2)
    assert error == "error: bsub refused with status 255: nowhere: No such queue. Job not submitted.\n"
