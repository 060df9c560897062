"""Crystals: known cells, known potentials, and potentials that misbehave."""

import math

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.units import GPa

from qm.config import EamConfig
from qm.eam import EamLabeller
from validation.crystal_cells import ALLOYS, IDEAL_HCP, STRUCTURES, typical_volume_ang3
from validation.crystals import alloy_table, cold_curve, crystal, crystal_table, lowest
from validation.subject import Subject
from validation.suite import COLD_CURVES, PROPERTIES, examine
from workflow.reporting.label_calculator import LabelCalculator

NEAREST = {
    "FCC": (12, 2**-0.5),
    "HCP": (12, 1.0),
    "BCC": (8, 0.75**0.5),
    "SC": (6, 1.0),
    "diamond": (4, 3**0.5 / 4),
}


class Function(Calculator):
    """Energy per atom as a function of the volume per atom."""

    implemented_properties = ("energy",)

    def __init__(self, function, std=None):
        super().__init__()
        self.function = function
        self.std = std

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = len(atoms) * self.function(atoms.get_volume() / len(atoms))
        if self.std is not None:
            members = self.results["energy"] + len(atoms) * self.std * np.array([-1.0, 1.0])
            self.results["member_energies"] = members


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_cells_have_the_right_neighbours_and_volume(structure):
    frame = structure.cell(("Al",), 16.6)
    assert frame.get_volume() / len(frame) == pytest.approx(16.6)
    n, in_units_of_a = NEAREST[structure.name]
    distances = np.sort(frame.repeat(5).get_all_distances(mic=True)[0])[1:]
    nearest = in_units_of_a * structure.lattice_ang(16.6)
    assert distances[:n] == pytest.approx(nearest)
    assert distances[n] > nearest * 1.05


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_cells_are_those_of_ase(structure):
    a = structure.lattice_ang(20.0)
    ratio = {"covera": IDEAL_HCP} if structure.name == "HCP" else {}
    other = bulk("Cu", structure.name.lower(), a=a, **ratio)
    other.calc, mine = EMT(), structure.cell(("Cu",), 20.0)
    mine.calc = EMT()
    assert len(mine) == len(other)
    assert mine.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-9)


def test_compounds_have_their_composition():
    formulas = [s.formula(("Cu", "Al")) for s in ALLOYS]
    assert formulas == ["CuAl", "CuAl", "Cu3Al", "Al3Cu"]
    for structure, formula in zip(ALLOYS, formulas, strict=True):
        frame = structure.cell(("Cu", "Al"), 14.0)
        assert structure.formula(("Cu", "Al")) == formula
        assert frame.symbols.count("Cu") / len(frame) == {"CuAl": 0.5, "Cu3Al": 0.75, "Al3Cu": 0.25}[formula]
        distances = frame.repeat(4).get_all_distances(mic=True)
        unlike = np.not_equal.outer(frame.repeat(4).numbers, frame.repeat(4).numbers)
        nearest = distances[distances > 0.1].min()
        assert distances[unlike].min() == pytest.approx(nearest)


def test_typical_volumes_are_near_the_measured_ones():
    assert typical_volume_ang3("Al") == pytest.approx(16.6, rel=0.01)
    assert typical_volume_ang3("W") == pytest.approx(15.8, rel=0.05)
    assert typical_volume_ang3("Mg") == pytest.approx(23.2, rel=0.02)
    assert all(4 < typical_volume_ang3(element) < 60 for element in ("Ga", "Sn", "Si", "U", "Bi"))


def test_emt_aluminium_has_its_known_lattice_and_bulk_modulus():
    rows = {row.structure: row for row in crystal_table(EMT(), "Al")}
    assert rows["FCC"].lattice_ang == pytest.approx(3.994, abs=2e-3)
    assert rows["FCC"].bulk_modulus_gpa == pytest.approx(39.7, abs=0.5)
    fcc = rows["FCC"].above_lowest_mev
    assert rows["BCC"].above_lowest_mev - fcc == pytest.approx(6.8, abs=0.2)
    assert rows["HCP"].above_lowest_mev == 0.0
    assert not any(row.remark for row in rows.values())


def test_lennard_jones_hcp_is_ideal_and_a_little_above_fcc():
    source = LennardJones(sigma=3.4, epsilon=0.0104, rc=10)
    fcc, hcp = (crystal(source, structure, ("Ar",)) for structure in STRUCTURES[:2])
    assert hcp.c_over_a == pytest.approx(IDEAL_HCP, rel=2e-3)
    assert hcp.energy_ev == pytest.approx(fcc.energy_ev, rel=1e-3)


def test_pair_forces_keep_the_cauchy_relation_and_the_bulk_modulus():
    row = crystal(LennardJones(sigma=3.4, epsilon=0.0104, rc=12, smooth=True), STRUCTURES[0], ("Ar",))
    assert row.c12_gpa > 1.0
    assert row.c44_gpa == pytest.approx(row.c12_gpa, rel=5e-3)
    assert (row.c11_gpa + 2 * row.c12_gpa) / 3 == pytest.approx(row.bulk_modulus_gpa, rel=5e-3)


