"""What of Quantum ESPRESSO needs no pw.x: settings, level of theory, input, pseudopotentials."""

from hashlib import sha256

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from espresso_cases import GTH_AL, program, settings, skewed_cell
from pydantic import ValidationError
from scipy.integrate import simpson

from qm.espresso.gth import convert, local_part, main, read_gth
from qm.espresso.inputs import write_input
from qm.espresso.labeller import EspressoLabeller
from qm.espresso.level import resolved
from qm.espresso.repair import ways
from qm.kpoints import mesh


@pytest.fixture
def pseudopotential(tmp_path):
    path = tmp_path / "Al.upf"
    path.write_text(convert(GTH_AL, "Al"))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pseudopotentials": {"Alu": {"path": "x"}}}, "'Alu' is not a chemical symbol"),
        ({"pseudopotentials": {}}, "pseudopotentials"),
        ({"pseudopotentials": {"Al": {"path": "Al.gth"}}}, "wrong stresses"),
        ({"pseudopotentials": {"Al": {"path": "x", "sha256": "12"}}}, "sha256"),
        ({"smearing": "none"}, "no smearing_width_ry"),
        ({"smearing_width_ry": None}, "needs smearing_width_ry"),
        ({"density_cutoff_ry": 50.0}, "at least four times"),
        ({"starting_magnetization": {"Fe": 0.4}}, "Fe has no pseudopotential"),
        ({"system": {"ecutwfc": 30}}, "ecutwfc follows from the other settings"),
        ({"system": {"Starting_magnetization(1)": 1}}, "follows from the other settings"),
        ({"k_spacing_per_ang": 0}, "k_spacing_per_ang"),
        ({"k_shift": [0, 0, 2]}, "k_shift"),
        ({"kpts": [3, 3, 3]}, "kpts"),
        ({"smearing": "cold"}, "smearing"),
    ],
)
def test_wrong_settings_are_refused_by_name(pseudopotential, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(pseudopotential, **changes)


def test_a_choice_of_physics_has_no_default(pseudopotential):
    for name in ("functional", "wavefunction_cutoff_ry", "k_spacing_per_ang", "smearing", "pseudopotentials"):
        values = settings(pseudopotential).model_dump(exclude={name})
        with pytest.raises(ValidationError, match=name):
            type(settings(pseudopotential)).model_validate(values)


LEVEL = {
    "wavefunction_cutoff_ry": 25.0,
    "density_cutoff_ry": 120.0,
    "functional": "PBESOL",
    "k_spacing_per_ang": 0.3,
    "k_shift": [0, 0, 0],
    "smearing": "gaussian",
    "smearing_width_ry": 0.01,
    "starting_magnetization": {"Al": 0.1},
    "charge_e": 1.0,
    "system": {"vdw_corr": "dft-d3"},
    "scf_threshold_ry_per_atom": 1e-7,
    "version": "7.2",
}
NOT_LEVEL = {
    "max_scf_steps": 7,
    "mixing_beta": 0.1,
    "max_repairs": 0,
    "ranks": 4,
    "threads": 2,
    "launcher": "srun",
    "walltime_s": 1.0,
    "max_memory_gib": 2.0,
    "scratch": "/tmp/nowhere",
    "environment": {"A": "b"},
    "command": "pw.x -nk 2",
}


@pytest.mark.parametrize("name", [*LEVEL, *NOT_LEVEL])
def test_the_fingerprint_follows_what_labels_depend_on(pseudopotential, name):
    plain = EspressoLabeller(settings(pseudopotential)).fingerprint
    changed = EspressoLabeller(settings(pseudopotential, **{name: (LEVEL | NOT_LEVEL)[name]})).fingerprint
    assert (changed != plain) == (name in LEVEL)


def test_a_default_that_is_stated_is_the_same_level_of_theory(pseudopotential):
    stated = settings(pseudopotential, density_cutoff_ry=96.0)
    assert EspressoLabeller(stated).fingerprint == EspressoLabeller(settings(pseudopotential)).fingerprint


def test_a_pseudopotential_counts_by_content_and_not_by_place(pseudopotential, tmp_path):
    elsewhere = tmp_path / "elsewhere.UPF"
    elsewhere.write_bytes(pseudopotential.read_bytes())
    plain = EspressoLabeller(settings(pseudopotential)).fingerprint
    assert EspressoLabeller(settings(elsewhere)).fingerprint == plain
    elsewhere.write_text(elsewhere.read_text().replace("1", "2", 1))
    assert EspressoLabeller(settings(elsewhere)).fingerprint != plain


def test_a_changed_or_missing_pseudopotential_is_refused_in_one_line(pseudopotential):
    config = resolved(settings(pseudopotential))
    noted = config.pseudopotentials["Al"]
    assert noted.sha256 == sha256(pseudopotential.read_bytes()).hexdigest()
    assert EspressoLabeller(config).fingerprint == EspressoLabeller(settings(pseudopotential)).fingerprint
    pseudopotential.write_text(pseudopotential.read_text() + " ")
    with pytest.raises(ValueError, match=r"of Al: .*Al.upf has sha256 \w{64}; expected .* changed$"):
        EspressoLabeller(config)
    pseudopotential.unlink()
    with pytest.raises(ValueError, match=r"of Al: .*Al.upf: No such file"):
        EspressoLabeller(config)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-pw.x", "no program 'no-such-pw.x'"),
        ("", "no program ''"),
        ("true", "does not say its version; give it as labeller.version"),
    ],
)
def test_a_program_that_is_no_pw_is_refused_in_one_line(pseudopotential, command, words):
    with pytest.raises(ValueError, match=words) as caught:
        EspressoLabeller(settings(pseudopotential, command=command, version=None))
    assert "\n" not in str(caught.value)


