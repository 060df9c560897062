import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from sampling.config import GateConfig
from sampling.gates import density_g_per_cm3, reject_reason


def has_its_shortest_distance_at(distance_ang, frame):
    below, above = (
        reject_reason(frame, GateConfig(min_distance_ang=distance_ang + step)) for step in (-1e-6, 1e-6)
    )
    return (below, above) == (None, "too_close")


def test_contacts_through_the_periodic_boundary_count():
    frame = Atoms("Al2", positions=[[0.1, 5, 5], [9.9, 5, 5]], cell=[10, 10, 10], pbc=True)
    assert has_its_shortest_distance_at(0.2, frame)
    frame.pbc = [False, True, True]
    assert has_its_shortest_distance_at(9.8, frame)


def test_an_atom_and_its_own_image_count():
    assert has_its_shortest_distance_at(4.05 / math.sqrt(2), bulk("Al", a=4.05))
    assert has_its_shortest_distance_at(3.0, Atoms("Al", cell=[3, 20, 20], pbc=True))


def test_sheared_and_left_handed_cells_are_measured_right():
    frame = bulk("Al", a=4.05) * (2, 2, 2)
    frame.set_cell(np.array([[1, 0, 0], [3, 1, 0], [0, 0, 1]]) @ frame.cell.array)  # of the same lattice
    swapped = Atoms(frame.numbers, frame.positions, cell=frame.cell.array[[1, 0, 2]], pbc=True)
    for same in (frame, swapped):
        assert has_its_shortest_distance_at(4.05 / math.sqrt(2), same)


def test_atoms_on_top_of_each_other_and_atoms_alone():
    coincident = Atoms("Al2", positions=np.zeros((2, 3)), cell=[9, 9, 9], pbc=True)
    assert reject_reason(coincident, GateConfig(min_distance_ang=1e-9)) == "too_close"
    assert reject_reason(Atoms("Al"), GateConfig(min_distance_ang=50.0)) is None


def test_each_reason_to_reject():
    crystal = bulk("Al", a=4.05, cubic=True)
    assert reject_reason(crystal, GateConfig()) is None
    assert reject_reason(crystal, GateConfig(min_atoms=5)) == "too_few_atoms"
    assert reject_reason(crystal, GateConfig(max_atoms=3)) == "too_many_atoms"
    assert reject_reason(crystal, GateConfig(min_distance_ang=2.9)) == "too_close"
    assert reject_reason(crystal, GateConfig(max_density_g_per_cm3=2.6)) == "too_dense"
    assert reject_reason(crystal, GateConfig(max_density_g_per_cm3=2.8)) is None
    crystal.positions[0, 0] = np.nan
    assert reject_reason(crystal, GateConfig()) == "not_finite"


def test_the_distance_may_depend_on_the_elements():
    frame = Atoms("AlCuAl", positions=[[0, 0, 0], [2, 0, 0], [5, 0, 0]], cell=[20, 20, 20], pbc=True)
    assert reject_reason(frame, GateConfig(min_distance_ang={"Al-Cu": 1.9, "default": 2.5})) is None
    assert reject_reason(frame, GateConfig(min_distance_ang={"Al-Cu": 2.1, "default": 1.0})) == "too_close"


def test_the_density_of_aluminium():
    assert density_g_per_cm3(bulk("Al", a=4.05)) == pytest.approx(2.698, abs=0.002)
