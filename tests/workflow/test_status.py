"""Status of a campaign from its directory alone."""

import json

import pytest
from synthetic_campaign import SyntheticCampaign, two_rounds

from workflow.lock import CampaignLock
from workflow.reporting.summary import NoCampaignError, summarise
from workflow.status import main


def status(directory, capsys):
    assert main([str(directory), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_everything_that_was_promised(tmp_path, capsys):
    two_rounds(tmp_path)
    (tmp_path / "candidates" / "a.npz").touch()
    (tmp_path / "labels" / "b.npz").touch()
    (tmp_path / "quarantine" / "c.npz").touch()
    found = status(tmp_path, capsys)
    assert found["state"] == "running"
    assert found["round"] == 2
    assert found["labels"] == 61
    assert found["candidates"] == 1
    assert found["quarantined"] == 1
    assert found["median_survival_ps"] == pytest.approx(5.0)
    assert found["median_survival_is_lower_bound"] is True
    assert found["validation"]["energy_rmse_mev_per_atom"] == 4.0
    assert found["validation"]["force_rmse_ev_per_ang"] == 0.1
    assert 0 < found["workers_busy_fraction"] < 1
    assert found["busy_by_role"]["labelling"] > found["busy_by_role"]["sampling"]


def test_a_campaign_that_has_just_begun(tmp_path, capsys):
    SyntheticCampaign(tmp_path).start()
    found = status(tmp_path, capsys)
    assert found["state"] == "bootstrap"
    assert found["validation"] is None
    assert found["median_survival_ps"] is None


@pytest.mark.parametrize("state", ["converged", "budget_spent", "failed", "paused"])
def test_the_end_is_told_with_its_reason(tmp_path, capsys, state):
    campaign = two_rounds(tmp_path)
    campaign.record("stopped", state=state, reason="because of this")
    assert status(tmp_path, capsys)["state"] == state
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "because of this" in out
    assert ("--resume" in out) == (state == "paused")


def test_a_paused_stage_is_told_with_its_remedy(tmp_path, capsys):
    campaign = two_rounds(tmp_path)
    campaign.record("paused", stage="labelling", reason="10 of 20 failed", remedy="Look at quarantine/.")
    found = status(tmp_path, capsys)
    assert found["state"] == "paused"
    assert found["reason"] == "labelling: 10 of 20 failed. Look at quarantine/."


def test_a_dead_driver_is_noticed(tmp_path, capsys):
    two_rounds(tmp_path)
    assert status(tmp_path, capsys)["driver_alive"] is False
    main([str(tmp_path)])
    out = capsys.readouterr().out
    assert "its driver is gone" in out
    assert f"--resume --directory {tmp_path}" in out


def test_a_living_driver_is_noticed(tmp_path, capsys):
    two_rounds(tmp_path)
    with CampaignLock(tmp_path):
        found = status(tmp_path, capsys)
        assert found["driver_alive"] is True
        main([str(tmp_path)])
        assert "driver is gone" not in capsys.readouterr().out


def test_a_half_written_last_event_does_not_matter(tmp_path, capsys):
    two_rounds(tmp_path)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"time": 1, "eve')
    assert status(tmp_path, capsys)["round"] == 2


def test_no_campaign_is_one_line_and_exit_2(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "no campaign here" in captured.err
    with pytest.raises(NoCampaignError):
        summarise(tmp_path)


def test_a_damaged_ledger_names_the_line(tmp_path, capsys):
    two_rounds(tmp_path)
    lines = (tmp_path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = b"garbage\n"
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))
    assert main([str(tmp_path)]) == 2
    assert "line 4" in capsys.readouterr().err