def test_a_label_source_with_stress_has_elastic_constants():
    source = LabelCalculator(EamLabeller(EamConfig(parameters="2001")))
    row = crystal(source, STRUCTURES[0], ("Al",))
    assert row.c11_gpa == pytest.approx(127.2, abs=0.2)
    assert row.c12_gpa == pytest.approx(81.4, abs=0.2)
    assert row.c44_gpa == pytest.approx(36.4, abs=0.2)


def test_elastic_constants_are_left_out_where_strain_would_move_atoms_or_there_is_no_stress():
    rows = {row.structure: row for row in crystal_table(EMT(), "Al")}
    assert {name for name, row in rows.items() if math.isfinite(row.c44_gpa)} == {"FCC", "BCC", "SC"}
    without_stress = crystal(Function(lambda v: (v - 17) ** 2), STRUCTURES[0], ("Al",))
    assert without_stress.found
    assert math.isnan(without_stress.c11_gpa)


def test_a_birch_murnaghan_solid_gives_back_its_parameters():
    v0, b0, e0 = 17.3, 80 * GPa, -3.4

    def birch_murnaghan(v):  # with B' = 4 the third-order term vanishes
        return e0 + 9 / 8 * v0 * b0 * ((v0 / v) ** (2 / 3) - 1) ** 2

    row = crystal(Function(birch_murnaghan, std=0.002), STRUCTURES[0], ("Al",))
    assert row.volume_ang3 == pytest.approx(v0, rel=1e-4)
    assert row.bulk_modulus_gpa == pytest.approx(80, rel=1e-3)
    assert row.energy_ev == pytest.approx(e0, abs=1e-6)
    assert row.energy.spread_ev == pytest.approx(0.002)


def raise_value_error(volume):
    raise ValueError("no such cell")


@pytest.mark.parametrize(
    ("function", "remark"),
    [
        (lambda v: -1.0 / v, "falls when compressed"),
        (lambda v: 1.0 / v, "falls when expanded"),
        (lambda v: math.nan, "no finite energies"),
        (raise_value_error, "no finite energies"),
        (lambda v: math.inf if v > 12 else 1.0, "no"),
    ],
)
def test_a_potential_without_equilibrium_says_so(function, remark):
    rows = crystal_table(Function(function), "Al")
    assert len(rows) == 5
    for row in rows:
        assert remark in row.remark
        assert not row.found
        assert math.isnan(row.above_lowest_mev)


def test_a_hole_beside_the_minimum_is_remarked():
    def hole(v):
        return (v - 17) ** 2 / 100 - 5 * math.exp(-((v - 10.5) ** 2))

    row = crystal(Function(hole), STRUCTURES[0], ("Al",))
    assert "compressed" in row.remark or row.volume_ang3 == pytest.approx(10.5, abs=0.3)


def test_one_bad_crystal_does_not_spoil_the_others():
    rows = crystal_table(Function(lambda v: (v - 17) ** 2 if v < 22 else math.nan), "Al")
    found = {row.structure for row in rows if row.found}
    assert {"FCC", "HCP", "BCC"} <= found
    assert min(row.above_lowest_mev for row in rows if row.found) == 0.0


def test_cold_curves_have_the_ensemble_spread():
    volumes = np.linspace(14, 20, 4)
    curve = cold_curve(Function(lambda v: v, std=0.01), STRUCTURES[2], ("Al",), volumes)
    assert curve.energies_ev == pytest.approx(volumes)
    assert curve.spreads_ev == pytest.approx(0.01)
    assert np.isnan(cold_curve(EMT(), STRUCTURES[2], ("Al",), volumes).spreads_ev).all()


def test_emt_orders_copper_and_gold():
    pure = [lowest(crystal_table(EMT(), element)) for element in ("Cu", "Au")]
    rows = alloy_table(EMT(), ("Cu", "Au"), pure)
    assert [row.formula for row in rows] == ["CuAu", "CuAu", "Cu3Au", "Au3Cu"]
    ordered = {(row.structure, row.formula): row for row in rows}
    assert ordered["L1_2", "Cu3Au"].above_lowest_mev < 0
    assert ordered["L1_0", "CuAu"].c_over_a < 1.0
    assert ordered["L1_0", "CuAu"].energy_ev < ordered["B2", "CuAu"].energy_ev


@pytest.mark.parametrize("ripple_ev", [0.0, 1e-4])
def test_a_rough_curve_is_told_beside_its_bulk_modulus(ripple_ev):
    """Ripples of 0.1 meV, 2.4 % of volume long, nearly double the curvature at the minimum."""
    stiffness = 80.0 * GPa / 16.6

    def energy(volume):
        away = volume - 16.6
        return 0.5 * stiffness * away**2 - ripple_ev * math.cos(2 * math.pi * away / 0.4)

    prop = next(p for p in PROPERTIES if p.name == COLD_CURVES)
    found = {q.name: q for q in examine(prop, Subject(Function(energy), "Al")).quantities}
    modulus = found["FCC: bulk modulus"]
    if ripple_ev:
        assert modulus.value > 110.0
        assert "rough: " in modulus.remark
        assert "GPa over ±12 % of volume" in modulus.remark
    else:
        assert modulus.value == pytest.approx(80.0, rel=0.01)
        assert modulus.remark == ""