def test_the_version_is_asked_of_the_program(pseudopotential, tmp_path):
    command = program(tmp_path / "pw", 'echo "     Program PWSCF v.7.2 starts on"; exit 1')
    assert resolved(settings(pseudopotential, command=command, version=None)).version == "7.2"


def test_the_mesh_is_the_least_within_the_spacing():
    frame = Atoms(cell=[5.0, 10.0, 20.0], pbc=True)
    assert mesh(frame, 0.4) == (4, 2, 1)  # 2π/5 = 1.257, 2π/10 = 0.628, 2π/20 = 0.314
    assert mesh(frame * (2, 1, 1), 0.4) == (2, 2, 1)
    frame.pbc = (True, False, True)
    assert mesh(frame, 0.4) == (4, 1, 1)
    assert mesh(bulk("Al", a=4.05), 2.0 * np.pi * np.sqrt(3.0) / 4.05 / 6.0) == (6, 6, 6)


def written(config, directory, way=0, frame=None):
    path = directory / "in.pwi"
    write_input(path, skewed_cell() if frame is None else frame, config, ways(config)[way])
    return {
        key.strip(): value.strip()
        for key, found, value in (line.partition("=") for line in path.read_text().splitlines())
        if found
    } | {"text": path.read_text()}


def test_the_input_says_what_the_settings_say(pseudopotential, tmp_path):
    config = settings(
        pseudopotential, starting_magnetization={"Al": 0.25}, charge_e=1.0, system={"vdw_corr": "dft-d3"}
    )
    found = written(config, tmp_path)
    assert found["ecutwfc"] == "24.0"
    assert found["ecutrho"] == "96.0"
    assert found["degauss"] == "0.05"
    assert found["smearing"] == "'marzari-vanderbilt'"
    assert found["starting_magnetization(1)"] == "0.25"
    assert (found["nspin"], found["tot_charge"]) == ("2", "1.0")
    assert found["vdw_corr"] == "'dft-d3'"
    assert float(found["conv_thr"]) == pytest.approx(2.0e-9)
    assert "Al.upf" in found["text"]
    assert "K_POINTS automatic\n3 3 2  1 1 1" in found["text"]
    assert "scf_must_converge" not in found["text"]


def test_one_point_at_gamma_uses_real_wavefunctions(pseudopotential, tmp_path):
    config = settings(pseudopotential, k_spacing_per_ang=9.0, k_shift=[0, 0, 0])
    assert "K_POINTS gamma" in written(config, tmp_path)["text"]
    assert "1 1 1  1 1 1" in written(settings(pseudopotential, k_spacing_per_ang=9.0), tmp_path)["text"]


