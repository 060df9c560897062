from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from qm.checks import check_label, input_problem, shortest_distance_ang
from qm.config import CheckConfig
from qm.label import Label

FINGERPRINT = "f" * 32


@pytest.fixture
def frame():
    return bulk("Al", cubic=True)


@pytest.fixture
def label(frame):
    return Label(
        energy_ev=-14.3,
        forces_ev_per_ang=np.zeros((len(frame), 3)),
        stress_ev_per_ang3=np.zeros((3, 3)),
        fingerprint=FINGERPRINT,
        code="test",
        version="1",
        wall_s=1.0,
        core_s=1.0,
        host="here",
    )


def with_force(label, *forces):
    changed = label.forces_ev_per_ang.copy()
    for atom, force in enumerate(forces):
        changed[atom, 0] = force
    return replace(label, forces_ev_per_ang=changed)


def test_a_good_label_passes_with_and_without_stress(frame, label):
    assert check_label(frame, label, CheckConfig(), FINGERPRINT) is None
    assert check_label(frame, replace(label, stress_ev_per_ang3=None), CheckConfig(), FINGERPRINT) is None


@pytest.mark.parametrize(
    ("spoil", "reason", "words"),
    [
        (
            lambda x: replace(x, fingerprint="e" * 32),
            "bad_output",
            "this data set has " + FINGERPRINT,
        ),
        (lambda x: replace(x, energy_ev=np.nan), "bad_output", "energy not finite"),
        (lambda x: with_force(x, np.inf), "bad_output", "forces not finite: 1 of 12"),
        (lambda x: replace(x, stress_ev_per_ang3=np.full((3, 3), np.nan)), "bad_output", "stress not finite"),
        (
            lambda x: replace(x, forces_ev_per_ang=np.zeros((5, 3))),
            "bad_output",
            "(5, 3); (4, 3) is expected",
        ),
        (lambda x: replace(x, stress_ev_per_ang3=np.zeros(6)), "bad_output", "(6,); (3, 3) is expected"),
        (
            lambda x: replace(x, stress_ev_per_ang3=np.triu(np.ones((3, 3)))),
            "bad_output",
            "not symmetric: 1 eV/Å³ apart",
        ),
        (lambda x: with_force(x, 101.0, -101.0), "unphysical", "101 eV/Å; at most 100.0 eV/Å"),
        (lambda x: with_force(x, 0.2), "unphysical", "0.1 eV/Å; at most 0.05 eV/Å"),
        (lambda x: replace(x, stress_ev_per_ang3=11.0 * np.eye(3)), "unphysical", "stress of 11 eV/Å³"),
    ],
)
def test_a_bad_label_is_refused_with_what_was_found_and_expected(frame, label, spoil, reason, words):
    failure = check_label(frame, spoil(label), CheckConfig(), FINGERPRINT)
    assert failure.reason == reason
    assert words in failure.message
    assert failure.wall_s == label.wall_s


def test_an_energy_limit_can_be_set(frame, label):
    config = CheckConfig(max_abs_energy_ev_per_atom=3.0)
    failure = check_label(frame, label, config, FINGERPRINT)
    assert "-3.575 eV/atom; at most 3.0" in failure.message


def test_atoms_close_through_the_cell_wall_are_found(label):
    frame = Atoms("Al4", [[0.1, 0, 0], [4.7, 0, 0], [0, 2.5, 0], [0, 0, 2.5]], cell=[5, 5, 5], pbc=True)
    failure = check_label(frame, label, CheckConfig(), FINGERPRINT)
    assert failure.reason == "unphysical"
    assert "0.400 Å apart; at least 0.8 Å" in failure.message
    frame.pbc = False
    assert check_label(frame, label, CheckConfig(), FINGERPRINT) is None


def test_shortest_distance_counts_own_images():
    one = Atoms("Al", cell=[0.7, 6, 6], pbc=True)
    assert shortest_distance_ang(one, 1.0) == pytest.approx(0.7)
    assert shortest_distance_ang(one, 0.6) is None


def test_cells_that_are_periodic_without_a_vector_are_refused():
    elements = frozenset({"Al"})
    assert "0 Å thin" in input_problem(Atoms("Al", pbc=(True, False, False)), elements)
    assert "0.1 Å thin" in input_problem(Atoms("Al", cell=[0.1, 5, 5], pbc=True), elements)
    slab = Atoms("Al", cell=[4, 4, 0], pbc=(True, True, False))
    assert input_problem(slab, elements) is None
    assert input_problem(Atoms("Al"), elements) is None
