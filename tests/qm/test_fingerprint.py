import numpy as np
import pytest
from ase.build import bulk

from qm.fingerprint import fingerprint, label_id

LEVEL = "a" * 32


@pytest.fixture
def frame():
    frame = bulk("Cu", cubic=True)
    frame.rattle(0.1, seed=2)
    return frame


def test_the_id_of_a_known_frame_never_changes():
    """Data sets on disk hold these ids."""
    assert label_id(bulk("Al", a=4.05), LEVEL) == "e4594facdee5bfdfc82f981552dc0b13"
    assert fingerprint({"b": [1, 2.5], "a": "x"}) == "989d3a538c8a5ddd65148668c3b3a3d6"


def test_order_of_keys_does_not_matter_and_values_do():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 1, "b": 3})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


@pytest.mark.parametrize("value", [np.nan, {1, 2}, object()])
def test_what_json_cannot_express_is_refused(value):
    with pytest.raises(ValueError, match="level of theory"):
        fingerprint({"a": value})


def test_noise_below_the_resolution_and_other_contents_do_not_count(frame):
    other = frame.copy()
    other.positions = np.round(other.positions, 6)
    rounded = label_id(other, LEVEL)
    other.positions += 3e-7
    other.info["note"] = 1
    other.set_velocities(np.ones((4, 3)))
    assert label_id(other, LEVEL) == rounded


def test_minus_zero_is_zero(frame):
    frame.positions[0] = 0.0
    first = label_id(frame, LEVEL)
    frame.positions[0] = -0.0
    assert label_id(frame, LEVEL) == first


def change_element(frame):
    frame.symbols[1] = "Ag"


def change_position(frame):
    frame.positions[1, 2] += 2e-6


def change_cell(frame):
    frame.cell[0, 1] += 2e-6


def change_periodicity(frame):
    frame.pbc = (True, True, False)


def change_order(frame):
    frame.positions[[0, 1]] = frame.positions[[1, 0]]


@pytest.mark.parametrize(
    "change", [change_element, change_position, change_cell, change_periodicity, change_order]
)
def test_every_part_of_a_frame_counts(frame, change):
    before = label_id(frame, LEVEL)
    change(frame)
    assert label_id(frame, LEVEL) != before


def test_the_level_of_theory_counts(frame):
    assert label_id(frame, LEVEL) != label_id(frame, "b" * 32)


def test_a_frame_that_is_not_finite_has_no_id(frame):
    frame.positions[0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        label_id(frame, LEVEL)
