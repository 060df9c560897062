import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from qm.ase_calculator import AseLabeller, _by_content
from qm.checks import check_label
from qm.config import AseConfig, CheckConfig
from qm.label import Label, LabelFailure

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def frame():
    frame = bulk("Cu", cubic=True)
    frame.rattle(0.05, seed=1)
    return frame


@pytest.fixture
def make():
    """Labellers that are closed at the end."""
    made = []

    def make(name, **settings):
        dotted = name if "." in name else f"faulty_calculators.{name}"
        made.append(AseLabeller(AseConfig(kind="ase", calculator=dotted, **settings)))
        return made[-1]

    yield make
    for labeller in made:
        labeller.close()


def children():
    """Processes below this one that have not ended."""
    below = psutil.Process().children(recursive=True)
    return {p.pid for p in below if p.status() != psutil.STATUS_ZOMBIE}


def wait_until_gone(pids, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(alive(pid) for pid in pids):
        time.sleep(0.02)
    return [pid for pid in pids if alive(pid)]


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_labels_are_those_of_the_calculator(make, frame, tmp_path):
    label = make("ase.calculators.emt.EMT", arguments={"asap_cutoff": True}).label(frame, tmp_path)
    frame.calc = EMT(asap_cutoff=True)
    assert label.energy_ev == pytest.approx(frame.get_potential_energy(force_consistent=True), abs=1e-12)
    assert np.allclose(label.forces_ev_per_ang, frame.get_forces(), atol=1e-12)
    assert np.allclose(label.stress_ev_per_ang3, frame.get_stress(voigt=False), atol=1e-12)
    assert label.version.startswith("ase 3.")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"calculator": "no_such_module.Thing"}, "no module 'no_such_module'"),
        ({"calculator": "ase.calculators.emt.EMTT"}, "has no 'EMTT'"),
        ({"calculator": "faulty_calculators.Zero", "arguments": {"colour": 1}}, "colour"),
    ],
    ids=["module", "attribute", "argument"],
)
def test_a_calculator_that_cannot_be_made_is_refused_in_one_line(settings, words):
    before = children()
    with pytest.raises(ValueError, match=words) as caught:
        AseLabeller(AseConfig(kind="ase", **settings))
    assert "\n" not in str(caught.value)
    assert settings["calculator"] in str(caught.value)
    assert children() == before


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("AlwaysFails", "bad_output", "this calculator always fails"),
        ("NotConverged", "not_converged", "no convergence in 100 iterations"),
        ("KillsItself", "killed", "signal 9"),
        ("Exits", "bad_output", "status 3"),
        ("EatsMemory", "out_of_memory", "MemoryError"),
    ],
)
def test_every_misbehaviour_has_its_reason_and_the_next_label_starts_afresh(
    make, frame, tmp_path, name, reason, words
):
    labeller = make(name, arguments={"every": 2})
    first, second, third = (labeller.label(frame, tmp_path) for _ in range(3))
    assert isinstance(first, Label)
    assert isinstance(second, LabelFailure)
    assert second.reason == reason
    assert words in second.message
    assert second.evidence == tmp_path / "calculator.log"
    assert second.wall_s > 0.0
    assert isinstance(third, Label)


@pytest.mark.parametrize("name", ["ReturnsNan", "WrongShape"])
def test_bad_results_are_labels_that_the_checks_refuse(make, frame, tmp_path, name):
    labeller = make(name)
    label = labeller.label(frame, tmp_path)
    if isinstance(label, Label):
        label = check_label(frame, label, CheckConfig(), labeller.fingerprint)
    assert label.reason == "bad_output"


def test_a_label_that_hangs_is_ended_with_all_it_started(make, frame, tmp_path):
    before = children()
    labeller = make("HangsDeaf", walltime_s=1.5)
    failure = labeller.label(frame, tmp_path)
    assert failure.reason == "walltime"
    assert "1.5 s" in failure.message
    assert 1.5 <= failure.wall_s < 60.0
    program, worker = map(int, (tmp_path / "program.pid").read_text().split())
    assert wait_until_gone([program, worker]) == []
    assert children() == before


def test_close_leaves_no_process_and_the_next_label_starts_one(make, frame, tmp_path):
    before = children()
    labeller = make("Zero")
    assert len(children() - before) == 2
    labeller.close()
    assert children() == before
    assert isinstance(labeller.label(frame, tmp_path), Label)
    labeller.close()
    assert children() == before


