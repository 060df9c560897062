"""What of VASP needs no program: settings, level of theory, inputs, POTCARs."""

from hashlib import sha256

import numpy as np
import pytest
from ase import Atoms
from espresso_cases import skewed_cell
from pydantic import ValidationError
from vasp_cases import SECRET, potcar, settings

from qm.kpoints import mesh
from qm.vasp.inputs import atom_order, write_inputs
from qm.vasp.labeller import VaspLabeller
from qm.vasp.level import resolved
from qm.vasp.potcar import read_potcars
from qm.vasp.repair import ways


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pseudopotentials": {"Alu": {"path": "x"}}}, "'Alu' is not a chemical symbol"),
        ({"pseudopotentials": {}}, "pseudopotentials"),
        ({"smearing": "tetrahedron"}, "smearing"),
        ({"smearing_width_ev": None}, "smearing_width_ev"),
        ({"functional": "B3LYP"}, "functional"),
        ({"starting_moments_ub": {"Fe": 2.0}}, "Fe has no pseudopotential"),
        ({"incar": {"encut": 300}}, "encut follows from the other settings"),
        ({"incar": {"KSPACING": 0.2}}, "KSPACING follows from the other settings"),
        ({"kpar": 2}, "kpar is 2; expected a divisor of ranks, 1"),
        ({"ncore": 3, "ranks": 4}, "ncore is 3; expected a divisor of ranks, 4"),
        ({"ediff": 1e-6}, "ediff"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(tmp_path, **changes)


@pytest.mark.parametrize(
    "name", ["functional", "cutoff_ev", "k_spacing_per_ang", "smearing", "smearing_width_ev"]
)
def test_a_choice_of_physics_has_no_default(tmp_path, name):
    values = settings(tmp_path).model_dump(exclude={name})
    with pytest.raises(ValidationError, match=name):
        type(settings(tmp_path)).model_validate(values)


LEVEL = {
    "functional": "PBEsol",
    "cutoff_ev": 320.0,
    "k_spacing_per_ang": 0.3,
    "k_shift": [1, 1, 1],
    "smearing": "gaussian",
    "smearing_width_ev": 0.1,
    "starting_moments_ub": {"Al": 0.1},
    "charge_e": 1.0,
    "precision": "Normal",
    "incar": {"LASPH": True},
    "scf_threshold_ev_per_atom": 1e-6,
    "version": "5.4.4",
}
NOT_LEVEL = {
    "algorithm": "Fast",
    "max_scf_steps": 7,
    "max_repairs": 0,
    "ranks": 4,
    "threads": 2,
    "walltime_s": 1.0,
    "scratch": "/tmp/nowhere",
    "command": "vasp_gpu",
}


@pytest.mark.parametrize("name", [*LEVEL, *NOT_LEVEL])
def test_the_fingerprint_follows_what_labels_depend_on(tmp_path, name):
    plain = VaspLabeller(settings(tmp_path)).fingerprint
    changed = VaspLabeller(settings(tmp_path, **{name: (LEVEL | NOT_LEVEL)[name]})).fingerprint
    assert (changed != plain) == (name in LEVEL)


def test_how_many_cores_do_what_is_not_level_of_theory(tmp_path):
    several = settings(tmp_path, ranks=4, ncore=2, kpar=2)
    assert VaspLabeller(several).fingerprint == VaspLabeller(settings(tmp_path)).fingerprint


def test_a_launch_notes_checksum_title_and_version_and_refuses_what_has_changed(tmp_path):
    config = resolved(settings(tmp_path, version=None))
    noted, path = config.pseudopotentials["Al"], tmp_path / "POTCAR.Al"
    assert config.version == "6.4.2"
    assert (noted.title, noted.path) == ("PAW_PBE Al 04Jan2001", str(path))
    assert noted.sha256 == sha256(path.read_bytes()).hexdigest()
    assert VaspLabeller(config).fingerprint == VaspLabeller(settings(tmp_path)).fingerprint
    path.write_text(path.read_text() + " ")
    with pytest.raises(ValueError, match=r"POTCAR of Al: .* has sha256 \w{64}; expected .* changed$"):
        VaspLabeller(config)
    path.unlink()
    with pytest.raises(ValueError, match=r"POTCAR of Al: .*POTCAR.Al: No such file"):
        VaspLabeller(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "Cu"}, "is of Cu; expected Al"),
        ({"exchange": "CA"}, "is for LDA; functional PBE needs one for PBE"),
        ({"exchange": "91"}, "is for PW91"),
    ],
)
def test_another_potcar_is_refused_in_one_line(tmp_path, changes, words):
    config = settings(tmp_path)
    potcar(tmp_path, **changes)
    with pytest.raises(ValueError, match=words) as caught:
        VaspLabeller(config)
    assert "\n" not in str(caught.value)


def test_a_potcar_of_several_elements_is_refused(tmp_path):
    config = settings(tmp_path)
    path = tmp_path / "POTCAR.Al"
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match="holds 2 elements; expected one"):
        VaspLabeller(config)


def test_a_file_that_is_no_potcar_or_of_another_title_is_refused(tmp_path):
    config = settings(tmp_path)
    titled = config.pseudopotentials["Al"].model_copy(update={"title": "PAW_PBE Al_GW"})
    with pytest.raises(ValueError, match="is 'PAW_PBE Al 04Jan2001'; expected 'PAW_PBE Al_GW'"):
        read_potcars(config.model_copy(update={"pseudopotentials": {"Al": titled}}))
    (tmp_path / "POTCAR.Al").write_text("something else")
    with pytest.raises(ValueError, match="expected a POTCAR"):
        VaspLabeller(config)


