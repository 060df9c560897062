"""The command: what it writes, what it keeps when interrupted, and what it refuses."""

import csv
import json
import re
import shutil

import pytest
from random_ensemble import random_ensemble
from tiny_campaign import events, run_tiny, tiny_config

import validation.suite
from potentials import storage
from validation.results import Curve, Findings, Quantity
from validation.suite import Property
from workflow import report, status, validate
from workflow.reporting.property_history import headline_text, history_table
from workflow.reporting.summary import summarise
from workflow.storage.paths import CampaignPaths
from workflow.tasks.validate import validate_round


def known(subject):
    return Findings(
        (
            Quantity("FCC: C11", 100.0, "GPa", 0.5, "fit"),
            Quantity("FCC: C44", float("nan"), "GPa", remark="odd"),
        ),
        (Curve("line", (0.0, 1.0), (1.0, 2.0), (0.1, 0.1)),),
        "x",
        "energy, GPa",
        method="by hand",
    )


@pytest.fixture
def short_suite(monkeypatch):
    """Make the suite two properties of no cost; return what was computed."""
    computed = []

    def compute(name):
        def count(subject):
            computed.append((type(subject.calculator).__name__, name))
            return known(subject)

        return count

    props = tuple(
        Property(name, compute(name), quick, 1, 1) for name, quick in (("first", True), ("second", False))
    )
    monkeypatch.setattr(validation.suite, "PROPERTIES", props)
    return computed


def run(model, out, *options):
    return validate.main([str(model), "--out", str(out), *options])


