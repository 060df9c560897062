"""Labels by a stand-in for VASP: what the formats mean, and what is made of every failure."""

import time

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.io import read
from espresso_cases import skewed_cell
from vasp_cases import SECRET, potcar, settings

from qm.checks import check_label
from qm.config import CheckConfig
from qm.label import Label, LabelFailure
from qm.vasp.labeller import VaspLabeller
from qm.vasp.outputs import read_results


@pytest.fixture
def attempt(tmp_path):
    """Label a frame with some settings changed; in a directory of its own."""

    def attempt(mode="", frame=None, **changes):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return VaspLabeller(settings(tmp_path, mode, **changes)).label(frame or skewed_cell(), scratch)

    return attempt


def energy(label):
    assert isinstance(label, Label), label
    return label.energy_ev


def test_a_label_is_complete_and_passes_the_checks(attempt, tmp_path):
    label = attempt()
    assert isinstance(label, Label), label
    assert check_label(skewed_cell(), label, CheckConfig(), label.fingerprint) is None
    assert (label.code, label.version, label.repairs) == ("vasp", "6.4.2", "")
    assert label.core_s == label.wall_s > 0.0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_forces_are_the_gradient_of_the_energy_in_the_order_of_the_frame(attempt, tmp_path):
    files = {e: {"path": str(potcar(tmp_path, e))} for e in ("Cu", "Al")}
    frame = Atoms("CuAl", cell=skewed_cell().cell, positions=skewed_cell().positions, pbc=True)
    forces = attempt(frame=frame, pseudopotentials=files).forces_ev_per_ang
    assert np.abs(forces[1]).max() > 0.3
    for axis in range(3):
        energies = []
        for step in (-1e-3, 1e-3):
            moved = frame.copy()
            moved.positions[1, axis] += step
            energies.append(energy(attempt(frame=moved, pseudopotentials=files)))
        assert (energies[0] - energies[1]) / 2e-3 == pytest.approx(forces[1, axis], abs=5e-5)


