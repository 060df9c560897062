"""What every source of labels keeps to. A new kind adds one line to SOURCES."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from random_ensemble import random_ensemble

from potentials.storage import save
from qm.checks import check_label
from qm.config import AseConfig, CheckConfig, EamConfig, PotentialLabellerConfig
from qm.label import Label, LabelFailure
from workflow.labellers import make_labeller

SOURCES = {
    "eam-2001": EamConfig(parameters="2001"),
    "eam-2004": EamConfig(parameters="2004"),
    "ase": AseConfig(kind="ase", calculator="ase.calculators.emt.EMT", elements=("Al", "Cu")),
    "potential": PotentialLabellerConfig(kind="potential", model="MODEL"),
}
STEP_ANG = 1e-4
FORCE_TOLERANCE = 1e-6
STRESS_TOLERANCE = 1e-7


@pytest.fixture(scope="module", autouse=True)
def model(tmp_path_factory):
    """The ensemble that the settings name, in the directory from which the path counts."""
    directory = tmp_path_factory.mktemp("models")
    save(random_ensemble("Al", "Cu"), directory / "MODEL")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        yield


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES.keys())
def labeller(request):
    labeller = make_labeller(request.param)
    yield labeller
    labeller.close()


@pytest.fixture
def frame():
    """A small, skewed, left-handed periodic cell with two elements, far from equilibrium."""
    rng = np.random.default_rng(7)
    grid = np.array([[x, y, z] for x in (0.1, 0.6) for y in (0.1, 0.6) for z in (0.1, 0.6)])
    cell = [[5.2, 0.3, -0.4], [0.9, 5.4, 0.2], [0.5, -0.3, -5.0]]
    frame = Atoms("Al5Cu3", scaled_positions=grid, cell=cell, pbc=True)
    frame.positions += rng.normal(0.0, 0.2, (8, 3))
    return frame


def energy(labeller, frame, scratch):
    return labeller.label(frame, scratch).energy_ev


def slope(function, step):
    """Fourth-order central difference at zero."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def test_a_label_is_complete_and_passes_the_checks(labeller, frame, tmp_path):
    label = labeller.label(frame, tmp_path)
    assert isinstance(label, Label)
    assert label.forces_ev_per_ang.dtype == np.float64
    assert label.fingerprint == labeller.fingerprint
    assert label.code
    assert label.version
    assert label.host
    assert label.core_s >= label.wall_s > 0.0
    assert check_label(frame, label, CheckConfig(), labeller.fingerprint) is None


def test_forces_are_the_energy_gradient(labeller, frame, tmp_path):
    forces = labeller.label(frame, tmp_path).forces_ev_per_ang
    assert np.abs(forces).max() > 0.5
    for atom, axis in [(0, 0), (3, 1), (6, 2), (7, 0)]:

        def moved(step, atom=atom, axis=axis):
            other = frame.copy()
            other.positions[atom, axis] += step
            return energy(labeller, other, tmp_path)

        assert -slope(moved, STEP_ANG) == pytest.approx(forces[atom, axis], abs=FORCE_TOLERANCE)


def test_stress_is_the_strain_derivative_positive_under_tension(labeller, frame, tmp_path):
    stress = labeller.label(frame, tmp_path).stress_ev_per_ang3
    assert np.array_equal(stress, stress.T)
    for row, column in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:

        def strained(step, row=row, column=column):
            strain = np.zeros((3, 3))
            strain[row, column] = strain[column, row] = step if row == column else step / 2
            other = frame.copy()
            other.set_cell(frame.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            return energy(labeller, other, tmp_path)

        expected = slope(strained, STEP_ANG) / frame.get_volume()
        assert stress[row, column] == pytest.approx(expected, abs=STRESS_TOLERANCE)


def test_translation_wrapping_and_whole_cells_change_nothing(labeller, frame, tmp_path):
    label = labeller.label(frame, tmp_path)
    shifted, wrapped, moved = frame.copy(), frame.copy(), frame.copy()
    shifted.positions += [0.7, -11.3, 2.2]
    wrapped.wrap()
    moved.positions[2] += 3 * frame.cell[0] - 2 * frame.cell[2]
    for other in (shifted, wrapped, moved):
        again = labeller.label(other, tmp_path)
        assert again.energy_ev == pytest.approx(label.energy_ev, abs=1e-9)
        assert np.allclose(again.forces_ev_per_ang, label.forces_ev_per_ang, atol=1e-9)


def test_a_supercell_has_the_same_energy_per_atom(labeller, frame, tmp_path):
    label, large = labeller.label(frame, tmp_path), labeller.label(frame * (2, 1, 2), tmp_path)
    assert large.energy_ev == pytest.approx(4 * label.energy_ev, abs=1e-8)
    assert np.allclose(large.forces_ev_per_ang[:8], label.forces_ev_per_ang, atol=1e-9)
    assert np.allclose(large.stress_ev_per_ang3, label.stress_ev_per_ang3, atol=1e-10)


def test_the_order_of_labels_does_not_matter(labeller, frame, tmp_path):
    first = labeller.label(frame, tmp_path)
    labeller.label(frame[:4], tmp_path)
    again = labeller.label(frame, tmp_path)
    assert again.energy_ev == first.energy_ev
    assert np.array_equal(again.forces_ev_per_ang, first.forces_ev_per_ang)


def test_the_frame_is_left_as_it_was(labeller, frame, tmp_path):
    before = frame.copy()
    labeller.label(frame, tmp_path)
    assert frame == before
    assert frame.calc is None


def test_frames_that_are_not_periodic_have_no_stress(labeller, frame, tmp_path):
    for pbc in (False, (True, True, False)):
        frame.pbc = pbc
        label = labeller.label(frame, tmp_path)
        assert label.stress_ev_per_ang3 is None
        assert np.isfinite(label.forces_ev_per_ang).all()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda frame: frame.symbols.__setitem__(0, "Xe"), "Xe"),
        (lambda frame: frame.positions.__setitem__((0, 0), np.nan), "not finite"),
        (lambda frame: frame.set_cell([[5, 0, 0], [0, 5, 0], [5, 5, 0]]), "0 Å thin"),
        (lambda frame: frame.__delitem__(slice(None)), "no atoms"),
    ],
    ids=["element", "nan", "flat cell", "empty"],
)
def test_bad_input_is_a_failure_and_not_an_exception(labeller, frame, tmp_path, spoil, words):
    spoil(frame)
    failure = labeller.label(frame, tmp_path)
    assert isinstance(failure, LabelFailure)
    assert failure.reason == "bad_input"
    assert words in failure.message
    assert "\n" not in failure.message


@pytest.mark.parametrize("config", SOURCES.values(), ids=SOURCES.keys())
def test_the_fingerprint_is_the_same_in_every_process(config):
    code = f"""
from pydantic import TypeAdapter
from qm.config import LabellerConfig
from workflow.labellers import make_labeller
print(make_labeller(TypeAdapter(LabellerConfig).validate_json({config.model_dump_json()!r})).fingerprint)
"""
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()
    assert other == make_labeller(config).fingerprint


def test_sources_do_not_share_a_fingerprint():
    assert len({make_labeller(config).fingerprint for config in SOURCES.values()}) == len(SOURCES)
