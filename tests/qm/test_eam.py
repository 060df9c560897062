from dataclasses import astuple

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from scipy.optimize import brentq, minimize

from qm.eam import ZhouEam
from qm.eam_functions import OUTER_START, SWITCH_END, SWITCH_START, evaluate
from qm.eam_functions import _embedding as embedding
from qm.eam_parameters import PARAMETER_SETS, ZHOU_2001, ZHOU_2004

GPA = 160.2176634

# Fitted properties (Zhou et al.): structure, lattice constant in Å, cohesive energy in eV/atom.
CUBIC = {
    "Cu": ("fcc", 3.615, 3.54),
    "Ag": ("fcc", 4.09, 2.85),
    "Au": ("fcc", 4.08, 3.93),
    "Ni": ("fcc", 3.52, 4.45),
    "Pd": ("fcc", 3.89, 3.91),
    "Pt": ("fcc", 3.92, 5.77),
    "Al": ("fcc", 4.05, 3.58),
    "Pb": ("fcc", 4.95, 2.02),
    "Fe": ("bcc", 2.866, 4.29),
    "Mo": ("bcc", 3.15, 6.81),
    "Ta": ("bcc", 3.303, 8.09),
    "W": ("bcc", 3.165, 8.76),
}
HCP = {"Mg": (3.196, 1.55), "Co": (2.507, 4.41), "Ti": (2.934, 4.87), "Zr": (3.20, 6.36)}
NEAREST_TO_LATTICE = {"fcc": np.sqrt(2), "bcc": 2 / np.sqrt(3)}


def per_atom(metals, symbol, structure, **lattice):
    frame = bulk(symbol, structure, **lattice)
    return evaluate(frame, metals).energy_ev / len(frame)


def pressure(metals, symbol, structure, a):
    return np.trace(evaluate(bulk(symbol, structure, a=a), metals).virial_ev)


def lattice_constant(metals, symbol, structure):
    guess = NEAREST_TO_LATTICE[structure] * metals[symbol].re
    return brentq(lambda a: pressure(metals, symbol, structure, a), 0.95 * guess, 1.05 * guess, xtol=1e-8)


