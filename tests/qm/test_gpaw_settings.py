"""What of GPAW needs no GPAW: settings, level of theory, input, and answers that our program has written."""

import gzip
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from espresso_cases import program, skewed_cell
from gpaw_cases import GAMMA, HEADER, settings, write_setup
from pydantic import ValidationError

from qm.gpaw.failures import failure_reason
from qm.gpaw.inputs import write_input
from qm.gpaw.labeller import GpawLabeller
from qm.gpaw.level import resolved
from qm.gpaw.outputs import read_answer, read_results
from qm.gpaw.repair import ways
from qm.kpoints import mesh_points
from qm.program import ProgramEnd
from qm.results import OutputError

OUTPUTS = Path(__file__).parent / "outputs" / "gpaw"
"""Written after runs of GPAW 26.7.0."""


@pytest.fixture
def setup(tmp_path):
    return write_setup(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"setups": {"Alu": {"path": "x"}}}, "'Alu' is not a chemical symbol"),
        ({"setups": {}}, "setups"),
        ({"starting_moments_ub": {"Fe": 2.0}}, "Fe has no setup"),
        ({"smearing": "none"}, "no smearing_width_ev"),
        ({"smearing_width_ev": None}, "needs smearing_width_ev"),
        ({"smearing": "cold"}, "smearing"),
        ({"kpts": [3, 3, 3]}, "kpts"),
    ],
)
def test_wrong_settings_are_refused_by_name(setup, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(setup, **changes)


LEVEL = {
    "cutoff_ev": 300.0,
    "k_spacing_per_ang": 0.3,
    "k_shift": [0, 0, 0],
    "smearing": "marzari-vanderbilt",
    "smearing_width_ev": 0.1,
    "starting_moments_ub": {"Al": 0.1},
    "charge_e": 0.5,
    "energy_threshold_ev_per_electron": 1e-5,
    "density_threshold_per_electron": 1e-4,
    "eigenstates_threshold_ev2_per_electron": 1e-8,
    "version": "25.1.0",
}
NOT_LEVEL = {
    "max_scf_steps": 7,
    "mixing_beta": 0.1,
    "max_repairs": 0,
    "ranks": 4,
    "threads": 2,
    "walltime_s": 1.0,
    "command": "gpaw python",
}


@pytest.mark.parametrize("name", [*LEVEL, *NOT_LEVEL])
def test_the_fingerprint_follows_what_labels_depend_on(setup, name):
    plain = GpawLabeller(settings(setup)).fingerprint
    changed = GpawLabeller(settings(setup, **{name: (LEVEL | NOT_LEVEL)[name]})).fingerprint
    assert (changed != plain) == (name in LEVEL)


def test_changed_missing_and_unfit_setups_are_refused_in_one_line(setup):
    config = resolved(settings(setup))
    assert config.setups["Al"].sha256 == sha256(setup.read_bytes()).hexdigest()
    plain = GpawLabeller(config).fingerprint
    with pytest.raises(ValueError, match=r"setup of Al: .*Al.PBE.gz is for PBE; functional is RPBE$"):
        GpawLabeller(settings(setup, functional="RPBE"))
    setup.write_bytes(gzip.compress(HEADER + b" "))
    with pytest.raises(ValueError, match=r"setup of Al: .*has sha256 \w{64}; expected .* changed$"):
        GpawLabeller(config)
    assert GpawLabeller(settings(setup)).fingerprint != plain
    setup.write_bytes(setup.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"setup of Al: .*Al.PBE.gz: Compressed file ended"):
        resolved(settings(setup))
    setup.write_text("<UPF>")
    with pytest.raises(ValueError, match=r"setup of Al: .*Al.PBE.gz is no PAW setup$"):
        resolved(settings(setup))
    setup.unlink()
    with pytest.raises(ValueError, match=r"setup of Al: .*Al.PBE.gz: No such file"):
        resolved(settings(setup))


def test_the_version_is_asked_of_the_interpreter(setup, tmp_path):
    command = program(tmp_path / "py", 'test "$2" = version && echo "GPAW version 25.7.0"')
    assert resolved(settings(setup, command=command, version=None)).version == "25.7.0"
    none = program(tmp_path / "py", "echo \"ModuleNotFoundError: No module named 'gpaw'\" >&2; exit 1")
    with pytest.raises(ValueError, match=r"does not say its version but .*No module named 'gpaw'"):
        resolved(settings(setup, command=none, version=None))


def written(config, directory, way=0):
    path = directory / "in.json"
    write_input(path, skewed_cell(), config, ways(config)[way], {"Al": "Al.setup.gz"})
    return json.loads(path.read_text())


def test_the_input_says_what_the_settings_say(setup, tmp_path):
    config = settings(setup, starting_moments_ub={"Al": 0.25}, charge_e=1.0)
    found = written(config, tmp_path)
    parameters = found["parameters"]
    assert parameters["mode"] == {"name": "pw", "ecut": 200.0}
    assert parameters["occupations"] == {"name": "fermi-dirac", "width": 0.5}
    assert (parameters["xc"], parameters["charge"], parameters["spinpol"]) == ("PBE", 1.0, True)
    assert found["frame"]["magmoms"] == [0.25, 0.25]
    assert np.array_equal(found["frame"]["positions"], skewed_cell().positions)
    assert written(settings(setup, **GAMMA), tmp_path)["parameters"]["kpts"] == [[0.0, 0.0, 0.0]]


def test_a_mesh_holds_gamma_where_it_is_not_shifted():
    points = mesh_points((2, 3, 1), (0, 1, 0))
    assert points.shape == (6, 3)
    assert sorted(set(points[:, 0])) == [-0.5, 0.0]
    assert np.allclose(sorted(set(points[:, 1].round(12))), [-0.5, -1 / 6, 1 / 6])
    assert set(points[:, 2]) == {0.0}
    assert [0.0, 0.0, 0.0] in mesh_points((4, 5, 6), (0, 0, 0)).tolist()


def test_repairs_change_only_the_way_to_self_consistency(setup, tmp_path):
    config = settings(setup, max_scf_steps=50)
    first, *repairs = [written(config, tmp_path, way)["parameters"] for way in range(4)]
    for repair in repairs:
        changed = {name for name in repair if repair[name] != first.get(name)}
        assert changed
        assert changed <= {"maxiter", "mixer", "nbands", "eigensolver"}
    assert len(ways(settings(setup, max_repairs=1))) == 2


def answer(name):
    found = read_answer(OUTPUTS / f"{name}.json")
    assert found is not None
    return found


def test_results_are_read():
    results = read_results(answer("good"), 2)
    assert results.energy_ev == pytest.approx(-6.266682436621565)
    assert results.forces_ev_per_ang[0, 1] == pytest.approx(0.54300294)
    assert results.stress_ev_per_ang3[2, 1] == pytest.approx(0.05834734)


@pytest.mark.parametrize(
    "change",
    [
        {"energy_ev": None},
        {"forces_ev_per_ang": [[0.0, 0.0, 0.0]]},
        {"stress_ev_per_ang3": [0.0]},
        {"forces_ev_per_ang": "none"},
    ],
)
def test_an_answer_that_is_not_whole_is_no_label(change):
    with pytest.raises(OutputError):
        read_results(answer("good") | change, 2)


def test_a_truncated_answer_is_none(tmp_path):
    path = tmp_path / "results.json"
    path.write_text((OUTPUTS / "good.json").read_text()[:100])
    assert read_answer(path) is None
    assert failure_reason(ProgramEnd(0, 3.0), None, "", tmp_path)[0] == "bad_output"


@pytest.mark.parametrize(
    ("name", "status", "errors", "reason", "words"),
    [
        ("good", 0, "", None, ""),
        ("not_converged", 1, "", "not_converged", "KohnShamConvergenceError"),
        ("too_close", 1, "", "not_converged", "LinAlgError: The leading minor"),
        ("coincident", 1, "", "unphysical", "Atoms are too close"),
        ("good", None, "", "walltime", "ended after 3 s"),
        ("good", 137, "", "killed", "signal 9"),
        (None, 1, "numpy._ArrayMemoryError: Unable to allocate 3 GiB", "out_of_memory", "memory"),
        (None, 1, "OSError: [Errno 28] No space left on device", "killed", "full"),
        (None, 1, "ModuleNotFoundError: No module named 'gpaw'", "bad_output", "No module named"),
        ({"error": "FileNotFoundError", "message": "Al.PBE\nnot found"}, 1, "", "bad_input", "Al.PBE not"),
    ],
)
def test_what_was_left_has_its_reason(tmp_path, name, status, errors, reason, words):
    left = answer(name) if isinstance(name, str) else name
    found = failure_reason(ProgramEnd(status, 3.0), left, errors, tmp_path)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert (found[0], words in found[1]) == (reason, True), found
