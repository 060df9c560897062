"""The suite: every number is sound or says what is wrong, whatever the potential; costs are foreseen."""

import json
import math

import numpy as np
import pytest
from ase.calculators.emt import EMT
from odd_calculators import Counting, Explodes, NotANumber, Raises, UpsideDown

from potentials.calculator import EnsembleCalculator
from validation.crystal_cells import STRUCTURES
from validation.evaluation import Energy
from validation.literature import literature, published_errors
from validation.quick_quantities import QUICK_QUANTITIES
from validation.results import Curve, Findings, Quantity, from_plain, rms_difference, to_plain
from validation.subject import Subject
from validation.suite import COLD_CURVES, PROPERTIES, estimate_s, examine, properties, timing_cells


def run(calculator, element, suite="quick", without=()):
    subject, found = Subject(calculator, element), {}
    for prop in properties(suite):
        if prop.name in without:
            continue
        found[prop.name] = examine(prop, subject)
        if prop.name == COLD_CURVES:
            subject = subject.with_crystals(found[prop.name])
    return found


def quantities(found):
    return {q.name: q for findings in found.values() for q in findings.quantities}


def silent(found):
    """Return what has neither a number nor a reason."""
    nothing = [name for name, findings in found.items() if not findings.quantities and not findings.remark]
    return nothing + [
        q.name for q in quantities(found).values() if not math.isfinite(q.value) and not q.remark
    ]


def test_the_quick_suite_is_the_beginning_of_the_full_one():
    assert [p.name for p in properties("quick")] == [
        COLD_CURVES,
        "elastic constants, FCC",
        "Bain path",
        "vacancy",
        "surfaces",
    ]
    assert properties("full")[: len(properties("quick"))] == properties("quick")
    assert len({p.name for p in PROPERTIES}) == len(PROPERTIES)


def test_the_quick_suite_of_copper_is_sound_and_costs_what_it_says():
    calculator = Counting()
    subject, found = Subject(calculator, "Cu"), {}
    for prop in properties("quick"):
        calculator.n_evaluations = 0
        found[prop.name] = examine(prop, subject)
        assert prop.n_evaluations / 3 <= calculator.n_evaluations <= 3 * prop.n_evaluations, prop.name
        if prop.name == COLD_CURVES:
            subject = subject.with_crystals(found[prop.name])
    assert silent(found) == []
    names = quantities(found)
    assert names.keys() <= QUICK_QUANTITIES
    assert names["FCC: lattice constant"].value == pytest.approx(3.59, abs=0.01)
    assert names["FCC: bulk modulus from the elastic constants"].value == pytest.approx(
        names["FCC: bulk modulus"].value, rel=0.02
    )
    assert names["FCC: vacancy formation energy"].value > 0
    curves = {curve.name: curve for curve in found[COLD_CURVES].curves}
    assert set(curves) == {structure.name for structure in STRUCTURES}
    assert min(curves["FCC"].y) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("calculator", "element", "remark"),
    [
        (EMT(), "Fe", "no finite energies ("),
        (Raises(), "Al", "AttributeError: no such parameter"),
        (NotANumber(), "Al", "not finite"),
        (UpsideDown(), "Cu", "falls when"),
        (Explodes(), "Cu", "explodes"),
    ],
)
def test_whatever_is_wrong_is_said(calculator, element, remark):
    found = run(calculator, element)
    assert set(found) == {prop.name for prop in properties("quick")}
    assert silent(found) == []
    remarks = [f.remark for f in found.values()] + [q.remark for q in quantities(found).values()]
    assert any(remark in text for text in remarks)
    assert not any("\n" in text for text in remarks)


def test_without_an_fcc_crystal_what_needs_it_says_so():
    found = run(NotANumber(), "Al", "full", without=("further cold curves",))
    for name, findings in found.items():
        texts = [findings.remark, *(q.remark for q in findings.quantities)]
        if name != COLD_CURVES:
            assert any("no FCC crystal" in t or "no BCC" in t or "no HCP" in t for t in texts), name