def test_repairs_change_only_the_way_to_self_consistency(pseudopotential, tmp_path):
    config = settings(pseudopotential, max_scf_steps=50)
    first, *repairs = [written(config, tmp_path, way) for way in range(4)]
    may_differ = {"mixing_beta", "mixing_mode", "diagonalization", "electron_maxstep", "startingpot", "text"}
    for repair in repairs:
        assert {name for name in repair if repair[name] != first[name]} <= may_differ
    steps = [int(found["electron_maxstep"]) for found in (first, *repairs)]
    assert steps == sorted(steps)
    assert len({found["text"] for found in (first, *repairs)}) == 4
    assert len(ways(settings(pseudopotential, max_repairs=1))) == 2


def test_a_repair_starts_from_the_density_only_where_there_is_one(pseudopotential, tmp_path):
    config = settings(pseudopotential)
    assert written(config, tmp_path, way=1)["startingpot"] == "'atomic'"
    (tmp_path / "label.save").mkdir()
    (tmp_path / "label.save" / "charge-density.dat").touch()
    assert written(config, tmp_path, way=1)["startingpot"] == "'file'"
    assert written(config, tmp_path, way=2)["startingpot"] == "'atomic'"


def columns(text, name):
    numbers = text.partition(f"<{name} ")[2].partition(">")[2].partition("<")[0]
    return np.array([float(word) for word in numbers.split()])


def test_a_gth_pseudopotential_keeps_its_potential_as_upf():
    text, potential = convert(GTH_AL, "Al"), read_gth(GTH_AL, "Al", "PBE")
    r = columns(text, "PP_R")
    assert np.allclose(columns(text, "PP_LOCAL"), 2.0 * local_part(potential, r), rtol=1e-12)
    far = r > 10.0
    assert np.allclose(columns(text, "PP_LOCAL")[far], -2.0 * 3.0 / r[far])
    assert simpson(columns(text, "PP_RHOATOM"), x=r) == pytest.approx(3.0, abs=1e-4)
    strengths = columns(text, "PP_DIJ").reshape(3, 3)
    betas = [columns(text, f"PP_BETA.{i}") for i in (1, 2, 3)]
    overlaps = np.array([[simpson(a * b, x=r) for b in betas[:2]] for a in betas[:2]])
    assert simpson(betas[2] ** 2, x=r) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(strengths, np.diag(np.diag(strengths)))
    # the trace of the s part, Σ h_ij <p_i|p_j>, whichever projectors express it
    length, (a, b, c) = 0.48743529, (6.95993832, -1.88883584, 2.43847659)
    first = np.sqrt(2.0) / (length**1.5 * np.sqrt(np.sqrt(np.pi) / 2)) * np.exp(-((r / length) ** 2) / 2) * r
    second = (
        np.sqrt(2.0)
        / (length**3.5 * np.sqrt(15 * np.sqrt(np.pi) / 8))
        * np.exp(-((r / length) ** 2) / 2)
        * r**3
    )
    mixed = simpson(first * second, x=r)
    assert np.trace(strengths[:2, :2] @ overlaps) == pytest.approx(2.0 * (a + 2.0 * b * mixed + c), rel=1e-6)


def test_the_entry_with_the_fewest_electrons_is_taken():
    other = GTH_AL.replace("q3", "q11").replace("    2    1\n", "    2    6    3\n")
    assert read_gth(f"{other}#\n{GTH_AL}", "Al", "PBE").electrons == 3
    assert read_gth(other, "Al", "PBE").electrons == 11


def test_the_command_writes_a_file_or_one_line(tmp_path, capsys):
    source, out = tmp_path / "GTH", tmp_path / "Al.upf"
    source.write_text(GTH_AL)
    assert main(["Al", "--out", str(out), "--source", str(source)]) == 0
    assert out.read_text().startswith("<UPF")
    assert main(["Xe", "--out", str(out), "--source", str(source)]) == 1
    assert main(["Al", "--out", str(out), "--source", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"error: {source}: there is no GTH pseudopotential of Xe for PBE",
        f"error: {tmp_path / 'none'}: No such file or directory",
    ]
    with pytest.raises(SystemExit):
        main(["Al", "--out", "Al.gth"])