def test_results_are_written_and_shown(short_suite, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(model, out, "--suite", "full", "--reference", "eam") == 0
    said = capsys.readouterr().out
    assert "[4/4] reference: eam, Al second" in said
    assert re.search(r"^  model: about .* s \(", said, re.M)
    assert "100.00 ± 0.50" in said
    data = json.loads((out / "results.json").read_text())
    assert data["elements"] == ["Al"]
    assert set(data["sources"]) == {"model", "reference: eam"}
    assert data["results"][0]["quantities"][1] == {
        "name": "FCC: C44", "value": None, "unit": "GPa", "error": None, "error_kind": "", "remark": "odd",
    }  # fmt: skip
    assert {d["value"] for d in data["differences"]} == {0.0}
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert {(r["source"], r["value"]) for r in rows if r["quantity"] == "FCC: C11"} >= {
        ("model", "100.0"),
        ("reference: eam", "100.0"),
    }
    assert any("Kamm" in row["source"] for row in rows)
    page = (out / "validation.html").read_text()
    assert "by hand" in page
    assert "Kamm" in page
    assert len(list((out / "plots").glob("*.svg"))) == 2
    assert not re.search(r'src="(?!data:)', page)


def test_an_interrupted_run_goes_on_where_it_was(short_suite, model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    first, second = validation.suite.PROPERTIES

    def interrupt(subject):
        raise KeyboardInterrupt

    monkeypatch.setattr(validation.suite, "PROPERTIES", (first, Property("second", interrupt, False, 1, 1)))
    assert run(model, out, "--suite", "full") == 1
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr(validation.suite, "PROPERTIES", (first, second))
    assert run(model, out, "--suite", "full") == 0
    assert [name for _, name in short_suite] == ["first", "second"]
    assert "Al first: known" in capsys.readouterr().out


def test_other_inputs_are_computed_anew(short_suite, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert run(model, out) == 0
    assert run(model, out) == 0
    assert len(short_suite) == 1
    (out / "properties" / "model-Al-first.json").write_text("torn {")
    assert run(model, out) == 0
    assert len(short_suite) == 2
    shutil.rmtree(model)
    storage.save(random_ensemble("Al", first_seed=5), model)
    assert run(model, out) == 0
    assert len(short_suite) == 3
    newer = Property("first", validation.suite.PROPERTIES[0].compute, True, 1, 1, version=2)
    monkeypatch.setattr(validation.suite, "PROPERTIES", (newer,))
    assert run(model, out) == 0
    assert len(short_suite) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/nowhere"], "expected the directory of an ensemble"),
        (["{model}", "--reference", "eamm"], "found 'eamm'; expected eam"),
        (["{model}", "--reference", "{tmp}/none.yaml"], "none.yaml"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments, message, model, tmp_path, capsys):
    filled = [argument.format(tmp=tmp_path, model=model) for argument in arguments]
    assert validate.main([*filled, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_models_of_openkim_that_cannot_be_used_are_said_and_left_out(short_suite, model, tmp_path, capsys):
    assert run(model, tmp_path / "out", "--kim", "No_such_model__MO_000000000000_000") == 0
    assert "not compared: No_such_model__MO_000000000000_000" in capsys.readouterr().out
    assert "No_such_model" in (tmp_path / "out" / "validation.html").read_text()


def test_a_reference_that_does_not_know_an_element_says_so(short_suite, tmp_path, capsys):
    storage.save(random_ensemble("Al", "C"), tmp_path / "alloy")
    assert run(tmp_path / "alloy", tmp_path / "out", "--reference", "eam") == 0
    assert "reference: eam does not know C" in capsys.readouterr().out


def test_a_random_potential_goes_through_the_quick_suite(model, tmp_path):
    """It is of no material: there may be no crystal, but every number is there or says why not."""
    assert run(model, tmp_path / "out") == 0
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(data["results"]) == 5
    for result in data["results"]:
        assert result["remark"] or result["quantities"]
        assert all(q["value"] is not None or q["remark"] for q in result["quantities"])


def test_promoted_ensembles_go_through_the_suite(short_suite, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "workflow.stages.training.is_good_enough", lambda summary, tolerance: (summary.round == 1, "as asked")
    )
    run_tiny(tmp_path / "c", tiny_config(validation={"suite": "quick"}))
    promoted = [event["round"] for event in events(tmp_path / "c", "trained") if event["promoted"]]
    found = events(tmp_path / "c", "properties")
    assert len(events(tmp_path / "c", "trained")) == 2
    assert [event["round"] for event in found] == promoted == [1]
    assert all(event["ok"] for event in found)
    assert found[0]["values"]["Al FCC: C11"] == 100.0
    assert found[0]["values"]["Al FCC: C44"] is None
    assert (found[0]["n_quantities"], found[0]["n_missing"]) == (2, 1)
    file = CampaignPaths(tmp_path / "c").model(promoted[0]) / "validation.json"
    assert json.loads(file.read_text())["suite"] == "quick"
    n_computed = len(short_suite)
    validate_round(str(tmp_path / "c"), promoted[0], "quick")
    assert len(short_suite) == n_computed
    page = report.write_report(tmp_path / "c").read_text()
    assert "Properties by round" in page
    assert status.status_text(tmp_path / "c", summarise(tmp_path / "c")).count("Al FCC: C11 100.00 GPa") == 1


def test_of_a_campaign_its_best_ensemble_is_meant(short_suite, tmp_path, capsys):
    run_tiny(tmp_path / "c", tiny_config(stop={"max_rounds": 1, "median_survival_ps": 0.05}))
    assert run(tmp_path / "c", tmp_path / "out", "--reference", str(tmp_path / "c" / "in-force.yaml")) == 0
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(data["sources"]) == ["c round-0001", "reference: eam"]
    assert run(tmp_path / "c", tmp_path / "other", "--reference", str(tmp_path / "c")) == 0
    assert "reference: c" in capsys.readouterr().out


def test_by_default_nothing_is_computed(short_suite, tmp_path):
    run_tiny(tmp_path / "c", tiny_config())
    assert events(tmp_path / "c", "properties") == []
    assert short_suite == []


def test_a_suite_that_fails_is_written_down_once(short_suite, tmp_path, monkeypatch):
    def fail(path):
        raise TypeError("a bug")

    monkeypatch.setattr("workflow.tasks.validate.model_source", fail)
    run_tiny(tmp_path / "c", tiny_config(validation={"suite": "quick"}))
    found = events(tmp_path / "c", "properties")
    assert len(found) == len({event["round"] for event in found}) > 0
    assert not any(event["ok"] for event in found)
    assert "a bug" in headline_text(found[0])
    _, rows = history_table({event["round"]: event for event in found})
    assert "a bug" in rows[0][-1]
