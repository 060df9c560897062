"""Every example runs, with less of everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from espresso_cases import GTH_AL
from random_ensemble import random_ensemble
from tiny_campaign import run_tiny

from potentials.storage import save
from qm.espresso.gth import convert
from workflow.launch import main
from workflow.launching.plan import make_plan

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
RUNNABLE = ["al_eam", "cual_alloy", "al_from_ani"]
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


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {"al_quickstart", *RUNNABLE, *PLANNED}


@pytest.mark.slow
def test_the_quickstart_comes_to_its_end(tmp_path):
    """As users type it, with real executors."""
    command = [sys.executable, "-m", "workflow.launch", "--site", "local"]
    command += ["--campaign", str(EXAMPLES / "al_quickstart.yaml"), "--directory", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, *(word for setting in LESS for word in ("--set", setting))],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "budget spent: 2 of 2 rounds" in done.stdout
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNABLE)
def test_an_example_comes_to_its_end(tmp_path, model, name):
    """In threads: an example is its settings."""
    overrides = LESS + [setting.format(model=model) for setting in OWN.get(name, [])]
    plan = make_plan("local", EXAMPLES / f"{name}.yaml", tmp_path / name, overrides, resume=False)
    ending = run_tiny(tmp_path / name, plan.config)
    assert (ending.state, ending.reason) == ("budget_spent", "2 of 2 rounds")
    assert (tmp_path / name / "metrics.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("name", PLANNED)
def test_an_example_that_takes_hours_is_a_plan_that_holds(tmp_path, upf, capsys, name):
    words = ["--site", "local", "--campaign", str(EXAMPLES / f"{name}.yaml"), "--dry-run"]
    words += ["--directory", str(tmp_path / name)]
    status = main([*words, *(w for setting in OWN[name] for w in ("--set", setting.format(upf=upf)))])
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    assert f"campaign {name} in" in said.out
    assert not (tmp_path / name).exists()
