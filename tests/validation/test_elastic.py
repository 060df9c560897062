"""Elastic constants by stress and strain, against curvatures of the energy, which share no derivative."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import UnitCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from odd_calculators import NotANumber

from validation.crystal_cells import STRUCTURES
from validation.crystals import crystal
from validation.elastic import cubic_constants, elastic_constants
from validation.evaluation import NoPropertyError, relaxed


@pytest.fixture(scope="module")
def hcp():
    """Return hexagonal copper without pressure."""
    row = crystal(EMT(), STRUCTURES[1], ("Cu",))
    frame = STRUCTURES[1].cell(("Cu",), row.volume_ang3, row.c_over_a)
    return relaxed(EMT(), frame, max_force_ev_per_ang=1e-6, cell_mask=[True] * 6)


def curvature(frame, strain, step=2e-3):
    """Return d²E/dε² per volume along a strain, atoms relaxed, GPa."""
    energies = []
    for sign in (-1, 0, 1):
        strained = frame.copy()
        strained.set_cell(frame.cell.array @ (np.eye(3) + sign * step * strain), scale_atoms=True)
        strained.calc = EMT()
        BFGS(strained, logfile=None).run(fmax=1e-5)
        energies.append(strained.get_potential_energy())
    return float(np.diff(energies, 2)[0]) / step**2 / frame.get_volume() / GPa


def test_five_constants_of_a_hexagonal_crystal_are_curvatures_of_its_energy(hcp):
    found = elastic_constants(EMT(), hcp, "hexagonal")
    assert set(found.gpa) == {"C11", "C12", "C13", "C33", "C44"}
    c = found.gpa
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert curvature(hcp, np.diag([1, 0, 0])) == pytest.approx(c["C11"], rel=0.01)
    assert curvature(hcp, np.diag([0, 0, 1])) == pytest.approx(c["C33"], rel=0.01)
    assert curvature(hcp, np.diag([1, -1, 0])) == pytest.approx(2 * (c["C11"] - c["C12"]), rel=0.01)
    assert curvature(hcp, np.diag([1, 0, 1])) == pytest.approx(c["C11"] + c["C33"] + 2 * c["C13"], rel=0.01)
    assert curvature(hcp, shear) == pytest.approx(c["C44"], rel=0.01)
    assert found.unstable == ""


def test_atoms_of_a_strained_hexagonal_crystal_move_against_each_other(hcp):
    """Without that C11 - C12 would be too large: the relaxation is not idle."""
    rigid = []
    for sign in (-1, 0, 1):
        strained = hcp.copy()
        strained.set_cell(hcp.cell.array @ (np.eye(3) + 2e-3 * sign * np.diag([1, -1, 0])), scale_atoms=True)
        strained.calc = EMT()
        rigid.append(strained.get_potential_energy())
    stiff = float(np.diff(rigid, 2)[0]) / 2e-3**2 / hcp.get_volume() / GPa
    c = elastic_constants(EMT(), hcp, "hexagonal").gpa
    assert stiff > 1.02 * 2 * (c["C11"] - c["C12"])


def test_bulk_moduli_agree_with_the_equation_of_state(hcp):
    fcc = crystal(EMT(), STRUCTURES[0], ("Cu",))
    found = elastic_constants(EMT(), bulk("Cu", "fcc", a=fcc.lattice_ang), "cubic")
    assert found.bulk_modulus_gpa == pytest.approx(fcc.bulk_modulus_gpa, rel=0.01)
    c = elastic_constants(EMT(), hcp, "hexagonal")
    pressure = 1e-4
    compressed = hcp.copy()
    compressed.calc = EMT()
    BFGS(UnitCellFilter(compressed, scalar_pressure=pressure), logfile=None).run(fmax=1e-6)
    swelling = np.log(compressed.get_volume() / hcp.get_volume())
    assert -pressure / swelling / GPa == pytest.approx(c.bulk_modulus_gpa, rel=0.01)


def test_a_cell_under_pressure_is_relaxed_first():
    fcc = crystal(EMT(), STRUCTURES[0], ("Cu",))
    at_rest = elastic_constants(EMT(), bulk("Cu", "fcc", a=fcc.lattice_ang), "cubic")
    squeezed = elastic_constants(EMT(), bulk("Cu", "fcc", a=0.995 * fcc.lattice_ang), "cubic")
    assert squeezed.gpa == pytest.approx(at_rest.gpa, rel=1e-3)
    assert cubic_constants(EMT(), bulk("Cu", "fcc", a=0.995 * fcc.lattice_ang)).c11_gpa != pytest.approx(
        at_rest.gpa["C11"], rel=1e-2
    )


def test_the_error_of_the_fit_grows_where_stress_is_not_straight():
    frame = bulk("Cu", "fcc", a=crystal(EMT(), STRUCTURES[0], ("Cu",)).lattice_ang)
    near, far = (elastic_constants(EMT(), frame, "cubic", strain) for strain in (1e-4, 2e-2))
    assert near.strain == 1e-4
    assert 0.0 < near.errors_gpa["C11"] < 0.1
    assert far.errors_gpa["C11"] > 10 * near.errors_gpa["C11"]


def test_an_unstable_crystal_says_which_condition_it_breaks():
    row = crystal(EMT(), STRUCTURES[3], ("Cu",))
    found = elastic_constants(EMT(), STRUCTURES[3].cell(("Cu",), row.volume_ang3), "cubic")
    assert found.unstable
    assert min(found.gpa["C11"] - found.gpa["C12"], found.gpa["C44"]) < 0


class EnergyOnly(Calculator):
    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = (atoms.get_volume() - 12.0) ** 2


@pytest.mark.parametrize("calculator", [EnergyOnly(), NotANumber()])
def test_without_a_stress_there_are_no_constants(calculator):
    with pytest.raises(NoPropertyError, match="no stress"):
        elastic_constants(calculator, bulk("Cu"), "cubic")
