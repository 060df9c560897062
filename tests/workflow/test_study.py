"""The studies of what active learning is worth: what they compare, what they keep, what they refuse."""

import csv
import json
import math

import numpy as np
import pytest
from tiny_campaign import run_tiny, tiny_config

from workflow import study
from workflow.studying import trainings
from workflow.studying.campaign_labels import open_campaign
from workflow.studying.crossing import crossing
from workflow.studying.dynamics import Snapshot
from workflow.studying.efficiency import Efficiency
from workflow.studying.foreign_frames import KINDS, frames_of
from workflow.studying.labelling import Labels
from workflow.studying.replay import Replay, drawn_at_random, plan_replays, replay

SMALL = ["--seeds", "2", "--md-ps", "0.02", "--set", "training.max_epochs=2"]
MORE = ["--test-frames", "4", "--frames-per-trajectory", "4", "--sizes", "20", "40", "--factor", "1"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "campaign"
    run_tiny(directory, tiny_config(stop__max_rounds=3))
    return directory


def test_table1(campaign, tmp_path, monkeypatch, capsys):
    arguments = ["table1", str(campaign), "--out", str(tmp_path), *SMALL]
    assert study.main(arguments) == 0
    said = capsys.readouterr().out
    assert "trajectories of 0.02 ps: about" in said.splitlines()[1]
    assert "[4/4] FCC and melts, seed 2" in said
    rows = list(csv.DictReader((tmp_path / "table1.csv").open()))
    assert len(rows) == 8
    assert len({row["n_labels"] for row in rows}) == 1, "both learn from as many labels"
    data = json.loads((tmp_path / "table1.json").read_text())
    by_seed = {
        (row["trained_on"], row["seed"]): row["energy_rmse_mev_per_atom"]
        for row in data["ensembles"]
        if row["tested_on"] == "active-learned"
    }
    ratios = [by_seed["FCC and melts", seed] / by_seed["active-learned", seed] for seed in (1, 2)]
    found = data["ratios_on_active_learned"]["energy_rmse_mev_per_atom"]
    assert found == {
        "mean": pytest.approx(np.mean(ratios)),
        "std": pytest.approx(np.std(ratios, ddof=1)),
        "n": 2,
    }
    assert (tmp_path / "table1.svg").read_text().startswith("<?xml")

    monkeypatch.setattr(trainings, "train_ensemble", None)  # whatever is trained now fails
    assert study.main(arguments) == 0


def test_efficiency(campaign, tmp_path, monkeypatch, capsys):
    arguments = ["efficiency", str(campaign), "--out", str(tmp_path), *SMALL, *MORE]
    real, jobs = trainings.train_and_test, []

    def interrupted(job, directory):
        jobs.append(job)
        if len(jobs) == 3:
            raise KeyboardInterrupt
        return real(job, directory)

    monkeypatch.setattr(trainings, "train_and_test", interrupted)
    assert study.main(arguments) == 1
    assert "the same command goes on" in capsys.readouterr().err
    assert study.main(arguments) == 0
    said = capsys.readouterr().out
    n_tested = {name: int(n) for name, n in _pairs(said, "to test on, ")}
    assert set(n_tested) == {"held out", "trajectories", "melts", *KINDS}
    assert min(n_tested.values()) > 0
    data = json.loads((tmp_path / "efficiency.json").read_text())
    sizes = {(row["arm"], row["n_labels"]) for row in data["curves"]}
    assert {n for arm, n in sizes if arm == "random selection"} <= {20, 40}
    assert len(data["labels_needed_at_random"]) == 2 * 2 * len(n_tested)
    assert (tmp_path / "efficiency.svg").exists()

    n_bootstrap = data["n_bootstrap"]
    by_name = {(job.name, job.seed, len(job.train)): job.train.ids for job in jobs}
    chosen, random_1, random_2 = (
        by_name[key]
        for key in (("active learning", 1, 40), ("random selection", 1, 40), ("random selection", 2, 40))
    )
    assert chosen[:n_bootstrap] == random_1[:n_bootstrap] == random_2[:n_bootstrap]
    assert not set(chosen[n_bootstrap:]) & set(random_1[n_bootstrap:])
    assert set(random_1) != set(random_2)
    tested = {id_ for data in jobs[0].tests.values() for id_ in data.ids}
    assert not tested & {id_ for ids in by_name.values() for id_ in ids}


def _pairs(text, head):
    for line in text.splitlines():
        if line.startswith(head):
            name, _, rest = line.removeprefix(head).partition(": ")
            yield name, rest.split()[0]


def test_labels_come_in_their_order_of_arrival(campaign):
    opened = open_campaign(campaign)
    events = [json.loads(line) for line in (campaign / "ledger.jsonl").read_text().splitlines()]
    arrived = [event["id"] for event in events if event["event"] == "labelled"]
    found = [record.id for record in opened.learnt if record.provenance.source == "trajectory"]
    assert found == [id_ for id_ in arrived if id_ in set(found)]
    assert opened.n_bootstrap + len(found) == len(opened.learnt)
    assert not {record.id for record in opened.learnt} & {record.id for record in opened.held_out}


def test_a_replayed_trajectory_begins_as_the_campaigns_did(campaign, tmp_path):
    """In the campaign every fresh cell was labelled at once: the replay's seeds must give the same cell."""
    opened = open_campaign(campaign)
    first = next(
        record
        for record in (*opened.learnt, *opened.held_out)
        if record.provenance.time_fs == 0.0 and record.provenance.ensemble == "round-0001"
    )
    from workflow.studying.replay import _start

    started = _start(first.provenance.trajectory, opened.config)
    assert started.frame().positions == pytest.approx(first.frame.positions, abs=1e-5)
    planned = Replay("round-0001", 1, (first.provenance.trajectory,), ())
    n = replay(str(campaign), opened.config, planned, str(tmp_path / "seen.npz"))
    assert n > 1, "disagreement, which is large from the first step on, does not stop it"


def test_random_selection_takes_each_rounds_share_and_no_frame_twice(campaign):
    planned = plan_replays(open_campaign(campaign), frames_per_trajectory=4)
    assert all(not set(p.learnt) & set(p.held_out) for p in planned)
    pools = [(p, [Snapshot(None, p.round_name, float(i), 0.0) for i in range(60)]) for p in planned]
    drawn = drawn_at_random(pools, 2, seed=1)
    for p in planned:
        assert sum(taken is p for taken, _ in drawn) == 2 * p.n_labels
    first = sum(p.n_labels for p in planned)
    rounds = [taken.round_name for taken, _ in drawn[:first]]
    assert rounds == sorted(rounds)
    assert len({(s.trajectory, s.time_fs) for _, s in drawn}) == len(drawn)
    assert [s.time_fs for _, s in drawn] != [s.time_fs for _, s in drawn_at_random(pools, 2, seed=2)]


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_frames_are_physical(campaign, tmp_path, kind):
    frames = frames_of(kind, "Al", seed=1)
    labels = Labels(open_campaign(campaign), tmp_path)
    found = labels.all([(next(frames), _imported()) for _ in range(6)])
    assert len(found) == 6
    assert len({record.id for record in found}) == 6
    assert all(np.abs(record.label.forces_ev_per_ang).max() > 0.05 for record in found)
    assert labels.all([(record.frame, _imported()) for record in found], 2)[0].id == found[0].id


def _imported():
    from workflow.storage.spool import Provenance

    return Provenance(source="import")


def test_how_many_labels_are_needed():
    """Errors 100/√n come down to 5 with 400 labels, wherever the points lie."""
    sizes = [100, 300, 900]
    errors = [100 / math.sqrt(n) for n in sizes]
    measured = crossing(sizes, errors, 5.0)
    assert (measured.kind, measured.n_labels) == ("measured", pytest.approx(400))
    beyond = crossing(sizes, errors, 1.0)
    assert (beyond.kind, beyond.n_labels, beyond.extrapolated) == ("more", 900, pytest.approx(10_000))
    assert beyond.text() == "more than 900 (power law: 10,000)"
    assert crossing(sizes, errors, 20.0).text() == "at most 100"
    assert crossing(sizes, [1.0, 1.0, 1.0], 0.5).text() == "more than 900"
    assert crossing(sizes, [math.nan] * 3, 0.5).text() == "–"
    rises_again = crossing([100, 200, 400], [4.0, 1.0, 3.0], 2.0)
    assert rises_again.kind == "more", "good once is not good"


def test_wrong_use_is_one_line_and_status_2(campaign, tmp_path, capsys):
    assert study.main(["table1", str(tmp_path / "nowhere")]) == 2
    assert study.main(["efficiency", str(campaign), "--sizes", "5000", "--out", str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "nowhere" in first
    assert "found 5000; expected one between the bootstrap's" in second


def test_sizes_by_default_go_from_the_bootstrap_to_all_and_beyond(campaign, tmp_path):
    opened = open_campaign(campaign)
    asked = Efficiency(opened, None, 1, None, 4.0, 4, 4, 1, tmp_path)
    n = len(opened.learnt)
    active, at_random = asked.sizes_of("active learning"), asked.sizes_of("random selection")
    assert (active[0], active[-1]) == (opened.n_bootstrap, n)
    assert (at_random[:4], at_random[-2:]) == (active, [2 * n, 4 * n])
