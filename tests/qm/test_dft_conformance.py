"""What every code of density functional theory keeps to as a source of labels, where it is installed."""

import shutil

import numpy as np
import pytest
from cp2k_cases import GAMMA, loose_cell, write_data
from cp2k_cases import settings as cp2k_settings
from espresso_cases import settings as espresso_settings
from gpaw_cases import DEBIAN, PYTHON, gpaw_version
from gpaw_cases import settings as gpaw_settings

from qm.checks import check_label
from qm.config import CheckConfig
from qm.label import Label, LabelFailure
from workflow.labellers import make_labeller

pytestmark = pytest.mark.dft


def espresso(request, directory):
    return espresso_settings(request.getfixturevalue("al_upf"), **GAMMA)


def cp2k(request, directory):
    if shutil.which("cp2k") is None:
        pytest.skip("no cp2k; Debian has it in the package cp2k")
    return cp2k_settings(write_data(directory), **GAMMA, cutoff_ry=200.0)


def gpaw(request, directory):
    if not DEBIAN.exists() or gpaw_version() is None:
        pytest.skip(f"no GPAW in {PYTHON}, or no {DEBIAN}")
    return gpaw_settings(DEBIAN, version=gpaw_version(), **GAMMA)


@pytest.fixture(scope="module", params=[espresso, cp2k, gpaw], ids=lambda code: code.__name__)
def labeller(request, tmp_path_factory):
    config = request.param(request, tmp_path_factory.mktemp("data"))
    labeller = make_labeller(config)
    yield labeller
    labeller.close()


def test_a_label_is_complete_and_the_frame_left_as_it_was(labeller, tmp_path):
    frame = loose_cell()
    before = frame.copy()
    label = labeller.label(frame, tmp_path)
    assert isinstance(label, Label), label
    assert check_label(frame, label, CheckConfig(), labeller.fingerprint) is None
    assert np.array_equal(label.stress_ev_per_ang3, label.stress_ev_per_ang3.T)
    assert label.core_s >= label.wall_s > 0.0
    assert label.code
    assert label.version
    assert label.host
    assert frame == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda frame: frame.symbols.__setitem__(0, "Xe"), "Xe"),
        (lambda frame: frame.positions.__setitem__((0, 0), np.nan), "not finite"),
        (lambda frame: frame.set_cell([[5, 0, 0], [0, 5, 0], [5, 5, 0]]), "0 Å thin"),
        (lambda frame: frame.__delitem__(slice(None)), "no atoms"),
        (lambda frame: frame.set_pbc((True, True, False)), "not periodic in three directions"),
    ],
    ids=["element", "nan", "flat cell", "empty", "slab"],
)
def test_bad_input_is_a_failure_and_not_an_exception(labeller, tmp_path, spoil, words):
    frame = loose_cell()
    spoil(frame)
    failure = labeller.label(frame, tmp_path)
    assert isinstance(failure, LabelFailure)
    assert (failure.reason, words in failure.message) == ("bad_input", True), failure.message