def test_a_labeller_that_is_forgotten_leaves_no_process(frame):
    before = children()
    labeller = AseLabeller(AseConfig(kind="ase", calculator="faulty_calculators.Zero"))
    assert children() != before
    del labeller
    assert children() == before


def test_a_killed_owner_leaves_no_process(tmp_path):
    code = f"""
from pathlib import Path
from ase.build import bulk
from qm.ase_calculator import AseLabeller
from qm.config import AseConfig
labeller = AseLabeller(AseConfig(kind="ase", calculator="faulty_calculators.HangsDeaf"))
labeller.label(bulk("Cu", cubic=True), Path({str(tmp_path)!r}))
"""
    path = os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])
    owner = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path})
    noted, deadline = tmp_path / "program.pid", time.monotonic() + 60.0
    while not (noted.exists() and len(noted.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [p.pid for p in psutil.Process(owner.pid).children(recursive=True)]
    assert len(left) == 3
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert wait_until_gone(left) == []


def test_a_killed_keeper_is_a_killed_label_and_leaves_no_process(make, frame, tmp_path):
    before = children()
    labeller = make("Zero")
    (keeper,) = [child for child in psutil.Process().children() if child.pid not in before]
    keeper.kill()
    failure = labeller.label(frame, tmp_path)
    assert failure.reason == "killed"
    assert isinstance(labeller.label(frame, tmp_path), Label)
    labeller.close()
    assert wait_until_gone(children() - before) == []


def test_the_process_outlives_the_thread_that_started_it(make, frame, tmp_path):
    made = []
    thread = threading.Thread(target=lambda: made.append(make("Zero", arguments={"every": 3})))
    thread.start()
    thread.join()
    labels = [made[0].label(frame, tmp_path) for _ in range(2)]
    assert all(isinstance(label, Label) for label in labels)


def test_after_an_interrupted_label_the_next_one_is_not_mixed_up(make, frame, tmp_path):
    class StoppedError(Exception):
        pass

    def interrupt(number, stack):
        raise StoppedError

    labeller = make("Hangs", arguments={"every": 2})
    labeller.label(frame, tmp_path)
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(StoppedError):
            labeller.label(frame, tmp_path)
    finally:
        signal.signal(signal.SIGALRM, previous)
    label = labeller.label(frame * 2, tmp_path)
    assert label.forces_ev_per_ang.shape == (len(frame) * 8, 3)


def test_memory_is_limited(make, frame, tmp_path):
    labeller = make("EatsMemory", max_memory_gib=1.0)
    assert labeller.label(frame, tmp_path).reason == "out_of_memory"


def test_what_a_calculator_prints_goes_to_its_log(make, frame, tmp_path):
    label = make("Talks").label(frame, tmp_path)
    assert isinstance(label, Label)
    assert "talking\nmore talk\n" in (tmp_path / "calculator.log").read_text()


def test_without_free_energy_and_stress_there_is_the_energy_alone(make, frame, tmp_path):
    label = make("EnergyOnly").label(frame, tmp_path)
    frame.calc = EMT()
    assert label.energy_ev == pytest.approx(frame.get_potential_energy(), abs=1e-12)
    assert label.stress_ev_per_ang3 is None


def test_what_the_calculator_does_not_know_is_bad_input(make, tmp_path):
    failure = make("ase.calculators.emt.EMT").label(Atoms("Xe", cell=[5, 5, 5], pbc=True), tmp_path)
    assert failure.reason == "bad_input"
    assert "Xe" in failure.message


def test_large_frames_pass_through_the_pipe(make, tmp_path):
    large = bulk("Cu", cubic=True) * (12, 12, 12)
    label = make("Zero").label(large, tmp_path)
    assert label.forces_ev_per_ang.shape == (len(large), 3)


def test_the_fingerprint_follows_the_physics_only(make):
    def found(**settings):
        labeller = make("Zero", **settings)
        labeller.close()
        return labeller.fingerprint

    assert found(walltime_s=5.0, cores=2, elements=("Cu",), start_s=60.0, max_memory_gib=4.0) == found()
    assert found(arguments={"every": 2}) != found()


def test_a_file_counts_by_content_and_not_by_place(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("1")
    assert _by_content({"x": [str(first)]}) == _by_content({"x": [str(second)]})
    second.write_text("2")
    assert _by_content({"x": [str(first)]}) != _by_content({"x": [str(second)]})
    assert _by_content({"x": ["relative", 1.5, None]}) == {"x": ["relative", 1.5, None]}