def test_lda_needs_potcars_of_lda(tmp_path):
    config = settings(tmp_path, functional="LDA")
    with pytest.raises(ValueError, match="is for PBE; functional LDA needs one for LDA"):
        read_potcars(config)
    potcar(tmp_path, exchange="CA")
    assert read_potcars(config)["Al"].valence == 3.0


@pytest.mark.parametrize(
    ("command", "words"),
    [("no-such-vasp", "no program 'no-such-vasp'"), ("true", "give it as labeller.version")],
)
def test_a_program_that_is_no_vasp_is_refused_in_one_line(tmp_path, command, words):
    with pytest.raises(ValueError, match=words):
        VaspLabeller(settings(tmp_path, command=command, version=None))


def written(config, directory, way=0, frame=None):
    frame = skewed_cell() if frame is None else frame
    text = write_inputs(directory, frame, config, ways(config)[way], read_potcars(config))
    assert text == (directory / "INCAR").read_text()
    return dict(line.split(" = ") for line in text.splitlines())


def test_the_incar_says_what_the_settings_say(tmp_path):
    config = settings(
        tmp_path,
        starting_moments_ub={"Al": 0.5},
        charge_e=1.0,
        incar={"lasph": True, "IVDW": 12},
        k_shift=[1, 1, 0],
    )
    found = written(config, tmp_path)
    assert (found["ENCUT"], found["GGA"], found["PREC"]) == ("300", "PE", "Accurate")
    assert (found["ISMEAR"], found["SIGMA"]) == ("1", "0.2")
    assert (found["ISPIN"], found["MAGMOM"]) == ("2", "0.5 0.5")
    assert found["NELECT"] == "5"  # two atoms of three electrons, one electron missing
    assert (found["LASPH"], found["IVDW"]) == (".TRUE.", "12")
    assert (found["NSW"], found["ISIF"], found["ISYM"]) == ("0", "2", "0")
    assert float(found["EDIFF"]) == pytest.approx(2.0e-7)
    assert "NCORE" not in found
    counts = " ".join(map(str, mesh(skewed_cell(), 0.9)))
    assert (tmp_path / "KPOINTS").read_text().splitlines()[1:] == ["0", "Gamma", counts, "0.5 0.5 0"]


def test_atoms_are_ordered_by_element_as_their_potcars(tmp_path):
    files = {e: {"path": str(potcar(tmp_path, e))} for e in ("Cu", "Al")}
    frame = Atoms("CuAlCuAl", positions=np.arange(12.0).reshape(4, 3), cell=[9, 9, 9], pbc=True)
    written(settings(tmp_path, pseudopotentials=files), tmp_path, frame=frame)
    lines = (tmp_path / "POSCAR").read_text().splitlines()
    assert (lines[5].split(), lines[6].split()) == (["Al", "Cu"], ["2", "2"])
    assert [float(line.split()[0]) for line in lines[8:12]] == [3.0, 9.0, 0.0, 6.0]
    assert atom_order(frame).tolist() == [1, 3, 0, 2]
    titles = [line for line in (tmp_path / "POTCAR").read_text().splitlines() if "TITEL" in line]
    assert ["Al" in titles[0], "Cu" in titles[1]] == [True, True]


def test_left_handed_cells_are_given_with_two_vectors_exchanged(tmp_path):
    frame = skewed_cell()
    frame.set_cell(frame.cell.array[[1, 0, 2]])
    written(settings(tmp_path), tmp_path, frame=frame)
    rows = (tmp_path / "POSCAR").read_text().splitlines()[2:5]
    cell = np.array([[float(word) for word in row.split()] for row in rows])
    assert np.allclose(cell, skewed_cell().cell.array)


def test_repairs_change_only_the_way_to_self_consistency(tmp_path):
    config = settings(tmp_path, max_scf_steps=50)
    (tmp_path / "CHGCAR").write_text("density")
    first, *repairs = [written(config, tmp_path, way) for way in range(4)]
    may_differ = {"ALGO", "AMIX", "BMIX", "NELM", "ISTART", "ICHARG"}
    for repair in repairs:
        assert {name for name in first | repair if repair.get(name) != first.get(name)} <= may_differ
    steps = [int(found["NELM"]) for found in (first, *repairs)]
    assert steps == sorted(steps)
    assert [found["ICHARG"] for found in (first, *repairs)] == ["2", "1", "2", "2"]
    assert len({tuple(found.items()) for found in (first, *repairs)}) == 4
    assert len(ways(settings(tmp_path, max_repairs=1))) == 2


def test_a_repair_starts_from_the_density_only_where_there_is_one(tmp_path):
    config = settings(tmp_path)
    assert written(config, tmp_path, way=1)["ICHARG"] == "2"
    (tmp_path / "CHGCAR").touch()  # as VASP leaves it where it was killed
    assert written(config, tmp_path, way=1)["ICHARG"] == "2"


def test_without_repairs_nothing_large_is_written(tmp_path):
    found = written(settings(tmp_path, max_repairs=0), tmp_path)
    assert (found["LWAVE"], found["LCHARG"]) == (".FALSE.", ".FALSE.")


def test_settings_hold_nothing_of_a_potcar_but_title_and_checksum(tmp_path):
    config = resolved(settings(tmp_path))
    assert SECRET in (tmp_path / "POTCAR.Al").read_text()
    assert SECRET not in config.model_dump_json()
