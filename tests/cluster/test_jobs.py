"""Campaigns as batch jobs on a real Slurm of several nodes."""

from __future__ import annotations

import pytest
from tiny_campaign import check_books, events
from virtual_slurm import LONG_S

from workflow.ledger import read_ledger

ONE_NODE = {"nodes": 1, "sampling": {"gpus": 1}, "labelling": {"workers": 1}}


def labelled(campaign):
    """Return how often each candidate got a label."""
    ids = [event["id"] for event in events(campaign.directory, "labelled") if event["ok"]]
    return {id_: ids.count(id_) for id_ in ids}


def test_cancelled_at_its_end_or_warned_a_job_loses_nothing_and_the_next_of_the_chain_goes_on(campaign):
    tiny = campaign({**ONE_NODE, "notice_s": 25}, stop__max_rounds=1000, candidates__max_in_flight=1000)
    tiny.launch("--chain", "3")
    first, second, third = tiny.jobs
    # Less than the site says: the scheduler's word counts.
    tiny.slurm.run("scontrol", "update", f"JobId={second}", "TimeLimit=1")
    tiny.wait_until(lambda: tiny.n("labelled") >= 4)
    tiny.slurm.run("scancel", first)
    assert tiny.slurm.wait_for_end(first, LONG_S) == "CANCELLED"
    assert tiny.slurm.wait_for_end(second, LONG_S) == "FAILED", tiny.output(second)  # no status but 0 is good
    tiny.wait_until(lambda: tiny.n("started") == 3)
    n_labelled = tiny.n("labelled")
    tiny.wait_until(lambda: tiny.n("labelled") > n_labelled)
    tiny.slurm.run("scancel", "--signal=USR1", "--batch", third)
    assert tiny.slurm.wait_for_end(third, LONG_S) == "FAILED", tiny.output(third)
    assert [tiny.slurm.exit_code(job) for job in (second, third)] == [75, 75]
    by_warning, by_clock = "interrupted by SIGUSR1", "the walltime is nearly over"
    # Slurm may send its warning up to a minute early.
    assert by_clock in tiny.output(second) or by_warning in tiny.output(second)
    assert by_warning in tiny.output(third)
    assert [event["resumed"] for event in events(tiny.directory, "started")] == [False, True, True]
    assert {event["state"] for event in events(tiny.directory, "stopped")} == {"paused"}
    check_books(tiny.directory)
    assert set(labelled(tiny).values()) == {1}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("site.queue=nowhere", "Slurm knows no partition 'nowhere'"),
        ("site.queue=debug", "walltime is 00:40:00, but partition debug ends at 00:30:00"),
    ],
)
def test_what_cannot_run_is_refused_and_not_submitted(campaign, setting, message):
    tiny = campaign({"walltime": 40})
    before = tiny.slurm.run("squeue", "--noheader", "--format=%i")
    error = tiny.launch("--set", setting, status=2)
    assert message in error
    assert error.count("\n") == 1
    assert tiny.slurm.run("squeue", "--noheader", "--format=%i") == before
    assert not list(read_ledger(tiny.directory))