def test_stress_is_the_strain_derivative_positive_under_tension(attempt):
    frame = skewed_cell()
    stress = attempt().stress_ev_per_ang3
    for row, column in [(0, 0), (2, 2), (1, 2), (0, 1)]:
        energies = []
        for step in (-1e-3, 1e-3):
            strain = np.zeros((3, 3))
            strain[row, column] = strain[column, row] = step if row == column else step / 2
            strained = frame.copy()
            strained.set_cell(frame.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(energy(attempt(frame=strained)))
        expected = (energies[1] - energies[0]) / 2e-3 / frame.get_volume()
        assert stress[row, column] == pytest.approx(expected, abs=5e-6)
    assert len({round(abs(x), 4) for x in stress[np.triu_indices(3)]}) == 6  # so that their order shows


def test_the_energy_is_the_free_energy_and_not_that_at_zero_smearing(attempt):
    """The outputs of a failure are kept: here they are read as another reader would."""
    failure = attempt(version="6.3.0")
    evidence = failure.evidence / "vasprun.xml"
    assert (failure.reason, "version 6.4.2; expected 6.3.0" in failure.message) == ("bad_input", True)
    found = read(str(evidence))
    label = attempt()
    assert label.energy_ev == pytest.approx(found.calc.results["free_energy"], abs=1e-8)
    assert label.energy_ev == pytest.approx(found.calc.results["energy"] - 0.01, abs=1e-8)


def test_translated_wrapped_and_left_handed_cells_have_the_same_label(attempt):
    frame, moved = skewed_cell(), skewed_cell()
    mirrored = frame.copy()
    mirrored.set_cell(frame.cell.array[[1, 0, 2]])
    moved.positions[0] += 2 * frame.cell[0] - frame.cell[2]
    reference = attempt()
    for other in (mirrored, moved):
        label = attempt(frame=other)
        assert energy(label) == pytest.approx(reference.energy_ev, abs=1e-7)
        assert np.allclose(label.forces_ev_per_ang, reference.forces_ev_per_ang, atol=1e-7)
        assert np.allclose(label.stress_ev_per_ang3, reference.stress_ev_per_ang3, atol=1e-7)


@pytest.mark.parametrize(
    ("mode", "changes", "reason", "words"),
    [
        ("never", {"max_repairs": 0}, "not_converged", "EDIFF was not reached in 100 steps"),
        ("says-reached", {"max_scf_steps": 30}, "not_converged", "the energy changed by"),
        ("box-unconverged", {"max_scf_steps": 3}, "not_converged", "not achieved within NELM"),
        ("sleeps", {"walltime_s": 3.0}, "walltime", "ended after"),
        ("stopcar", {}, "walltime", "asked to stop by STOPCAR"),
        ("memory", {}, "out_of_memory", "not enough memory"),
        ("disk", {}, "killed", "scratch directory is full"),
        ("killed", {}, "killed", "signal 9"),
        ("crash", {}, "killed", "signal 11"),
        ("no-potcar", {}, "bad_input", "file not found, unit 10, file POTCAR"),
        ("bands", {}, "bad_input", "TOO FEW BANDS"),
        ("zpotrf", {}, "not_converged", "ZPOTRF failed"),
        ("zpotrf-close", {}, "unphysical", "atoms are too close"),
        ("edddav", {"max_repairs": 1}, "not_converged", "Error EDDDAV"),
        ("zbrent", {}, "not_converged", "ZBRENT: fatal error"),
        ("stars", {}, "unphysical", "too large to be printed"),
        ("few-forces", {}, "bad_output", "forces cannot be read: found shape (1, 3)"),
        ("cut-xml", {}, "bad_output", "vasprun.xml is not complete"),
        ("cut-outcar", {}, "bad_output", "ends before the calculation did"),
        ("licence", {}, "bad_output", "exit status 3: no licence here"),
        ("", {"incar": {"NBANDS": "few"}}, "bad_input", "Error reading item 'NBANDS' from file INCAR"),
        ("", {"command": "/bin/no-such-vasp"}, "bad_output", "status 127: /bin/no-such-vasp: No such file"),
    ],
)
def test_every_failure_has_its_reason(attempt, tmp_path, mode, changes, reason, words):
    if mode in {"says-reached", "box-unconverged"}:
        changes = changes | {"max_repairs": 0}
    failure = attempt(mode, **changes)
    assert isinstance(failure, LabelFailure)
    assert (failure.reason, words in failure.message) == (reason, True), failure.message
    assert "\n" not in failure.message
    assert failure.evidence == tmp_path / "scratch"
    kept = {path.name for path in failure.evidence.iterdir()}
    assert {"try-1.INCAR", "try-1.log", "POSCAR", "KPOINTS", "POTCAR.titles"} <= kept
    assert all(SECRET not in path.read_text() for path in failure.evidence.iterdir())


def test_vasp_5_says_that_ediff_is_reached_when_it_is_not(attempt):
    failure = attempt("says-reached", max_scf_steps=30, max_repairs=0)
    assert "aborting loop because EDIFF is reached" in (failure.evidence / "OUTCAR").read_text()
    assert failure.reason == "not_converged"


def test_convergence_in_the_very_last_step_counts(attempt):
    assert isinstance(attempt(max_scf_steps=40, max_repairs=0), Label)
    assert isinstance(attempt(max_scf_steps=39, max_repairs=0), LabelFailure)


def test_warnings_of_a_run_that_converged_are_no_failure(attempt):
    assert isinstance(attempt("warns"), Label)


@pytest.mark.parametrize(
    ("mode", "changes", "repairs"),
    [
        ("", {"max_scf_steps": 4}, "ALGO Normal, 4 steps"),
        ("hard", {}, "ALGO Normal, 100 steps"),
        (
            "very-hard",
            {"max_scf_steps": 5},
            "ALGO Normal, 5 steps; ALGO Normal, AMIX 0.2 BMIX 1, 200 steps, from the density so far; "
            "ALGO Normal, AMIX 0.1 BMIX 0.01, 200 steps",
        ),
        ("edddav", {"algorithm": "Fast"}, "ALGO Fast, 100 steps"),
    ],
)
def test_a_repair_finds_the_same_label_and_says_what_had_failed(attempt, mode, changes, repairs):
    repaired, plain = attempt(mode, **changes), attempt()
    assert isinstance(repaired, Label), repaired
    assert repaired.repairs.startswith(f"not converged with {repairs}")
    assert repaired.fingerprint == plain.fingerprint
    assert repaired.energy_ev == plain.energy_ev
    assert np.array_equal(repaired.forces_ev_per_ang, plain.forces_ev_per_ang)


def test_outputs_of_an_earlier_try_are_not_taken_for_those_of_the_next(attempt):
    """All four tries are kept, each with its own."""
    failure = attempt("never", max_scf_steps=3)
    kept = {path.name for path in failure.evidence.iterdir()}
    assert {f"try-{number}.OUTCAR" for number in (1, 2, 3)} < kept
    assert "try-4.OUTCAR" not in kept
    steps = (failure.evidence / "try-1.OSZICAR").read_text().count("DAV:")
    assert steps == 3
    assert failure.message.count("ALGO") == 4


def test_an_ended_label_leaves_no_process(attempt):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    started = time.monotonic()
    assert attempt("sleeps", walltime_s=1.0).reason == "walltime"
    assert time.monotonic() - started < 300.0
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_results_need_all_files(attempt, tmp_path):
    with pytest.raises(ValueError, match="OUTCAR ends before"):
        read_results(tmp_path, 2, threshold_ev=1e-7)
