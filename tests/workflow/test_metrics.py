"""The table of rounds: what happened between trainings, and always the same from the same ledger."""

import csv

import pytest
from synthetic_campaign import two_rounds

from workflow.ledger import read_ledger
from workflow.reporting.metrics import write_metrics
from workflow.reporting.rounds import RoundWatch, round_rows
from workflow.state import CampaignState, load_state


def test_rows_hold_what_happened_since_the_last_training(tmp_path):
    two_rounds(tmp_path)
    first, second = round_rows(read_ledger(tmp_path))
    assert (first.round, first.new_labels, first.failed_labels, first.candidates) == (1, 40, 2, 40)
    assert (second.round, second.new_labels, second.failed_labels, second.candidates) == (2, 20, 0, 3)
    assert (first.trajectories_ended, second.trajectories_ended) == (0, 3)
    assert (first.labels, second.labels) == (40, 60)
    assert second.rejected_candidates == 2
    assert second.energy_rmse_mev_per_atom == 4.0
    assert second.validation_labels == 12
    assert second.wall_h > first.wall_h > 0


def test_survival_is_that_of_the_rounds_own_ensemble(tmp_path):
    two_rounds(tmp_path)
    first, second = round_rows(read_ledger(tmp_path))
    assert first.median_survival_ps == pytest.approx(0.2)
    assert second.median_survival_ps == pytest.approx(5.0)  # three of five outlive 5 ps: a lower bound


def test_the_file_is_the_same_however_often_it_is_written(tmp_path):
    two_rounds(tmp_path)
    path = write_metrics(tmp_path)
    once = path.read_bytes()
    assert write_metrics(tmp_path).read_bytes() == once
    rows = list(csv.DictReader(path.open()))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert rows[1]["force_rmse_ev_per_ang"] == "0.1"
    assert rows[1]["promoted"] == "1"


def test_a_campaign_without_a_round_has_a_header_alone(tmp_path):
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    assert write_metrics(tmp_path).read_text().startswith("round,cycle,promoted,wall_h,")


def test_two_trainings_that_end_together_are_both_seen(tmp_path):
    two_rounds(tmp_path)
    watch = RoundWatch()
    watch.look(CampaignState())
    state = load_state(tmp_path)
    assert [watch.look(state).round for _ in range(2)] == [1, 2]
    assert watch.look(state) is None


def test_a_resumed_campaign_does_not_repeat_its_rounds(tmp_path):
    two_rounds(tmp_path)
    assert RoundWatch().look(load_state(tmp_path)) is None
