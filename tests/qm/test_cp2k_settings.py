"""What of CP2K needs no cp2k: settings, level of theory, input, and outputs that it has printed."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, GPa, Hartree
from cp2k_cases import GAMMA, loose_cell, settings
from espresso_cases import program
from pydantic import ValidationError

from qm.cp2k.failures import failure_reason
from qm.cp2k.inputs import write_input
from qm.cp2k.labeller import Cp2kLabeller
from qm.cp2k.level import resolved
from qm.cp2k.outputs import read_results, version
from qm.cp2k.repair import ways
from qm.program import ProgramEnd
from qm.results import NotConvergedError, OutputError, UnphysicalError

OUTPUTS = Path(__file__).parent / "outputs" / "cp2k"
"""Printed by Debian's CP2K 2023.1, cut to what matters."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"basis_sets": {"Alu": {"path": "x", "name": "y"}}}, "'Alu' is not a chemical symbol"),
        ({"basis_sets": {}}, "basis_sets"),
        ({"basis_sets": {"Al": {"path": "x"}}}, "name"),
        ({"pseudopotentials": {}}, "Al has no pseudopotential"),
        ({"starting_moments_ub": {"Fe": 2.0}}, "Fe has no basis set"),
        ({"smearing": "none"}, "no electronic_temperature_k"),
        ({"electronic_temperature_k": None}, "needs electronic_temperature_k"),
        (
            {"smearing": "none", "electronic_temperature_k": None, "starting_moments_ub": {"Al": 1.0}},
            "starting_moments_ub needs smearing",
        ),
        ({"functional": "PBE &END"}, "functional"),
        ({"charge_e": 0.5}, "charge_e"),
        ({"kpts": [3, 3, 3]}, "kpts"),
    ],
)
def test_wrong_settings_are_refused_by_name(cp2k_data, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(cp2k_data, **changes)


LEVEL = {
    "functional": "PBESOL",
    "cutoff_ry": 120.0,
    "relative_cutoff_ry": 40.0,
    "accuracy": 1e-11,
    "k_spacing_per_ang": 0.3,
    "k_shift": [0, 0, 0],
    "electronic_temperature_k": 1000.0,
    "starting_moments_ub": {"Al": 0.1},
    "charge_e": 1,
    "scf_threshold": 1e-6,
    "version": "2024.1",
}
NOT_LEVEL = {
    "max_scf_steps": 7,
    "mixing_alpha": 0.1,
    "max_repairs": 0,
    "ranks": 4,
    "threads": 2,
    "walltime_s": 1.0,
    "command": "cp2k.psmp",
}


@pytest.mark.parametrize("name", [*LEVEL, *NOT_LEVEL])
def test_the_fingerprint_follows_what_labels_depend_on(cp2k_data, name):
    plain = Cp2kLabeller(settings(cp2k_data)).fingerprint
    changed = Cp2kLabeller(settings(cp2k_data, **{name: (LEVEL | NOT_LEVEL)[name]})).fingerprint
    assert (changed != plain) == (name in LEVEL)


@pytest.mark.parametrize(("file", "number"), [("BASIS", "0.90"), ("POTENTIALS", "0.45000000")])
def test_the_entries_count_and_not_the_rest_of_their_files(cp2k_data, file, number):
    plain = Cp2kLabeller(settings(cp2k_data)).fingerprint
    path = cp2k_data / file
    path.write_text(f"He OTHER\n 1\n 2 3 4\n# 0.90\n{path.read_text()}")
    assert Cp2kLabeller(settings(cp2k_data)).fingerprint == plain
    path.write_text(path.read_text().replace(f" {number} ", f" {number}1 "))
    assert Cp2kLabeller(settings(cp2k_data)).fingerprint != plain


def test_changed_and_missing_files_and_entries_are_refused_in_one_line(cp2k_data):
    config = resolved(settings(cp2k_data))
    basis = cp2k_data / "BASIS"
    assert config.basis_sets["Al"].sha256 == sha256(basis.read_bytes()).hexdigest()
    assert config.pseudopotentials["Al"].sha256 is not None
    basis.write_text(basis.read_text() + " ")
    with pytest.raises(ValueError, match=r"basis set of Al: .*BASIS has sha256 \w{64}; expected .* changed$"):
        Cp2kLabeller(config)
    whole = basis.read_text()
    basis.write_text(whole.replace("TINY", "HUGE"))
    with pytest.raises(ValueError, match=r"basis set of Al: .*BASIS has no TINY-GTH for Al$"):
        Cp2kLabeller(settings(cp2k_data))
    basis.write_text(whole)
    (cp2k_data / "POTENTIALS").unlink()
    with pytest.raises(ValueError, match=r"pseudopotential of Al: .*POTENTIALS: No such file"):
        resolved(settings(cp2k_data))


def test_the_version_is_asked_of_the_program(cp2k_data, tmp_path):
    command = program(tmp_path / "cp2k", 'test "$1" = --version && echo " CP2K version 2025.1"')
    assert resolved(settings(cp2k_data, command=command, version=None)).version == "2025.1"
    with pytest.raises(ValueError, match="no program 'no-such-cp2k'"):
        resolved(settings(cp2k_data, command="no-such-cp2k", version=None))


def written(config, directory, way=0):
    path = directory / "in.inp"
    write_input(path, loose_cell(), config, ways(config)[way])
    return path.read_text().splitlines()


def value(lines, keyword):
    (found,) = [line.split(maxsplit=1)[1] for line in lines if line.split()[0] == keyword]
    return found


@pytest.mark.parametrize(
    ("spacing", "shift", "expected"),
    [
        # 2, 2 and 2 points: CP2K's own mesh is shifted where their number is even
        (1.2, (1, 1, 1), "2 2 2 0 0 0"),
        (1.2, (0, 0, 0), "2 2 2 0.25 0.25 0.25"),
        # 3, 3 and 2 points
        (0.8, (0, 0, 0), "3 3 2 0 0 0.25"),
        (0.8, (1, 0, 1), "3 3 2 0.1666666666666667 0 0"),
    ],
)
def test_the_mesh_holds_gamma_where_it_is_not_shifted(cp2k_data, tmp_path, spacing, shift, expected):
    lines = written(settings(cp2k_data, k_spacing_per_ang=spacing, k_shift=list(shift)), tmp_path)
    words = value(lines, "SCHEME").split()
    assert words[0] == "MACDONALD"
    assert [float(word) for word in words[1:]] == [float(word) for word in expected.split()]


def test_one_point_at_gamma_uses_real_orbitals(cp2k_data, tmp_path):
    assert "KPOINTS" not in "\n".join(written(settings(cp2k_data, **GAMMA), tmp_path))
    shifted = settings(cp2k_data, k_spacing_per_ang=9.0, k_shift=[0, 1, 0])
    assert value(written(shifted, tmp_path), "SCHEME").startswith("MACDONALD 1 1 1 0.0")


def test_repairs_change_only_the_way_to_self_consistency(cp2k_data, tmp_path):
    config = settings(cp2k_data, max_scf_steps=50)
    first, *repairs = [written(config, tmp_path, way) for way in range(4)]
    may_differ = {"METHOD", "ALPHA", "MAX_SCF", "SCF_GUESS", "WFN_RESTART_FILE_NAME"}
    for repair in repairs:
        assert {line.split()[0] for line in set(first) ^ set(repair)} <= may_differ
    assert len({tuple(found) for found in (first, *repairs)}) == 4
    assert value(written(config, tmp_path, 1), "SCF_GUESS") == "ATOMIC"
    (tmp_path / "label-RESTART.kp").touch()
    assert value(written(config, tmp_path, 1), "SCF_GUESS") == "RESTART"
    assert value(written(config, tmp_path, 2), "SCF_GUESS") == "ATOMIC"


def printed(name):
    return (OUTPUTS / f"{name}.out").read_text()


def test_results_are_read_with_units_and_signs():
    text = printed("good")
    results = read_results(text, 2, threshold=1e-7)
    assert version(text) == "2023.1"
    assert results.energy_ev == pytest.approx(-4.009895973359974 * Hartree, abs=1e-12)
    assert results.forces_ev_per_ang[1, 0] == pytest.approx(-0.004155149939 * Hartree / Bohr, rel=1e-9)
    assert results.stress_ev_per_ang3[0, 0] == pytest.approx(-6.88268598610 * GPa, rel=1e-9)
    assert results.stress_ev_per_ang3[1, 2] == pytest.approx(1.13570685970 * GPa, rel=1e-9)


def test_the_layout_of_2025_gives_the_same_results():
    """Written after the layout that CP2K prints from 2025 on, of which there is none here to run."""
    text = printed("good")
    begin, end = text.index(" ATOMIC FORCES"), text.index(" SUM OF ATOMIC FORCES")
    rows = [line.split() for line in text[begin:end].splitlines()[3:]]
    forces = [" FORCES| Atomic forces [hartree/bohr]", " FORCES|   Atom  x  y  z  |f|"]
    forces += [f" FORCES| {number:>6} {x} {y} {z} 1.0E-02" for number, _, _, x, y, z in rows]
    newer = text[:begin] + "\n".join([*forces, " FORCES| Sum 0.0 0.0 0.0"]) + text[text.index("\n STRESS|") :]
    newer = newer.replace("energy [a.u.]:", "energy [hartree] ")
    old, new = (read_results(layout, 2, threshold=1e-7) for layout in (text, newer))
    assert old.energy_ev == new.energy_ev
    assert np.array_equal(old.forces_ev_per_ang, new.forces_ev_per_ang)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda text: text[:3000], OutputError, "ends before the calculation did"),
        (lambda text: text.replace("SCF run converged", "SCF run"), NotConvergedError, "does not say"),
        (
            lambda text: text.replace("0.00000003  ", "0.00000103  "),
            NotConvergedError,
            "changes by 0.00000103",
        ),
        (lambda text: text.replace("0.004153050837", "*" * 14), UnphysicalError, "too large"),
        (lambda text: text.replace("0.004153050837", "NaN"), OutputError, "not finite"),
        (lambda text: text.replace("      2      1      Al", "      2      1"), OutputError, "on 1 atoms"),
        (lambda text: text.replace("Analytical", "Some"), OutputError, "no stress"),
        (lambda text: text.replace("ENERGY|", ""), OutputError, "0 total energies"),
    ],
)
def test_an_output_that_is_not_whole_is_no_label(change, error, words):
    with pytest.raises(error, match=words):
        read_results(change(printed("good")), 2, threshold=1e-7)


