"""Common-neighbour analysis: crystals, cold and warm, and what is none."""

import sys

import numpy as np
import pytest
from ase.build import bulk

from qm.eam import ZhouEam
from validation.evaluation import NoPropertyError
from validation.phases import phases, quenched

CRYSTALS = {
    "fcc": bulk("Al", cubic=True).repeat(4),
    "hcp": bulk("Mg", orthorhombic=True).repeat((5, 3, 3)),
    "bcc": bulk("Fe", cubic=True).repeat(5),
}


@pytest.mark.parametrize("displacement_ang", [0.0, 0.1])
@pytest.mark.parametrize("name", CRYSTALS)
def test_crystals_are_told_apart_cold_and_warm(name, displacement_ang):
    frame = CRYSTALS[name].copy()
    frame.rattle(displacement_ang, seed=1)
    found = phases(frame)
    assert getattr(found, name) > 0.98
    assert found.crystal == pytest.approx(getattr(found, name), abs=0.01)
    assert found.other < 0.02


def test_disorder_is_no_crystal_and_small_cells_are_seen_whole():
    frame = CRYSTALS["fcc"].copy()
    frame.set_scaled_positions(np.random.default_rng(0).random((len(frame), 3)))
    assert phases(frame).crystal < 0.02
    assert phases(bulk("Al")).fcc == 1.0
    atoms_outside = bulk("Al", cubic=True)
    atoms_outside.positions += 100.0
    assert phases(atoms_outside).fcc == 1.0


def test_a_quench_shows_the_crystal_that_thermal_motion_hides():
    frame = bulk("Al", cubic=True, a=4.1).repeat(3)
    frame.rattle(0.22, seed=0)
    before = frame.positions.copy()
    assert phases(frame).fcc < 0.6
    assert phases(quenched(frame, ZhouEam())).fcc > 0.95
    assert (frame.positions == before).all()


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyscal3", None)
    with pytest.raises(NoPropertyError, match=r"pip install 'smelter\[validation\]'"):
        phases(CRYSTALS["fcc"])