def test_estimates_grow_with_the_atoms():
    prop = next(p for p in PROPERTIES if p.name == "vacancy")
    assert estimate_s(prop, 1.0, 1.0) == pytest.approx(prop.n_evaluations)
    assert estimate_s(prop, 1.0, 26.0) == pytest.approx(prop.n_evaluations * (1.0 + prop.n_atoms - 2))
    assert [len(cell) for cell in timing_cells("Al")] == [2, 27]


def test_energies_keep_track_of_their_members():
    one, other = Energy(2.0, np.array([1.0, 3.0])), Energy(1.0, np.array([0.5, 1.5]))
    assert (one - 2.0 * other).ev == 0.0
    assert (one - 2.0 * other).spread_ev == 0.0
    assert (one + other).spread_ev == pytest.approx(1.5)
    assert math.isnan(Energy(1.0, np.array([])).spread_ev)


def test_findings_survive_json():
    found = Findings(
        (Quantity("FCC: C11", math.nan, "GPa", remark="no stress"), Quantity("a", 1.25, "Å", 0.5, "members")),
        (Curve("FCC", (1.0, 2.0), (0.5, math.nan), (math.nan, math.nan)),),
        "x",
        "y, eV",
        ((0.0, "Γ"),),
        "so",
        "",
        2.5,
    )
    text = json.dumps(to_plain(found), allow_nan=False)
    again = from_plain(json.loads(text))
    assert to_plain(again) == to_plain(found)
    assert math.isnan(again.quantities[0].value)
    assert again.quantities[1] == found.quantities[1]
    assert again.ticks == found.ticks


def test_curves_are_compared_where_they_have_the_same_places():
    def findings(*curves):
        return Findings(curves=tuple(Curve(name, x, y, (math.nan,) * len(x)) for name, x, y in curves))

    one = findings(("a", (0.0, 1.0), (1.0, 2.0)), ("b", (0.0,), (5.0,)))
    assert rms_difference(one, findings(("a", (0.0, 1.0), (1.0, 4.0)))) == pytest.approx(2.0**0.5)
    assert rms_difference(one, findings(("a", (0.0, 1.0), (4.0, math.nan)))) == pytest.approx(3.0)
    assert rms_difference(one, findings(("a", (0.0, 2.0), (1.0, 4.0)))) is None


def test_elements_without_a_data_file_have_no_published_values():
    assert literature("Xe") == ()
    assert published_errors("Xe") == ()


@pytest.fixture(scope="module")
def full(ani_al):
    return run(EnsembleCalculator(ani_al, forces_std=False), "Al", "full")


def test_the_published_ani_al_is_as_its_authors_say(full):
    assert silent(full) == []
    values = {name: q.value for name, q in quantities(full).items()}
    assert values["FCC: C11"] == pytest.approx(117, abs=0.5)
    assert values["FCC: C12"] == pytest.approx(57.2, abs=0.2)
    assert values["FCC: C44"] == pytest.approx(30.4, abs=0.1)
    assert values["FCC: bulk modulus from the elastic constants"] == pytest.approx(77.3, abs=0.2)
    above = {name: values[f"{name}: energy above FCC"] for name in ("HCP", "BCC", "SC", "diamond")}
    assert 0 < above["HCP"] < above["BCC"] < above["SC"] < above["diamond"]
    assert values["FCC: vacancy formation energy"] == pytest.approx(0.67, abs=0.03)
    assert values["FCC: intrinsic stacking fault"] == pytest.approx(144, abs=1)
    assert values["FCC: twin boundary"] == pytest.approx(72.9, abs=1)
    assert all(math.isfinite(q.error) for q in quantities(full).values() if q.unit in {"mJ/m²", "J/m²", "eV"})
    assert "not stable" in quantities(full)["BCC: C11"].remark


def test_published_values_are_of_quantities_that_the_suite_has(full):
    units = {name: q.unit for name, q in quantities(full).items()}
    for value in literature("Al"):
        assert value.source
        if not value.quantity.startswith(("liquid", "melt")):  # of those: test_runs_of_dynamics
            assert units[value.quantity] == value.unit, value
    published = {value.quantity for value in published_errors("Al")}
    assert {name for name in published if not name.endswith("RMS difference")} <= set(units)
    assert {name.removesuffix(": RMS difference") for name in published if "RMS" in name} <= set(full)
