"""Nodes, cables, blocks and the scheduler itself fail under a campaign on a real Slurm."""

from __future__ import annotations

from collections import Counter

from tiny_campaign import check_books, events
from virtual_slurm import LONG_S

SLOW = {"kind": "ase", "calculator": "faulty_calculators.Slow", "arguments": {"seconds": 0.5}}
"""Labels that take long enough to be caught at work."""
LONG_CHUNKS = {
    "sampling__chunk_steps": 200,
    "sampling__check_every_steps": 50,
    "sampling__max_candidates_per_chunk": 100,
    "candidates__max_in_flight": 1000,
}


def check_labels(campaign, in_flight=frozenset()):
    """Each candidate was labelled once; the data set holds them all."""
    dataset = check_books(campaign.directory)
    labelled = Counter(event["id"] for event in events(campaign.directory, "labelled") if event["ok"])
    assert set(labelled.values()) == {1}
    assert dataset.n_labels == len(labelled)
    assert not [event for event in events(campaign.directory, "labelled") if not event["ok"]]


def hosts(campaign, role):
    """Return the nodes on which tasks of a role have ended."""
    return {event["host"] for event in events(campaign.directory, "task") if event["role"] == role}


def repeated(campaign):
    """Return the tasks that were run again after their worker was lost."""
    return [event for event in events(campaign.directory, "task") if event["lost_s"] > 0.0]


def test_a_dead_node_and_one_cut_off_cost_only_what_ran_there(campaign):
    tiny = campaign(
        {"nodes": 3, "sampling": {"gpus": 1}}, labeller=SLOW, stop__max_rounds=1000, **LONG_CHUNKS
    )
    said = tiny.launch()
    (job,) = tiny.jobs
    assert f"submitted job {job}" in said
    assert f"scancel {job}" in said
    roles = ("sampling", "labelling")
    tiny.wait_until(lambda: hosts(tiny, "labelling") == {"sn1", "sn2", "sn3"})
    tiny.wait_until(lambda: all(tiny.running(node, role) for node in ("sn2", "sn3") for role in roles))
    in_flight = {role: {name.partition(".")[0] for name in tiny.running("*", role)} for role in roles}
    tiny.slurm.cut("sn2")
    tiny.slurm.kill("sn3")
    for role in roles:
        tiny.wait_until(lambda role=role: f"{role} goes on with 1 of 3 nodes" in tiny.machine)
    tiny.slurm.heal("sn2")
    before = Counter(event["kind"] for event in events(tiny.directory, "task"))
    more = {"label_candidates": 8, "sample_chunk": 2, "train_round": 1}
    tiny.wait_until(
        lambda: before + Counter(more) <= Counter(event["kind"] for event in events(tiny.directory, "task"))
    )
    tiny.wait_until(lambda: {event["role"] for event in repeated(tiny)} == set(roles))
    tiny.finish_after(labels=4)
    assert tiny.slurm.wait_for_end(job, LONG_S) == "COMPLETED", tiny.output(job)
    assert tiny.slurm.exit_code(job) == 0
    assert hosts(tiny, "training") == {"sn1"}
    check_labels(tiny)
    lost = repeated(tiny)
    assert {event["role"] for event in lost} == set(roles)
    assert 2 <= len(lost) <= sum(map(len, in_flight.values()))
    told = "\n".join(tiny.machine)
    assert "sn2: no sign of life any more" in told
    assert "sn3: no sign of life any more" in told
    assert all(line in tiny.output(job) for line in tiny.machine)
    assert not tiny.running("sn2", "*")
    assert events(tiny.directory, "stopped")[-1]["state"] == "budget_spent"


def test_a_job_whose_first_node_dies_begins_again_on_others(campaign):
    """The next of its chain waits for that; there is nothing left for it to do."""
    tiny = campaign({"nodes": 2, "sampling": {"gpus": 1}}, labeller=SLOW, stop__max_rounds=1)
    tiny.launch("--chain", "2")
    job, following = tiny.jobs
    tiny.wait_until(lambda: tiny.n("labelled") >= 4 and bool(tiny.running("sn2", "labelling")))
    before = Counter(event["id"] for event in events(tiny.directory, "labelled"))
    n_in_flight = 2 * len(tiny.running("*", "labelling"))  # two frames each
    tiny.slurm.kill("sn1")
    assert tiny.slurm.wait_for_end(job, LONG_S) == "COMPLETED", tiny.output(job)
    dataset = check_books(tiny.directory)
    labelled = Counter(event["id"] for event in events(tiny.directory, "labelled") if event["ok"])
    assert set(labelled.values()) == {1}
    assert before.keys() <= labelled.keys()
    # What was done, but not yet told of, when the driver died is known from its file.
    assert 0 <= dataset.n_labels - len(labelled) <= n_in_flight
    assert dataset.n_labels >= 16
    starts = [(event["host"], event["resumed"]) for event in events(tiny.directory, "started")]
    assert starts == [("sn1", False), ("sn2", True)]
    assert f"job {job}: lost its driver" in (tiny.directory / "logs/driver.log").read_text()
    assert "budget spent" in tiny.output(job)
    assert "cancelled the jobs that were to follow" in tiny.output(job)
    assert tiny.slurm.wait_for_end(following, LONG_S) == "CANCELLED"


def test_a_silent_scheduler_and_cancelled_blocks_delay_a_pilot_and_no_more(campaign):
    site = {"mode": "pilot", "nodes": 1, "sampling": {"gpus": 1}}
    tiny = campaign(site, labeller=SLOW, stop__max_rounds=3)
    with tiny.driving() as driver:
        tiny.wait_until(lambda: tiny.n("labelled") >= 1)
        tiny.slurm.stop_controller()
        refused = tiny.directory / "logs/parsl.log"
        tiny.wait_until(lambda: refused.read_text().count("Submit command failed") >= 3)
        assert len([event for event in events(tiny.directory, "labelled") if event["ok"]]) == 16
        tiny.slurm.start_controller()
        tiny.wait_until(lambda: tiny.n("trained") >= 1 and any(tiny.running("*", "labelling")))
        blocks = tiny.slurm.run("squeue", "--noheader", "--format=%i %j").splitlines()
        (block,) = (line.split()[0] for line in blocks if "labelling" in line)
        tiny.slurm.run("scancel", block)
        assert driver.wait(LONG_S) == 0, tiny.story
    check_labels(tiny)
    said = "\n".join(tiny.machine)
    assert said.count("the scheduler does not answer") == said.count("the scheduler answers again") == 1
    assert "Unable to contact slurm controller" in said
    lost = repeated(tiny)
    assert {event["role"] for event in lost} == {"labelling"}
    assert 1 <= len(lost) <= 2
    assert "no sign of life any more; " in said
    assert not events(tiny.directory, "broken")
    assert not [event for event in events(tiny.directory, "task") if not event["ok"]]
