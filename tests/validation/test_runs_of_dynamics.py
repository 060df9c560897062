"""Liquid, melting, melt-freeze: known answers, searches that end, and short runs of the analytic EAM."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from odd_calculators import Explodes, Raises
from pages import Pages

from qm.eam import ZhouEam
from validation import dynamics_rows, melting
from validation.conditions import Conditions, LiquidRuns, MeltFreezeRun, MeltingRuns, StatePoint
from validation.liquid import Liquid, _first_shell, liquid, rdf
from validation.literature import literature
from validation.melting import Coexistence, between_layers, coexistence, stacked
from validation.stiffness import Solid, solid
from validation.subject import Lattice, Subject
from validation.suite import PROPERTIES, examine, properties

FCC = Lattice("FCC", 17.0, None)
AL = Solid("Al", FCC, 90.0, 30.0)
TINY = Conditions(
    LiquidRuns((StatePoint(900.0),), n_repeat=3, n_melt=240, n_equilibrate=60, n_sample=160),
    MeltingRuns(n_lateral=2, n_along=3, n_prepare=80, n_steps=400, n_seeds=1),
    MeltFreezeRun(high_k=900.0, n_repeat=2, n_heat=100, n_cool=100, n_frames=5),
)


def eam(**changes):
    return replace(Subject(ZhouEam(), "Al", {"FCC": FCC}, {}, TINY, Pages()), **changes)


# -- the crystal ---------------------------------------------------------------------------------------------


def test_the_lowest_crystal_is_melted_and_its_stiffness_says_where():
    found = solid(eam(lattices={"BCC": Lattice("BCC", 17.3, None), "FCC": FCC}))
    assert found.lattice.structure == "FCC"
    assert found.bulk_modulus_gpa == pytest.approx(96.7, abs=1.5)
    assert found.shear_modulus_gpa == pytest.approx((127.2 - 81.4 + 3 * 36.4) / 5, rel=0.02)
    assert 700 < found.melting_guess_k < 1300
    assert found.guess_at_k(5.0) > found.melting_guess_k


@pytest.mark.parametrize("name", ["FCC", "BCC", "HCP"])
def test_blocks_have_right_angles_and_the_volume_of_the_crystal(name):
    block = Solid("Al", Lattice(name, 17.0, 1.63 if name == "HCP" else None), 90.0, 30.0).block()
    assert block.get_volume() / len(block) == pytest.approx(17.0)
    assert block.cell.angles() == pytest.approx([90.0] * 3)


def test_without_a_crystal_every_property_says_so():
    for prop in properties("dynamics")[1:]:
        found = examine(prop, eam(lattices={}, remarks={"FCC": "falls when compressed"}))
        assert "no crystal of Al to melt (FCC: falls when compressed" in found.remark, prop.name


def test_a_broken_or_exploding_calculator_is_a_row_that_says_so():
    for prop in properties("dynamics")[1:]:
        assert "no such parameter" in examine(prop, eam(calculator=Raises())).remark
    copper = Subject(Explodes(), "Cu", {"FCC": Lattice("FCC", 11.6, None)}, {}, TINY, Pages())
    for name in ("liquid density", "melt-freeze phases"):
        prop = next(p for p in PROPERTIES if p.name == name)
        assert "explodes" in examine(prop, copper).remark


# -- liquid --------------------------------------------------------------------------------------------------


def test_radial_distributions_of_a_gas_and_a_crystal():
    rng = np.random.default_rng(0)
    gas = Atoms(numbers=[13] * 4000, positions=rng.random((4000, 3)) * 40.0, cell=[40.0] * 3, pbc=True)
    assert rdf(gas, np.arange(0.0, 10.1, 2.0)) == pytest.approx(np.ones(5), abs=0.05)
    crystal = bulk("Al", cubic=True, a=4.0).repeat(4)
    crystal.positions -= 0.3  # out of the cell
    edges = np.array([0.0, 2.5, 3.2, 7.0])
    shell = 4 / 3 * math.pi * (3.2**3 - 2.5**3) * 4 / 4.0**3
    assert rdf(crystal, edges)[:2] == pytest.approx([0.0, 12 / shell])


def test_the_first_shell_is_found():
    radii = np.arange(0.025, 8.0, 0.05)
    g = 1 + 1.7 * np.exp(-((radii - 2.8) ** 2) / 0.1) - 0.5 * np.exp(-((radii - 3.9) ** 2) / 0.2)
    g[radii < 2.2] = 0.0
    peak, height, neighbours = _first_shell(radii, g, 0.053)
    assert peak == pytest.approx(2.8, abs=0.01)
    assert height == pytest.approx(2.7, abs=0.02)
    below = radii < 3.9
    assert neighbours == pytest.approx((4 * math.pi * radii**2 * 0.05 * 0.053 * g)[below].sum(), rel=0.05)


def test_a_short_run_of_the_liquid_has_density_structure_and_errors():
    subject = eam()
    found = dynamics_rows.liquid_density_rows(subject)
    (density,) = found.quantities
    assert density.name == "liquid at 900 K, 0 GPa: density"
    assert 1.9 < density.value < 2.6
    assert 0 < density.error < 0.2
    assert density.error_kind == "blocks"
    assert density.remark == ""
    n_runs = len(subject.notebook)
    structure = dynamics_rows.liquid_structure_rows(subject)
    assert len(subject.notebook) == n_runs == 2
    peak = next(q for q in structure.quantities if q.unit == "Å")
    assert 2.5 < peak.value < 3.1
    frozen = bulk("Al", cubic=True, a=4.1).repeat(3)
    state = liquid(subject, frozen, StatePoint(300.0))
    assert state.frozen
    assert state.peak_ang == pytest.approx(4.1 / 2**0.5, abs=0.15)


# -- melting -------------------------------------------------------------------------------------------------


def fake_law(true_k, margin_k):
    """Return what a run would do if half of the system's latent heat were worth ``margin_k``."""

    def run(subject, crystal, pressure_gpa, start_k, seed):
        times = np.arange(3.0)
        excess = start_k - true_k
        ending = "both" if abs(excess) < margin_k else "all melted" if excess > 0 else "all frozen"
        end = true_k + 2.0 * (seed - 1) if ending == "both" else start_k - math.copysign(margin_k, excess)
        return Coexistence(start_k, ending, end, 3.0, times, times, 0.4)

    return run


