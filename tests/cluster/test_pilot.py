"""The driver outside of any job, with blocks of nodes for each role."""

from __future__ import annotations

from tiny_campaign import check_books, events


def test_a_campaign_runs_in_blocks_and_leaves_none(campaign):
    tiny = campaign({"mode": "pilot", "nodes": 1, "sampling": {"gpus": 1}}, stop__max_rounds=2)
    said = tiny.launch()
    assert "blocks of up to 1 node" in said
    assert "budget_spent" in said
    check_books(tiny.directory)
    hosts = {event["host"] for event in events(tiny.directory, "task")}
    assert hosts == set(tiny.slurm.nodes)  # each role has a block of its own, on a whole node
    tiny.wait_until(lambda: not tiny.slurm.run("squeue", "--noheader").strip(), 30)
