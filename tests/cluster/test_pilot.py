"""The driver outside of any job, with blocks of nodes for each role."""

from __future__ import annotations

from tiny_campaign import check_books, events
from virtual_slurm import LONG_S

SLOW = {"kind": "ase", "calculator": "faulty_calculators.Slow", "arguments": {"seconds": 0.5}}


def test_a_campaign_runs_in_blocks_and_work_of_one_that_is_taken_away_begins_again_elsewhere(campaign):
    labelling = {"workers": 1, "standby": {"queue": "standby"}}
    site = {"mode": "pilot", "nodes": 1, "sampling": {"gpus": 1}, "labelling": labelling}
    tiny = campaign(site, labeller=SLOW, bootstrap__n_frames=40, stop__max_rounds=1)
    with tiny.driving() as driver:
        tiny.wait_until(lambda: len(tiny.running("*", "labelling")) == 2)
        (standby,) = tiny.slurm.run("squeue", "--noheader", "--partition=standby", "--format=%N").split()
        # All nodes are in use, and only this one may be taken away.
        tiny.slurm.run(
            "sbatch", "--partition=gpu", "--nodes=1", "--exclusive", "--output=/dev/null", "--wrap=sleep 5"
        )
        assert driver.wait(LONG_S) == 0, tiny.story
    dataset = check_books(tiny.directory)
    labelled = [event["id"] for event in events(tiny.directory, "labelled") if event["ok"]]
    assert len(set(labelled)) == len(labelled) == dataset.n_labels
    tasks = [event for event in events(tiny.directory, "task") if event["kind"] == "label_candidates"]
    assert all(event["ok"] for event in tasks)
    assert any(event["host"] == standby for event in tasks)
    assert [event["lost_s"] > 0.0 for event in tasks].count(True) == 1
    assert f"{standby}: no sign of life any more; 1 labelling task begins again elsewhere" in tiny.machine
    assert "blocks of up to 1 node" in (tiny.home / "output").read_text()
    assert events(tiny.directory, "stopped")[-1]["state"] == "budget_spent"
    tiny.wait_until(lambda: not tiny.slurm.run("squeue", "--noheader").strip(), 30)  # none is left
