"""Crystals of the published ANI-Al: what its authors found, and what was measured with other programs."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from scipy.optimize import brentq

from potentials.calculator import EnsembleCalculator
from potentials.ensemble import AniEnsemble
from validation.crystals import Crystal, crystal_table
from validation.elastic import cubic_constants


@pytest.fixture(scope="module")
def calculator(ani_al: AniEnsemble) -> EnsembleCalculator:
    return EnsembleCalculator(ani_al, forces_std=False)


@pytest.fixture(scope="module")
def crystals(calculator: EnsembleCalculator) -> dict[str, Crystal]:
    """Return the crystals relaxed in volume and c/a."""
    return {row.structure: row for row in crystal_table(calculator, "Al")}


def lattice_constant(calculator: EnsembleCalculator) -> float:
    """Return where FCC has no pressure, Å."""

    def tension(a_ang: float) -> float:
        frame = bulk("Al", a=a_ang)
        frame.calc = calculator
        return float(frame.get_stress()[:3].mean())

    return float(brentq(tension, 4.04, 4.07, xtol=1e-9))


def test_fcc_has_its_lattice_and_elastic_constants(calculator: EnsembleCalculator) -> None:
    a_ang = lattice_constant(calculator)
    assert a_ang == pytest.approx(4.0543, abs=5e-5)
    for strain in (1e-4, 1e-5):
        found = cubic_constants(calculator, bulk("Al", a=a_ang), strain)
        assert found.c11_gpa == pytest.approx(117.32, abs=0.02)
        assert found.c12_gpa == pytest.approx(57.10, abs=0.02)
        assert found.c44_gpa == pytest.approx(30.39, abs=0.02)
        assert (found.c11_gpa + 2 * found.c12_gpa) / 3 == pytest.approx(77.17, abs=0.02)


def test_elastic_constants_are_curvatures_of_the_energy(
    ani_al: AniEnsemble, calculator: EnsembleCalculator
) -> None:
    """The energy alone, in a cell of another shape: the paths by stress and by energy share no derivative."""
    crystal = bulk("Al", a=lattice_constant(calculator), cubic=True)
    step = 1e-3

    def curvature(strain: np.ndarray) -> float:
        energies = []
        for sign in (-1, 0, 1):
            strained = crystal.copy()
            strained.set_cell(crystal.cell.array @ (np.eye(3) + sign * step * strain), scale_atoms=True)
            strained.calc = calculator
            energies.append(strained.get_potential_energy())
        return float(np.diff(energies, 2)[0]) / step**2 / crystal.get_volume() / GPa

    found = cubic_constants(calculator, crystal)
    assert curvature(np.diag([1, 0, 0])) == pytest.approx(found.c11_gpa, abs=0.1)
    assert curvature(np.diag([1, -1, 0])) == pytest.approx(2 * (found.c11_gpa - found.c12_gpa), abs=0.2)
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert curvature(shear) == pytest.approx(found.c44_gpa, abs=0.1)


def test_crystals_stand_in_the_published_order_and_height(crystals: dict[str, Crystal]) -> None:
    above_fcc = {name: row.energy_ev - crystals["FCC"].energy_ev for name, row in crystals.items()}
    assert sorted(above_fcc, key=lambda name: above_fcc[name]) == ["FCC", "HCP", "BCC", "SC", "diamond"]
    assert 1e3 * above_fcc["HCP"] == pytest.approx(31.14, abs=0.02)
    assert 1e3 * above_fcc["BCC"] == pytest.approx(100.6, abs=0.1)
    assert 1e3 * above_fcc["SC"] == pytest.approx(386.0, abs=0.1)
    assert 1e3 * above_fcc["diamond"] == pytest.approx(678.8, abs=0.1)


def test_crystals_have_the_published_lattices(crystals: dict[str, Crystal]) -> None:
    assert crystals["HCP"].c_over_a == pytest.approx(1.680, abs=1e-3)
    assert crystals["BCC"].lattice_ang == pytest.approx(3.2388, abs=2e-4)
    assert crystals["SC"].lattice_ang == pytest.approx(2.7073, abs=2e-4)
    assert crystals["diamond"].lattice_ang == pytest.approx(6.1005, abs=2e-4)


def test_members_spread_as_measured(crystals: dict[str, Crystal]) -> None:
    spread = {name: row.spread_mev for name, row in crystals.items()}
    expected = {"FCC": 0.0, "HCP": 1.1, "BCC": 3.9, "SC": 8.9, "diamond": 36.3}
    assert spread == pytest.approx(expected, abs=0.06)
