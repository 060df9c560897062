"""An ensemble of ours as the label source: what it says, what it is known by, and what it may not become."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import bulk
from random_ensemble import random_ensemble
from tiny_campaign import check_books, run_tiny, tiny_config, tiny_settings

import workflow.tasks.context
from potentials.storage import CARD, WEIGHTS, load, save
from qm.checks import check_label
from qm.config import CheckConfig, PotentialLabellerConfig
from workflow.labellers import make_labeller
from workflow.launch import main
from workflow.reporting.label_calculator import LabelCalculator
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign
from workflow.storage.paths import CampaignPaths


def settings_of(path):
    return {"kind": "potential", "model": str(path)}


def labeller_of(path):
    return make_labeller(PotentialLabellerConfig(**settings_of(path)))


@pytest.fixture
def model(tmp_path):
    """An ensemble in single precision, as trainings leave it."""
    save(random_ensemble("Al"), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def frame():
    crystal = bulk("Al", cubic=True)
    crystal.rattle(0.2, seed=1)
    return crystal


def test_a_label_is_the_mean_of_the_members_in_double_precision(model, frame, tmp_path):
    label = labeller_of(model).label(frame, tmp_path)
    frame.calc = load(model).to(dtype=torch.float64).calculator()
    forces = frame.get_forces()
    assert label.energy_ev == pytest.approx(frame.calc.results["member_energies"].mean(), abs=1e-9)
    assert frame.calc.results["energy_std"] > 1e-3
    assert np.allclose(label.forces_ev_per_ang, forces, atol=1e-12)
    assert np.allclose(label.stress_ev_per_ang3, frame.get_stress(voigt=False), atol=1e-12)


def test_a_lone_atom_has_the_shift_of_its_element(model, tmp_path):
    lone = labeller_of(model).label(Atoms("Al"), tmp_path)
    assert lone.energy_ev == pytest.approx(float(load(model).shift_ev), abs=1e-9)
    assert not lone.forces_ev_per_ang.any()


def test_atoms_in_one_place_have_numbers_that_the_checks_refuse(model, tmp_path):
    source, frame = labeller_of(model), Atoms("Al2", positions=np.zeros((2, 3)))
    label = source.label(frame, tmp_path)
    assert np.isfinite(label.forces_ev_per_ang).all()
    assert check_label(frame, label, CheckConfig(), source.fingerprint).reason == "unphysical"


def test_the_content_counts_and_not_the_place(model, tmp_path):
    fingerprint = labeller_of(model).fingerprint
    save(load(model), tmp_path / "copy")
    save(load(model).to(dtype=torch.float64), tmp_path / "double")
    assert {labeller_of(tmp_path / name).fingerprint for name in ("copy", "double")} == {fingerprint}
    base = random_ensemble("Al")
    *weights, last_bias = base.networks.parameters()
    others = {
        "bias": replace(base, networks=base.networks.with_parameters([*weights, last_bias + 1e-6])),
        "shift": replace(base, shift_ev=base.shift_ev + 1e-6),
        "reach": replace(base, spec=replace(base.spec, radial_cutoff_ang=4.6)),
        "elements": replace(base, elements=("Cu",)),
    }
    for name, other in others.items():
        save(other, tmp_path / name)
    found = {labeller_of(tmp_path / name).fingerprint for name in others}
    assert len(found | {fingerprint}) == 1 + len(others)


def test_a_campaign_stands_for_its_current_ensemble(model, tmp_path):
    paths = CampaignPaths(tmp_path / "campaign")
    save(load(model), paths.model(3))
    paths.current.symlink_to(paths.model(3).name)
    assert labeller_of(tmp_path / "campaign").fingerprint == labeller_of(model).fingerprint


def test_the_report_can_ask_it(model, frame):
    frame.calc = LabelCalculator(labeller_of(model))
    assert np.isfinite(frame.get_potential_energy())
    assert frame.get_forces().shape == (4, 3)


# -- campaigns -----------------------------------------------------------------------------------------------


@pytest.fixture
def learnt(model, tmp_path, monkeypatch):
    """A campaign of one round that learnt from ``model``."""
    monkeypatch.setattr(workflow.tasks.context, "_sources", {})
    run_tiny(tmp_path / "run", tiny_config(stop__max_rounds=1, labeller=settings_of(model)))
    return tmp_path / "run"


@pytest.fixture
def launch(capsys, tmp_path):
    """Call the command without running anything; return its output, or its one line of error."""

    def call(*arguments, expected=0, **changes):
        settings = tmp_path / "settings.yaml"
        settings.write_text(yaml.safe_dump(tiny_settings(**{"stop__max_rounds": 1, **changes})))
        arguments = [str(settings) if word == "SETTINGS" else str(word) for word in arguments]
        assert main(["--site", "local", "--dry-run", *arguments]) == expected
        said = capsys.readouterr()
        assert said.err.count("\n") == (1 if expected else 0), said.err
        return said.err or said.out

    return call


def test_a_campaign_learns_from_an_ensemble(learnt, model, frame, tmp_path):
    dataset = check_books(learnt)
    assert dataset.fingerprint == labeller_of(model).fingerprint
    record = next(iter(dataset.snapshot().records()))
    again = labeller_of(model).label(record.frame, tmp_path)
    assert record.label.energy_ev == pytest.approx(again.energy_ev, abs=1e-9)
    assert record.label.core_s >= record.label.wall_s > 0.0


def test_models_that_cannot_be_used_are_one_line(launch, model, tmp_path):
    new = ("--campaign", "SETTINGS", "--directory", tmp_path / "new")

    def mistake(path, **changes):
        return launch(*new, expected=2, labeller=settings_of(path), **changes)

    assert "settings.yaml: labeller.model: nowhere: expected the directory of an ensemble" in mistake(
        "nowhere"
    )
    assert "neither in it" in mistake(tmp_path)
    assert "cannot label Cu; expected some of Al" in mistake(
        model, elements=["Al", "Cu"], builder__density_g_per_cm3=[3.0, 4.0]
    )
    weights = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(weights[:-100])
    assert f"{model / WEIGHTS}: cannot be read" in mistake(model)
    (model / WEIGHTS).write_bytes(weights)
    (model / CARD).write_text("{}")
    assert "expected an ensemble of kind ani" in mistake(model)
    assert not (tmp_path / "new").exists()


def test_a_relative_path_counts_from_where_the_campaign_is_launched(launch, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = launch("--campaign", "SETTINGS", "--directory", "new", labeller=settings_of("model"))
    assert f"potential {model}; 16 random cells" in said


def test_a_model_that_moved_is_the_same_and_one_that_changed_is_not(launch, learnt, model, tmp_path):
    moved = model.rename(tmp_path / "moved")
    resume = ("--resume", "--directory", learnt)
    assert f"{model}: expected the directory of an ensemble" in launch(*resume, expected=2)
    assert f"became '{moved}'" in launch(*resume, "--set", f"labeller.model={moved}")
    save(random_ensemble("Al", first_seed=9), model)
    error = launch(*resume, expected=2)
    assert "labeller: its level of theory has fingerprint" in error
    assert "start a new campaign" in error


def test_a_model_that_changes_while_the_campaign_runs_labels_nothing(learnt, model, monkeypatch):
    paths = CampaignPaths(learnt)
    config = load_campaign(paths.settings_in_force)
    save(random_ensemble("Al", first_seed=9), model)
    monkeypatch.setattr(workflow.tasks.context, "_sources", {})  # as a worker that starts now
    with pytest.raises(SettingsError, match="its level of theory has fingerprint"):
        workflow.tasks.context.labeller(paths, config)
