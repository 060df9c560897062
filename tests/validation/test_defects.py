"""Point defects, surfaces and phonons: what bonds, symmetry and sound say about them."""

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.data import atomic_masses, atomic_numbers
from ase.units import GPa, fs
from odd_calculators import Explodes, Members, NotANumber, Raises, UpsideDown

from validation.crystal_cells import STRUCTURES
from validation.crystals import crystal
from validation.elastic import elastic_constants
from validation.evaluation import NoPropertyError, relaxed
from validation.phonons import phonon_bands
from validation.point_defects import dumbbell_100, octahedral, vacancy
from validation.surfaces import FACETS, slab, surface


@pytest.fixture(scope="module")
def copper():
    return crystal(EMT(), STRUCTURES[0], ("Cu",))


def pair_potential():
    return LennardJones(sigma=2.3, epsilon=0.4, rc=5.0, smooth=True)


def test_a_vacancy_of_a_pair_potential_costs_almost_the_cohesive_energy():
    """Twelve bonds are cut and six are won back; what is left is the relaxation, of a few percent."""
    row = crystal(pair_potential(), STRUCTURES[0], ("Cu",))
    found = vacancy(pair_potential(), "Cu", row.lattice_ang)
    assert 0.95 * -row.energy_ev < found.formation_ev < -row.energy_ev
    assert found.n_atoms == 107
    assert np.isnan(found.spread_ev)


def test_spreads_are_those_of_the_formation_energy(copper):
    found = vacancy(Members(), "Cu", copper.lattice_ang)
    assert found.spread_ev == pytest.approx(found.formation_ev * Members.factors.std(), rel=1e-6)


def test_interstitials_cost_more_than_a_vacancy_and_the_dumbbell_least(copper):
    a = copper.lattice_ang
    dumbbell, hole = dumbbell_100(EMT(), "Cu", a, 3), octahedral(EMT(), "Cu", a, 3)
    assert vacancy(EMT(), "Cu", a).formation_ev < dumbbell.formation_ev <= hole.formation_ev
    assert dumbbell.n_atoms == 109


@pytest.mark.parametrize(
    ("calculator", "reason"),
    [
        (Raises(), "AttributeError: no such parameter"),
        (NotANumber(), "not finite"),
        (Explodes(), "explodes"),
    ],
)
def test_defects_and_surfaces_say_what_went_wrong(calculator, reason, copper):
    for compute in (
        lambda: vacancy(calculator, "Cu", copper.lattice_ang),
        lambda: surface(calculator, "Cu", copper.lattice_ang, "111"),
    ):
        with pytest.raises(NoPropertyError, match=reason) as caught:
            compute()
        assert "\n" not in str(caught.value)


def test_what_does_not_converge_falls_together_or_leaves_is_refused(copper):
    frame = bulk("Cu", a=copper.lattice_ang, cubic=True).repeat(2)
    frame.rattle(0.05, seed=1)
    with pytest.raises(NoPropertyError, match="not relaxed after 2 steps"):
        relaxed(EMT(), frame, max_force_ev_per_ang=1e-4, max_steps=2)
    pair = Atoms("Cu2", positions=[(0.0, 0.0, 0.0), (2.0, 0.0, 0.0)], cell=[8.0] * 3, pbc=True)
    with pytest.raises(NoPropertyError, match=r"fall into each other: 1\.\d+ Å apart, 2\.00 Å before"):
        relaxed(MorsePotential(epsilon=1.0, r0=1.0, rho0=3.0), pair, max_force_ev_per_ang=1e-3)
    frame.positions[0] += (0.6, 0.0, 0.0)
    with pytest.raises(NoPropertyError, match="something else"):
        relaxed(EMT(), frame, max_force_ev_per_ang=0.05, max_move_ang=0.3)


@pytest.mark.parametrize("facet", FACETS)
def test_slabs_are_thick_enough_and_cut_from_the_crystal(facet, copper):
    frame = slab("Cu", copper.lattice_ang, facet)
    heights = np.sort(frame.positions[:, 2])
    assert np.ptp(heights) >= 20.0
    assert frame.cell[2, 2] - np.ptp(heights) == pytest.approx(16.0)
    spacing = {"100": 2.0, "110": 8.0**0.5, "111": 3.0**0.5}[facet]
    assert np.diff(heights) == pytest.approx(copper.lattice_ang / spacing)
    area = frame.get_volume() / frame.cell[2, 2]
    assert area * copper.lattice_ang / spacing == pytest.approx(copper.volume_ang3, rel=1e-6)


def test_close_packed_surfaces_cost_least(copper):
    found = {facet: surface(EMT(), "Cu", copper.lattice_ang, facet).energy_j_per_m2 for facet in FACETS}
    assert 0 < found["111"] < found["100"] < found["110"]


@pytest.mark.parametrize(("facet", "share", "area"), [("111", 3 / 12, 3**0.5 / 4), ("100", 4 / 12, 0.5)])
def test_a_surface_costs_the_bonds_that_it_cuts(facet, share, area):
    """Of a potential that reaches nearest neighbours alone nothing relaxes, and the sum is exact."""
    potential = LennardJones(sigma=2.3, epsilon=0.4, rc=3.0, smooth=True)
    row = crystal(potential, STRUCTURES[0], ("Cu",))
    found = surface(potential, "Cu", row.lattice_ang, facet)
    per_area = -row.energy_ev * share / (area * row.lattice_ang**2)
    assert found.energy_j_per_m2 == pytest.approx(16.021766 * per_area, rel=1e-3)


def test_phonons_begin_with_the_speed_of_sound(copper):
    """Along [100] ω = q √(C11/ρ) and q √(C44/ρ)."""
    pytest.importorskip("phonopy")
    a = copper.lattice_ang
    bands = phonon_bands(EMT(), "Cu", a)
    c = elastic_constants(EMT(), bulk("Cu", "fcc", a=a), "cubic").gpa
    density = atomic_masses[atomic_numbers["Cu"]] / copper.volume_ang3
    q = bands.distances[3]
    for branch, constant in ((0, c["C44"]), (1, c["C44"]), (2, c["C11"])):
        thz = q * np.sqrt(constant * GPa / density) / (2 * np.pi) * 1000 * fs
        assert bands.frequencies_thz[3, branch] == pytest.approx(thz, rel=0.03)
    assert not bands.unstable
    assert [name for _, name in bands.ticks] == ["Γ", "X", "W", "K", "Γ", "L"]
    assert bands.distances[-1] == pytest.approx(bands.ticks[-1][0])
    assert bands.ticks[1][0] == pytest.approx(2 * np.pi / a)
    assert bands.at["X"][0] == pytest.approx(bands.at["X"][1], abs=1e-3)


def test_phonons_of_an_unstable_crystal_are_imaginary(copper):
    pytest.importorskip("phonopy")
    bands = phonon_bands(UpsideDown(), "Cu", copper.lattice_ang)
    assert bands.unstable
    assert bands.lowest_thz < -1


def test_without_phonopy_the_reason_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(NoPropertyError, match="phonopy is not installed"):
        phonon_bands(EMT(), "Cu", 3.6)