def test_a_run_that_went_on_unconverged_is_no_label():
    """CP2K 2023.1 prints energy, forces and stress all the same, and ends with status 0."""
    text = printed("not_converged")
    assert "ENERGY|" in text
    with pytest.raises(NotConvergedError):
        read_results(text, 2, threshold=1e-7)


@pytest.mark.parametrize(
    ("name", "status", "reason", "words"),
    [
        ("good", 0, None, ""),
        ("not_converged", 0, "not_converged", "did not converge"),
        ("coincident", 1, "unphysical", "error: GEOMETRY wrong or EMAX_SPLINE too small!"),
        ("no_functional", 1, "bad_input", "error: unknown subsection FOO of section XC_FUNCTIONAL"),
        ("no_potential", 1, "bad_input", "<GTH-PBE-q3> for element <Al> was not found"),
        ("no_file", 1, "bad_input", "<POTENTIALS> cannot be opened. It does not exist."),
        ("good", 137, "killed", "signal 9"),
        ("good", None, "walltime", "ended after 3 s"),
    ],
)
def test_what_was_printed_has_its_reason(tmp_path, name, status, reason, words):
    found = failure_reason(ProgramEnd(status, 3.0), printed(name), "", tmp_path)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert (found[0], words in found[1]) == (reason, True), found


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("Operating system error: Cannot allocate memory\n", "out_of_memory"),
        ("write: No space left on device\n", "killed"),
        ("no licence\n", "bad_output"),
    ],
)
def test_what_stands_on_the_standard_error_counts(tmp_path, errors, reason):
    assert failure_reason(ProgramEnd(1, 3.0), printed("good")[:900], errors, tmp_path)[0] == reason
