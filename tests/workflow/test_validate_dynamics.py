"""Long runs by the command: what is asked for, what is kept, what is left out."""

import json

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from random_ensemble import random_ensemble

import validation.suite
from potentials.calculator import EnsembleCalculator
from validation.results import Findings, Quantity
from validation.subject import Lattice, Subject
from validation.suite import COLD_CURVES, Property
from workflow import validate
from workflow.validating import dynamics
from workflow.validating.dynamics import Dynamics, fast_calculator
from workflow.validating.notebook import DirectoryNotebook
from workflow.validating.run import run_suite
from workflow.validating.sources import Source
from workflow.validating.store import Store


@pytest.fixture
def subjects(monkeypatch):
    """Make the suite the cold curves and two runs of no cost; return what the runs were given."""
    given = []

    def run(name):
        def compute(subject):
            given.append((name, subject))
            kept = subject.notebook.load("run")
            subject.notebook.save("run", {"n": np.array(1 if kept is None else int(kept["n"]) + 1)})
            subject.notebook.say("half-way")
            return Findings((Quantity(name, 1.0, "K"),))

        return compute

    def cold(subject):
        return Findings((Quantity("FCC: volume", 16.6, "Å³/atom"),))

    props = (
        Property(COLD_CURVES, cold, True, 1, 1),
        Property("phonons", cold, False, 1, 1),
        Property("melting", run("melting"), False, 0, 1, runs="melting", atom_steps=lambda _: 1e4),
        Property("melt-freeze", run("melt-freeze"), False, 0, 1, runs="melt_freeze", refers=True),
    )
    monkeypatch.setattr(validation.suite, "PROPERTIES", props)
    monkeypatch.setattr(validate, "PROPERTIES", props)
    return given


def run(model, out, *options):
    return validate.main([str(model), "--out", str(out), *options])


def test_long_runs_are_in_no_suite_but_their_own(subjects, model, tmp_path, capsys):
    assert run(model, tmp_path / "out", "--suite", "full") == 0
    assert subjects == []
    asked = ("--melting", "0", "5", "--seeds", "2", "--melt-freeze-steps", "500", "9000")
    assert run(model, tmp_path / "out", "--suite", "dynamics", *asked) == 0
    said = capsys.readouterr().out
    assert [name for name, _ in subjects] == ["melting", "melt-freeze"]
    assert "about" in said
    assert "half-way" in said
    subject = subjects[0][1]
    assert subject.conditions.melting.pressures_gpa == (0.0, 5.0)
    assert subject.conditions.melting.n_seeds == 2
    assert subject.conditions.melt_freeze.high_k == 1500.0
    assert (subject.conditions.melt_freeze.n_heat, subject.conditions.melt_freeze.n_cool) == (500, 9000)
    assert subject.lattices["FCC"].volume_ang3 == 16.6
    assert subject.calculator.potential.dtype == torch.float32
    assert not subject.calculator.forces_std
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert {row["property"] for row in rows} == {COLD_CURVES, "melting", "melt-freeze"}


def test_runs_are_shared_and_only_what_changed_is_made_again(subjects, model, tmp_path):
    out = tmp_path / "out"
    assert run(model, out, "--only", "melt") == 0
    (kept,) = (out / "properties").glob("*/run.npz")
    assert int(np.load(kept)["n"]) == 2
    assert run(model, out, "--only", "melting", "--melting", "3") == 0
    assert [name for name, _ in subjects] == ["melting", "melt-freeze", "melting"]
    assert run(model, out, "--only", "melt", "--melting", "3") == 0
    assert len(subjects) == 3
    assert run(model, out, "--only", "melt", "--melting", "3", "--reference", "eam") == 0
    of_model = [(name, subject) for name, subject in subjects[3:] if subject.reference is not None]
    assert [name for name, _ in of_model] == ["melt-freeze"]
    assert of_model[0][1].reference_name.startswith("reference ")


def test_what_is_damaged_is_not_read(tmp_path):
    notebook = DirectoryNotebook(tmp_path / "runs", print)
    assert notebook.load("a run, 5 K") is None
    notebook.save("a run, 5 K", {"x": np.arange(3)})
    assert notebook.load("a run, 5 K")["x"].tolist() == [0, 1, 2]
    (file,) = (tmp_path / "runs").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert notebook.load("a run, 5 K") is None


def test_a_slow_reference_makes_no_runs_and_is_not_remembered(subjects, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics, "_SLOW_S", -1.0)
    slow = Source("reference: slow", "reference", EMT(), frozenset({"Al"}), "f")
    store = Store(tmp_path)
    found = run_suite(slow, "Al", "dynamics", store, dynamics=Dynamics(reference=slow))
    assert [result.findings.remark[:8] for result in found] == ["", "not run:", "not run:"]
    monkeypatch.setattr(dynamics, "_SLOW_S", 1e9)
    found = run_suite(slow, "Al", "dynamics", store, dynamics=Dynamics(reference=slow))
    assert not any(result.findings.remark for result in found)
    assert all(subject.reference is None for _, subject in subjects)


def test_runs_are_in_single_precision_where_it_is_ours():
    double = EnsembleCalculator(random_ensemble("Al").to(dtype=torch.float64))
    assert fast_calculator(double).potential.dtype == torch.float32
    emt = EMT()
    assert fast_calculator(emt) is emt
    assert Subject(emt, "Al", {"FCC": Lattice("FCC", 16.6, None)}).reference is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "meltin9"], "expected the beginning of one of"),
        (["--liquid", "hot"], "found 'hot'; expected a number"),
        (["--liquid", "-5@1"], "expected"),
        (["--melting", "x"], "found 'x'; expected a number"),
        (["--seeds", "0"], "expected a whole number above zero"),
        (["--melt-freeze-steps", "9"], "expected 2 arguments"),
    ],
)
def test_wrong_conditions_are_refused(options, message, model, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(model, tmp_path / "out", *options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
