"""Potentials to compare with: setfl files, ASE's calculators, OpenKIM's models where they are installed."""

import numpy as np
import pytest
from ase.build import bulk

from workflow.validating.sources import SourceError, comparison_source, kim_source

MISHIN_1999 = "EAM_Dynamo_MishinFarkasMehl_1999_Al__MO_651801486679_005"


@pytest.fixture
def setfl(tmp_path):
    """Write an embedded-atom potential of aluminium: F = −2 √ρ, φ and ρ that end at 5 Å."""
    n, cutoff_ang = 2000, 5.0
    rho = np.linspace(0.0, 40.0, n)
    r = np.linspace(0.0, cutoff_ang, n)
    fade = (1.0 - r / cutoff_ang) ** 3
    columns = [-2.0 * np.sqrt(rho), 30.0 * np.exp(-1.5 * r) * fade, r * 200.0 * np.exp(-2.0 * r) * fade]
    head = [
        "one",
        "two",
        "three",
        "1 Al",
        f"{n} {rho[1]:.8e} {n} {r[1]:.8e} {cutoff_ang}",
        "13 26.98 4.05 fcc",
    ]
    file = tmp_path / "made_up.eam.alloy"
    file.write_text("\n".join([*head, *(f"{v:.12e}" for column in columns for v in column), ""]))
    return file


def test_a_setfl_file(setfl):
    source = comparison_source(str(setfl))
    assert (source.name, source.kind, source.elements) == ("made_up", "comparison", frozenset({"Al"}))
    atoms = bulk("Al", a=4.05)
    neighbours_ang = 4.05 * np.sqrt([0.5, 1.0, 1.5])
    shells = np.array([12, 6, 24])
    fade = (1.0 - neighbours_ang / 5.0) ** 3
    density = float(shells @ (30.0 * np.exp(-1.5 * neighbours_ang) * fade))
    pairs = 0.5 * float(shells @ (200.0 * np.exp(-2.0 * neighbours_ang) * fade))
    atoms.calc = source.calculator
    assert atoms.get_potential_energy() == pytest.approx(pairs - 2.0 * np.sqrt(density), abs=1e-4)
    same = comparison_source(str(setfl)).fingerprint
    setfl.write_text(setfl.read_text().replace("4.05 fcc", "4.06 fcc"))
    assert comparison_source(str(setfl)).fingerprint != same == source.fingerprint


def test_an_ase_calculator_by_its_name():
    source = comparison_source("ase.calculators.emt.EMT")
    atoms = bulk("Al", a=4.0)
    atoms.calc = source.calculator
    try:
        assert np.isfinite(atoms.get_potential_energy())
    finally:
        source.close()
    assert source.name == "ase.calculators.emt.EMT"


def test_a_label_source():
    assert comparison_source("eam").name == "eam"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torn.eam.alloy", "no potential in setfl format"),
        ("nowhere.alloy", "no potential in setfl format"),
        ("emt", "comparison: found 'emt'"),
    ],
)
def test_what_is_no_potential_is_one_line(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.eam.alloy").write_text("no\npotential\n")
    with pytest.raises(SourceError, match=message) as refused:
        comparison_source(text)
    assert "\n" not in str(refused.value)


def test_mishins_aluminium_through_openkim():
    """a = 4.05 Å and E = −3.36 eV: what Mishin et al. (1999) fitted to."""
    pytest.importorskip("kimpy", reason="kimpy is not installed")
    try:
        source = kim_source(MISHIN_1999)
    except SourceError as error:
        pytest.skip(f"openkim-models are not installed: {error}")
    atoms = bulk("Al", a=4.05)
    atoms.calc = source.calculator
    assert atoms.get_potential_energy() == pytest.approx(-3.36, abs=0.001)
    assert abs(atoms.get_stress()).max() < 1e-3