@pytest.mark.parametrize("guess_k", [400.0, 700.0, 925.0, 1500.0])
def test_the_search_comes_to_the_melting_temperature(guess_k, monkeypatch):
    monkeypatch.setattr(melting, "coexistence", fake_law(925.0, 200.0))
    subject = eam(conditions=Conditions(melting=MeltingRuns(n_seeds=3)))
    found = melting.melting(subject, AL, 0.0, guess_k)
    assert found.temperature_k == pytest.approx(925.0, abs=12.0)
    assert found.error_k >= 3.0 / 3**0.5 - 1e-9
    good = [run for run in found.runs if run.ending == "both" and abs(run.start_k - 925.0) < 60.0]
    assert len(good) == 3


@pytest.mark.parametrize(("ending", "between"), [("all melted", (600, 1000)), ("all frozen", (1000, 1400))])
def test_a_run_that_ends_on_the_wrong_side_does_not_lead_the_search_astray(ending, between):
    search = melting._Search(1000.0)
    nothing = np.zeros(0)
    end_k = 1100.0 if ending == "all melted" else 900.0
    search.learn(Coexistence(1000.0, ending, end_k, 1.0, nothing, nothing, 0.0))
    assert between[0] < search.start_k < between[1]


def test_what_never_stays_together_is_told_with_its_story(monkeypatch):
    monkeypatch.setattr(melting, "coexistence", fake_law(925.0, 0.0))
    found = examine(next(p for p in PROPERTIES if p.name == "melting"), eam())
    (quantity,) = found.quantities
    assert math.isnan(quantity.value)
    assert "never stayed together: from " in quantity.remark
    assert "all melted" in quantity.remark


def test_lost_phases_and_few_runs_are_remarked_and_pressures_follow_each_other(monkeypatch):
    law = fake_law(925.0, 200.0)
    starts = []

    def run(subject, crystal, pressure_gpa, start_k, seed):
        starts.append((pressure_gpa, start_k))
        return law(subject, crystal, pressure_gpa, start_k - 60.0 * pressure_gpa, seed)

    monkeypatch.setattr(melting, "coexistence", run)
    asked = MeltingRuns((0.0, 2.0), guess_k=1300.0, n_seeds=2)
    found = dynamics_rows.melting_rows(eam(conditions=Conditions(melting=asked)))
    zero, _ = found.quantities
    assert zero.name == "melting temperature at 0 GPa"
    assert zero.error_kind == "seeds"
    assert "from 1300 K all melted" in zero.remark
    first_at_two = next(start for pressure, start in starts if pressure == 2.0)
    assert 925.0 < first_at_two < 1100.0


