"""Open and complex crystals have the symmetry and the neighbours that they are known for."""

import numpy as np
import pytest

from validation.crystal_cells import FURTHER_STRUCTURES, STRUCTURES, TETRAGONAL

ALL = {structure.name: structure for structure in (*STRUCTURES, *FURTHER_STRUCTURES)}
SPACE_GROUPS = {
    "FCC": 225,
    "HCP": 194,
    "BCC": 229,
    "SC": 221,
    "diamond": 227,
    "beta-Sn": 141,
    "A15": 223,
    "omega": 191,
}


@pytest.mark.parametrize("name", SPACE_GROUPS)
def test_crystals_have_their_space_group(name):
    spglib = pytest.importorskip("spglib")
    frame = ALL[name].cell(("Al",), 17.0)
    cell = (frame.cell.array, frame.get_scaled_positions(), frame.numbers)
    assert spglib.get_symmetry_dataset(cell).number == SPACE_GROUPS[name]
    assert len(spglib.find_primitive(cell)[2]) == len(frame)


def distances_from_first(frame):
    return np.sort(frame.repeat(5).get_all_distances(mic=True)[0])[1:]


@pytest.mark.parametrize("structure", FURTHER_STRUCTURES, ids=lambda s: s.name)
def test_further_crystals_have_the_volume_that_is_asked_for(structure):
    frame = structure.cell(("Al",), 18.0)
    assert frame.get_volume() / len(frame) == pytest.approx(18.0)


def test_white_tin_has_four_neighbours_and_two_more_a_little_farther():
    distances = np.sort(ALL["beta-Sn"].cell(("Sn",), 27.0, 0.546).repeat(5).get_all_distances(mic=True)[0])[
        1:
    ]
    assert distances[:4] == pytest.approx(distances[0])
    assert distances[4:6] == pytest.approx(distances[4])
    assert 1.02 < distances[4] / distances[0] < 1.08
    assert distances[6] > 1.2 * distances[0]


def test_the_tetragonal_cell_joins_bcc_and_fcc():
    for ratio, n_neighbours in ((1.0, 8), (2.0**0.5, 12)):
        distances = np.sort(TETRAGONAL.cell(("Al",), 17.0, ratio).repeat(5).get_all_distances(mic=True)[0])[
            1:
        ]
        assert distances[:n_neighbours] == pytest.approx(distances[0])
        assert distances[n_neighbours] > 1.1 * distances[0]