def relaxed_hcp(metals, symbol):
    def energy(x):
        return per_atom(metals, symbol, "hcp", a=x[0], covera=x[1])

    start = [metals[symbol].re, 1.633]
    found = minimize(energy, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    return found.fun, found.x


@pytest.mark.parametrize("year", PARAMETER_SETS)
@pytest.mark.parametrize("symbol", CUBIC)
def test_cubic_metals_have_the_fitted_lattice_constant_and_cohesive_energy(symbol, year):
    metals, (structure, a0, cohesive) = PARAMETER_SETS[year], CUBIC[symbol]
    found = lattice_constant(metals, symbol, structure)
    fitted = NEAREST_TO_LATTICE[structure] * metals[symbol].re
    assert found == pytest.approx(fitted, abs=5e-4)
    if (symbol, year) != ("Al", "2001"):
        assert found == pytest.approx(a0, abs=1.5e-3)
    assert per_atom(metals, symbol, structure, a=found) == pytest.approx(-cohesive, abs=5e-4)


@pytest.mark.parametrize("symbol", HCP)
def test_hexagonal_metals_are_lowest_as_hcp_near_the_fitted_values(symbol):
    a0, cohesive = HCP[symbol]
    energy, (a, _) = relaxed_hcp(ZHOU_2004, symbol)
    assert a == pytest.approx(a0, abs=0.01)
    assert energy == pytest.approx(-cohesive, abs=1e-3)
    fcc = np.sqrt(2) * a0
    assert energy < min(per_atom(ZHOU_2004, symbol, "fcc", a=fcc * s) for s in np.linspace(0.98, 1.02, 41))


@pytest.mark.parametrize(
    ("year", "a0", "bulk_modulus", "c11", "c12", "c44", "hcp", "bcc"),
    [
        ("2001", 4.0817, 96.6, 127.2, 81.4, 36.4, 8.95, 57.0),
        ("2004", 4.0502, 75.9, 106.9, 60.5, 28.3, 1.15, 33.7),
    ],
)
def test_aluminium(year, a0, bulk_modulus, c11, c12, c44, hcp, bcc):
    """2001: the figures measured with an independent implementation; 2004: ours, to notice a change."""
    metals = PARAMETER_SETS[year]
    found = lattice_constant(metals, "Al", "fcc")
    assert found == pytest.approx(a0, abs=1e-4)
    crystal = bulk("Al", "fcc", a=found, cubic=True)

    def stress(row, column, step):
        strain = np.zeros((3, 3))
        strain[row, column] = strain[column, row] = step
        other = crystal.copy()
        other.set_cell(crystal.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return evaluate(other, metals).virial_ev / other.get_volume() * GPA

    stretch = (stress(0, 0, 1e-4) - stress(0, 0, -1e-4)) / 2e-4
    shear = (stress(1, 2, 1e-4) - stress(1, 2, -1e-4)) / 4e-4
    assert stretch[0, 0] == pytest.approx(c11, abs=0.1)
    assert stretch[1, 1] == pytest.approx(c12, abs=0.1)
    assert shear[1, 2] == pytest.approx(c44, abs=0.1)
    assert (stretch[0, 0] + 2 * stretch[1, 1]) / 3 == pytest.approx(bulk_modulus, abs=0.1)

    fcc = per_atom(metals, "Al", "fcc", a=found)
    assert 1e3 * (relaxed_hcp(metals, "Al")[0] - fcc) == pytest.approx(hcp, abs=0.1)
    a_bcc = lattice_constant(metals, "Al", "bcc")
    assert 1e3 * (per_atom(metals, "Al", "bcc", a=a_bcc) - fcc) == pytest.approx(bcc, abs=0.1)


@pytest.mark.parametrize("year", PARAMETER_SETS)
@pytest.mark.parametrize("symbol", ZHOU_2004)
def test_embedding_functions_vanish_at_zero_and_join_at_the_seams(symbol, year):
    metal = PARAMETER_SETS[year][symbol]
    seams = np.array([metal.n, OUTER_START]) * metal.rhoe
    rho = np.concatenate([[0.0], seams * (1 - 1e-12), seams * (1 + 1e-12)])
    value, slope = embedding(np.array([astuple(metal)] * 5).T, rho)
    assert value[0] == pytest.approx(0.0, abs=2e-6)
    assert np.allclose(value[1:3], value[3:5], atol=2e-6)
    assert np.allclose(slope[1:3] * metal.rhoe, slope[3:5] * metal.rhoe, atol=3e-4)


@pytest.mark.parametrize("year", PARAMETER_SETS)
@pytest.mark.parametrize("symbol", ZHOU_2004)
def test_close_atoms_repel_and_stay_finite(symbol, year):
    metals = PARAMETER_SETS[year]
    for other in {symbol, "Al", "W"}:
        previous = None
        for distance in np.linspace(1.5, 0.01, 30):
            pair = Atoms([symbol, other], positions=[[0, 0, 0], [distance, 0, 0]])
            result = evaluate(pair, metals)
            assert np.isfinite(result.forces_ev_per_ang).all()
            assert result.forces_ev_per_ang[0, 0] < 0.0
            assert previous is None or result.energy_ev > previous
            previous = result.energy_ev


@pytest.mark.parametrize("symbols", ["Al2", "AlCu", "PbNi"])
def test_energy_and_force_go_smoothly_to_zero_at_the_end(symbols):
    """Across the whole switch, the force is the gradient, and both fade out."""
    ends = [SWITCH_END * ZHOU_2001[s].re for s in Atoms(symbols).get_chemical_symbols()]
    begin, end = SWITCH_START / SWITCH_END * min(ends) - 0.05, max(ends)

    def pair(distance):
        return evaluate(Atoms(symbols, positions=[[0, 0, 0], [distance, 0, 0]]), ZHOU_2001)

    far = pair(end + 0.01).energy_ev
    assert abs(far) < 4e-6
    distances = np.linspace(begin, end + 0.1, 400)
    energies = np.array([pair(d).energy_ev for d in distances])
    forces = np.array([pair(d).forces_ev_per_ang[1, 0] for d in distances])
    work = np.cumsum(0.5 * (forces[1:] + forces[:-1]) * np.diff(distances))
    assert np.allclose(energies[0] - energies[1:], work, atol=1e-6)
    assert np.abs(np.diff(forces)).max() < 0.05 * np.abs(forces).max()
    assert pair(end - 1e-4).energy_ev == pytest.approx(far, abs=1e-10)


def test_an_alloy_of_one_metal_with_itself_is_that_metal():
    """Johnson's mixing rule must give phi_aa for two metals with the same coefficients."""
    rng = np.random.default_rng(3)
    frame = bulk("Al", cubic=True, a=4.08) * (2, 2, 2)
    frame.positions += rng.normal(0.0, 0.1, frame.positions.shape)
    plain = evaluate(frame, ZHOU_2001)
    frame.symbols[::3] = "Cu"
    mixed = evaluate(frame, {"Al": ZHOU_2001["Al"], "Cu": ZHOU_2001["Al"]})
    assert mixed.energy_ev == pytest.approx(plain.energy_ev, abs=1e-10)
    assert np.allclose(mixed.forces_ev_per_ang, plain.forces_ev_per_ang, atol=1e-11)


def test_a_slab_and_a_large_box_agree_with_partial_periodicity():
    slab = bulk("Cu", cubic=True, a=3.6) * (1, 1, 2)
    slab.rattle(0.1, seed=5)
    slab.pbc = (True, True, False)
    boxed = slab.copy()
    boxed.pbc = True
    boxed.cell[2, 2] += 20.0
    bare = slab.copy()
    bare.cell[2] = 0.0
    result = evaluate(slab, ZHOU_2001)
    for other in (boxed, bare):
        again = evaluate(other, ZHOU_2001)
        assert again.energy_ev == pytest.approx(result.energy_ev, abs=1e-10)
        assert np.allclose(again.forces_ev_per_ang, result.forces_ev_per_ang, atol=1e-10)


def test_one_atom_cell_is_the_crystal():
    one, four = bulk("Ni", a=3.5), bulk("Ni", a=3.5, cubic=True)
    first, second = evaluate(one, ZHOU_2004), evaluate(four, ZHOU_2004)
    assert second.energy_ev == pytest.approx(4 * first.energy_ev, abs=1e-9)
    assert np.allclose(second.virial_ev, 4 * first.virial_ev, atol=1e-9)
    assert np.allclose(first.forces_ev_per_ang, 0.0, atol=1e-10)


def test_coincident_atoms_are_named():
    frame = Atoms("Al3", positions=[[0, 0, 0], [2.5, 0, 0], [2.5, 0, 0]])
    with pytest.raises(ValueError, match="atoms 1 and 2 are at the same place"):
        evaluate(frame, ZHOU_2001)


def test_the_calculator_relaxes_a_crystal():
    crystal = bulk("Al", cubic=True, a=4.2)
    crystal.rattle(0.05, seed=1)
    crystal.calc = ZhouEam()
    assert LBFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=1e-4, steps=200)
    assert crystal.get_volume() ** (1 / 3) == pytest.approx(4.0817, abs=1e-3)
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy())
