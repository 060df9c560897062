"""An ensemble takes over only where the property suite finds what the settings ask for."""

import pytest
from tiny_campaign import events, run_tiny, tiny_config, tiny_settings

import validation.suite
from validation.results import Findings, Quantity
from validation.suite import Property
from workflow import status
from workflow.promotion_gate import FoundQuantity, unmet_conditions
from workflow.reporting.property_history import history_table
from workflow.reporting.summary import summarise
from workflow.settings.config import CampaignConfig, PromotionCondition
from workflow.state import load_state


@pytest.fixture
def suite_that_finds(monkeypatch):
    """Make the suite one property: what a round's ensemble has for C11."""

    def install(gpa_of_round):
        def compute(subject):
            number = subject.calculator.potential.card["round"]
            value = gpa_of_round[number]
            return Findings((Quantity("FCC: C11", value, "GPa", remark="" if value == value else "no FCC"),))

        monkeypatch.setattr(
            validation.suite, "PROPERTIES", (Property("elastic constants", compute, True, 1, 1),)
        )
        monkeypatch.setattr("workflow.stages.training.is_good_enough", lambda *_: (True, "good enough"))

    return install


def gated(max_refusals=3, **condition):
    settings = {"quantity": "FCC: C11", **(condition or {"lower": 80.0})}
    return {"suite": "quick", "promotion_gate": [settings], "max_refusals": max_refusals}


def test_the_gate_refuses_and_the_campaign_goes_on_with_the_ensemble_before(suite_that_finds, tmp_path):
    suite_that_finds({1: 20.0, 2: 50.0, 3: 120.0})
    run_tiny(tmp_path, tiny_config(validation=gated(), stop__max_rounds=3))
    state = load_state(tmp_path)
    assert [state.rounds[n].promoted for n in (1, 2, 3)] == [True, False, True]
    assert state.rounds[2].why == "refused by the gate: Al FCC: C11 is 50.00 GPa, below 80"
    assert state.rounds[3].why == "good enough; all conditions of the gate are met"
    assert state.current == {0: 3}
    assert sorted(state.properties) == [1, 2, 3]
    assert "round-0002" not in {event["ensemble"] for event in events(tmp_path, "sampled")}
    _, rows = history_table(
        state.properties, {number: r.why for number, r in state.rounds.items() if r.unmet}
    )
    assert rows[1][-1].endswith("refused by the gate: Al FCC: C11 is 50.00 GPa, below 80")
    assert "promotion" not in status.status_text(tmp_path, summarise(tmp_path))


def test_a_gate_that_nobody_passes_is_left_open_after_some_refusals(suite_that_finds, tmp_path):
    suite_that_finds({1: 20.0, 2: float("nan"), 3: 50.0})
    run_tiny(tmp_path, tiny_config(validation=gated(max_refusals=1), stop__max_rounds=3))
    state = load_state(tmp_path)
    assert [state.rounds[n].promoted for n in (1, 2, 3)] == [True, False, True]
    assert state.rounds[2].why == "refused by the gate: Al FCC: C11 does not exist: no FCC"
    said = status.status_text(tmp_path, summarise(tmp_path))
    assert "round-0003 promoted: good enough; after 1 refusals in a row the gate is left open" in said


def test_a_driver_that_dies_before_the_decision_decides_alike(suite_that_finds, tmp_path):
    suite_that_finds({1: 20.0, 2: 50.0})
    run_tiny(tmp_path, tiny_config(validation=gated()))
    ledger = tmp_path / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    decided = next(i for i, line in enumerate(lines) if '"trained"' in line and '"promoted":false' in line)
    ledger.write_text("".join(lines[:decided]))
    run_tiny(tmp_path)
    state = load_state(tmp_path)
    assert [state.rounds[n].promoted for n in (1, 2)] == [True, False]
    assert state.rounds[2].unmet == ["Al FCC: C11 is 50.00 GPa, below 80"]


NOW = {("Al", "FCC: C11"): FoundQuantity(100.0, "GPa"), ("Al", "FCC: C44"): FoundQuantity(None, "GPa", "odd")}


@pytest.mark.parametrize(
    ("condition", "before", "problem"),
    [
        ({"lower": 99.0, "upper": 101.0}, {}, ""),
        ({"upper": 99.0}, {}, "Al FCC: C11 is 100.00 GPa, above 99"),
        ({"within": 5.0, "of": "previous"}, {("Al", "FCC: C11"): FoundQuantity(96.0, "GPa")}, ""),
        (
            {"within": 5.0, "of": "previous"},
            {("Al", "FCC: C11"): FoundQuantity(94.0, "GPa")},
            "Al FCC: C11 is 100.00 GPa, more than 5 from the promoted ensemble's 94.00 GPa",
        ),
        ({"within": 5.0, "of": "previous"}, {}, ""),
        ({"within": 20.0, "of": "literature"}, {}, ""),
        (
            {"within": 5.0, "of": "literature"},
            {},
            "Al FCC: C11 is 100.00 GPa, more than 5 from the published 114.30 GPa",
        ),
        ({"quantity": "FCC: C44", "lower": 1.0}, {}, "Al FCC: C44 does not exist: odd"),
        ({"quantity": "FCC: C12", "lower": 1.0}, {}, "Al FCC: C12 does not exist"),
    ],
)
def test_conditions(condition, before, problem):
    condition = PromotionCondition(**{"quantity": "FCC: C11", **condition})
    assert unmet_conditions([condition], ["Al"], NOW, before) == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "FCC: C33", "lower": 1.0}, "near: 'FCC: C"),
        ({"lower": 2.0, "upper": 1.0}, "lower 2 is above upper 1"),
        ({"within": 1.0}, "need each other"),
        ({"element": "Cu", "lower": 1.0}, "Cu is not among the elements Al"),
        ({"quantity": "SC: bulk modulus", "within": 1.0, "of": "literature"}, "no published value for Al"),
        ({"element": None}, "expected lower, upper or within"),
    ],
)
def test_conditions_that_cannot_be_meant_are_refused_at_the_launch(change, message):
    with pytest.raises(ValueError, match=message):
        CampaignConfig.model_validate(tiny_settings(validation=gated(**change)))


def test_a_gate_needs_the_suite():
    with pytest.raises(ValueError, match=r"needs validation\.suite: quick"):
        CampaignConfig.model_validate(tiny_settings(validation=gated() | {"suite": "none"}))
