"""Every example runs, with less of everything, by the command in its first lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from random_ensemble import random_ensemble

from potentials.storage import save

EXAMPLES = Path(__file__).parents[1] / "examples"

LESS = [
    "bootstrap.n_frames=24",
    "bootstrap.frames_per_task=12",
    "builder.side_ang=[6.5, 7.5]",
    "labelling.frames_per_task=6",
    "potential.n_members=2",
    "training.max_epochs=2",
    "sampling.n_slots=4",
    "sampling.chunk_steps=50",
    "candidates.max_in_flight=20",
    "synchronisation.min_new_labels=8",
    "stop.max_rounds=2",
]
RUNNABLE = ["al_quickstart", "al_eam", "cual_alloy", "al_from_ani"]
PLANNED = ["ani_al"]


OWN = {"al_from_ani": ["labeller.model={model}"]}
"""What an example needs beyond its file."""


@pytest.fixture
def model(tmp_path):
    """An untrained ensemble in the place of one that a user has to fetch."""
    save(random_ensemble("Al"), tmp_path / "model")
    return tmp_path / "model"


def launch(name, *arguments):
    command = [sys.executable, "-m", "workflow.launch", "--site", "local"]
    return subprocess.run(
        [*command, "--campaign", str(EXAMPLES / f"{name}.yaml"), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*RUNNABLE, *PLANNED}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNABLE)
def test_an_example_comes_to_its_end(tmp_path, model, name):
    own = [setting.format(model=model) for setting in OWN.get(name, [])]
    overrides = [word for setting in [*LESS, *own] for word in ("--set", setting)]
    done = launch(name, "--directory", str(tmp_path / name), *overrides)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "budget_spent: budget spent: 2 of 2 rounds" in done.stdout
    assert (tmp_path / name / "report.html").exists()
    assert (tmp_path / name / "metrics.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("name", PLANNED)
def test_an_example_for_a_cluster_is_a_plan_that_holds(tmp_path, name):
    done = launch(name, "--directory", str(tmp_path / name), "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"campaign {name} in" in done.stdout
    assert not (tmp_path / name).exists()
