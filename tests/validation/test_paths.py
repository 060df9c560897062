"""Bain path and stacking faults: the right crystals on the way, and energies that other routes give too."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from odd_calculators import Members

from validation.bain_path import bain_path
from validation.crystal_cells import STRUCTURES
from validation.crystals import crystal
from validation.stacking_faults import MJ_PER_M2, faulted, slip_path, twinning_path

A = 3.59


def test_bain_path_passes_bcc_and_fcc():
    path = bain_path(EMT(), "Cu", A**3 / 4)
    energies = []
    for structure, a in (("fcc", A), ("bcc", A / 2 ** (1 / 3))):
        frame = bulk("Cu", structure, a=a)
        frame.calc = EMT()
        energies.append(frame.get_potential_energy())
    assert path.bcc_mev == pytest.approx(1000 * (energies[1] - energies[0]), abs=1e-6)
    assert path.energies_mev.min() == 0.0
    assert path.lowest_c_over_a == pytest.approx(2**0.5)
    assert np.isnan(path.spreads_mev).all()


def test_spreads_are_those_of_the_difference():
    path = bain_path(Members(), "Cu", A**3 / 4)
    assert path.spreads_mev == pytest.approx(abs(path.energies_mev) * Members.factors.std(), abs=1e-9)


def layers_like_hcp(frame):
    """Return the layers whose two neighbouring layers lie above each other, as they do in HCP."""
    positions, c = frame.positions, frame.cell.array[2]
    images = np.vstack([positions[-1] - c, positions, positions[0] + c])
    in_plane = np.linalg.solve(frame.cell.array[:2, :2].T, (images[2:] - images[:-2])[:, :2].T).T
    return [i for i, move in enumerate(in_plane) if np.allclose(move, move.round(), atol=1e-6)]


@pytest.mark.parametrize(
    ("slips", "expected"),
    [
        ((), []),
        ((1.0,), [0, 11]),  # two layers side by side: intrinsic
        ((1.0, 1.0), [1, 11]),  # one layer between: extrinsic
        ((1.0, 1.0, 1.0), [2, 11]),  # twin boundaries with two layers between
    ],
)
def test_slips_make_the_faults_that_they_are_named_for(slips, expected):
    frame = faulted("Cu", A, slips)
    assert layers_like_hcp(frame) == expected
    neighbours = np.bincount(neighbor_list("i", frame, 0.85 * A), minlength=len(frame))
    assert (neighbours == 12).all()
    assert frame.get_volume() / len(frame) == pytest.approx(A**3 / 4)


def test_half_way_layers_come_closer():
    def shortest(slip):
        return neighbor_list("d", faulted("Cu", A, (slip,)), A).min()

    assert shortest(0.5) < 0.97 * shortest(1.0)
    assert shortest(-1.0) < 0.9 * shortest(0.5)  # the other way one layer would lie on top of another


@pytest.fixture(scope="module")
def equilibrium():
    return crystal(EMT(), STRUCTURES[0], ("Cu",)).lattice_ang


@pytest.fixture(scope="module")
def slip(equilibrium):
    return slip_path(EMT(), "Cu", equilibrium, n_points=3)


def test_intrinsic_fault_follows_from_hcp(slip, equilibrium):
    """Two layers of HCP: 2 (E_HCP - E_FCC) per area for a potential of short range."""
    path = slip
    rows = [crystal(EMT(), structure, ("Cu",)) for structure in STRUCTURES[:2]]
    expected = 2 * (rows[1].energy_ev - rows[0].energy_ev) / path.area_per_atom_ang2 / MJ_PER_M2
    intrinsic, spread = path.at(1.0)
    assert intrinsic == pytest.approx(expected, abs=1.0)
    assert np.isnan(spread)
    assert path.energies_mj_per_m2[0] == pytest.approx(0.0, abs=0.05)
    top, _ = path.highest(0.0, 1.0)
    assert top >= path.energies_mj_per_m2.max() > 2 * intrinsic
    assert path.area_per_atom_ang2 == pytest.approx(3**0.5 / 4 * equilibrium**2)


def test_relaxation_along_the_normal_lowers_the_barrier(slip, equilibrium):
    energies = []
    for displacement in (0.0, 0.5):
        frame = faulted("Cu", equilibrium, (displacement,))
        frame.calc = EMT()
        energies.append(frame.get_potential_energy())
    rigid = (energies[1] - energies[0]) / slip.area_per_atom_ang2 / MJ_PER_M2
    assert 0.5 * rigid < slip.at(0.5)[0] < 0.98 * rigid


def test_twinning_begins_at_the_intrinsic_fault_and_ends_with_two_boundaries(slip, equilibrium):
    twin = twinning_path(EMT(), "Cu", equilibrium, n_points=3)
    assert twin.displacements == pytest.approx([1, 1.5, 2, 2.5, 3])
    assert twin.at(1.0)[0] == pytest.approx(slip.at(1.0)[0], abs=0.5)
    assert twin.at(3.0)[0] == pytest.approx(slip.at(1.0)[0], abs=3.0)
    assert twin.highest(1.0, 2.0)[0] > twin.at(2.0)[0]


def test_energies_per_atom_and_per_area_are_the_same(slip):
    ev_per_ang2 = 100.0 / 16021.766  # 100 mJ/m²
    assert slip.mev_per_atom(100.0) == pytest.approx(1000 * ev_per_ang2 * slip.area_per_atom_ang2, rel=1e-6)