def test_published_values_are_of_quantities_that_the_runs_have(monkeypatch):
    shells = np.ones(3)
    state = Liquid(1123.0, 0.0, 2.3, 0.01, shells, shells, shells, 2.8, 2.4, 11.0, 0.0)
    monkeypatch.setattr(dynamics_rows, "melted", lambda *_: None)
    monkeypatch.setattr(dynamics_rows, "liquid", lambda *_: state)
    monkeypatch.setattr(melting, "coexistence", fake_law(925.0, 200.0))
    subject = eam(conditions=Conditions(LiquidRuns((StatePoint(1123.0),))))
    rows = [dynamics_rows.liquid_density_rows(subject), dynamics_rows.melting_rows(subject)]
    units = {quantity.name: quantity.unit for found in rows for quantity in found.quantities}
    published = [value for value in literature("Al") if value.quantity.startswith(("liquid", "melt"))]
    assert {value.quantity for value in published} == set(units)
    assert all(units[value.quantity] == value.unit for value in published)


def test_slabs_are_stacked_without_atoms_on_top_of_each_other():
    crystal = bulk("Al", cubic=True, a=4.1).repeat((2, 2, 3))
    crystal.rattle(0.1, seed=0)
    crystal.positions[:, 2] += 1.3
    between_layers(crystal, 6)
    crystal.wrap()
    assert 0.5 < crystal.positions[:, 2].min() < 1.1
    assert 0.5 < crystal.cell[2, 2] - crystal.positions[:, 2].max() < 1.1
    liquid_half = bulk("Al", cubic=True, a=4.1).repeat((2, 2, 3))
    both = stacked(crystal, liquid_half, 900.0, np.random.default_rng(0))
    assert len(both) == 96
    assert both.cell.lengths()[:2] == pytest.approx(crystal.cell.lengths()[:2])
    distances = both.get_all_distances(mic=True)
    assert distances[distances > 0].min() > 1.9
    assert both.get_temperature() == pytest.approx(900.0, rel=0.3)


def test_a_crystal_far_above_melting_and_a_tiny_coexistence():
    subject = eam()
    hot = coexistence(subject, AL, 0.0, 2500.0, 0)
    assert hot.ending == "all melted"
    assert hot.temperature_k < 2500.0
    run = coexistence(subject, AL, 0.0, 600.0, 0)
    assert run.ending in {"both", "all melted", "all frozen"}
    assert 300.0 < run.temperature_k < 1000.0
    n_kept = len(subject.notebook)
    assert coexistence(subject, AL, 0.0, 600.0, 0).temperature_k == run.temperature_k
    assert len(subject.notebook) == n_kept


@pytest.mark.slow
def test_crystal_and_liquid_of_the_analytic_eam_stay_together_near_600_k():
    runs = MeltingRuns(n_lateral=4, n_along=6, n_prepare=600, n_steps=3000)
    run = coexistence(eam(conditions=Conditions(melting=runs)), AL, 0.0, 600.0, 1)
    assert run.ending == "both"
    assert run.temperature_k == pytest.approx(610.0, abs=60.0)
    assert 0.0 < run.error_k < 30.0


# -- melt-freeze ---------------------------------------------------------------------------------------------


def test_a_melt_freeze_run_is_compared_with_its_reference_and_made_once():
    subject = eam(reference=ZhouEam("2001"), reference_name="reference")
    energy = dynamics_rows.melt_freeze_energy_rows(subject)
    values = {q.name: q.value for q in energy.quantities}
    assert values["melt-freeze: energy, RMS difference from the reference"] == pytest.approx(0.0, abs=1e-6)
    assert [curve.name for curve in energy.curves] == ["potential", "reference"]
    assert len(energy.curves[0].x) == 5
    kept = replace(subject, calculator=Counted())
    force = dynamics_rows.melt_freeze_force_rows(kept)
    pressure = dynamics_rows.melt_freeze_pressure_rows(kept)
    phases = {q.name: q for q in dynamics_rows.melt_freeze_phases_rows(kept).quantities}
    assert force.quantities[1].value == pytest.approx(0.0, abs=1e-9)
    assert pressure.quantities[1].value == pytest.approx(0.0, abs=1e-6)
    assert phases["melt-freeze: melts on heating at"].value > 300 or (
        phases["melt-freeze: melts on heating at"].remark == "it does not melt"
    )
    assert kept.calculator.n_large == 0


class Counted(ZhouEam):
    """The EAM that counts cells larger than those of elastic constants."""

    n_large = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.n_large += len(atoms) > 16
        super().calculate(atoms, properties, system_changes)


def test_another_reference_shows_its_differences():
    subject = eam(reference=ZhouEam("2004"), reference_name="other")
    energy = dynamics_rows.melt_freeze_energy_rows(subject)
    force = dynamics_rows.melt_freeze_force_rows(subject)
    assert energy.quantities[0].value > 0.1
    assert force.quantities[1].value > 1e-3
