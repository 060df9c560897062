"""Every example runs, with less of everything, by the command in its first lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from espresso_cases import GTH_AL
from random_ensemble import random_ensemble

from potentials.storage import save
from qm.espresso.gth import convert

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
PLANNED = ["ani_al", "al_espresso_small"]


_PW = ["labeller.pseudopotentials.Al.path={upf}", "labeller.version=6.7MaX"]
OWN = {"al_from_ani": ["labeller.model={model}"], "ani_al": _PW, "al_espresso_small": _PW}
"""What an example needs beyond its file."""


@pytest.fixture
def model(tmp_path):
    """An untrained ensemble in the place of one that a user has to fetch."""
    save(random_ensemble("Al"), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def upf(tmp_path):
    """A pseudopotential, where a user brings a better one."""
    (tmp_path / "Al.upf").write_text(convert(GTH_AL, "Al"))
    return tmp_path / "Al.upf"


def own(name, **files):
    return [word for setting in OWN.get(name, []) for word in ("--set", setting.format(**files))]


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
    overrides = [word for setting in LESS for word in ("--set", setting)]
    done = launch(name, "--directory", str(tmp_path / name), *overrides, *own(name, model=model))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "budget spent: 2 of 2 rounds" in done.stdout
    assert (tmp_path / name / "report.html").exists()
    assert (tmp_path / name / "metrics.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("name", PLANNED)
def test_an_example_that_takes_hours_is_a_plan_that_holds(tmp_path, upf, name):
    done = launch(name, "--directory", str(tmp_path / name), "--dry-run", *own(name, upf=upf))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"campaign {name} in" in done.stdout
    assert not (tmp_path / name).exists()
