"""Labels and failures of the real GPAW, by the interpreter that SMELTER_GPAW_PYTHON names, or python3."""

import psutil
import pytest
from dft_cases import force_along, labelled, stress_along
from espresso_cases import program, skewed_cell
from gpaw_cases import DEBIAN, GAMMA, PYTHON, gpaw_version, settings

from qm.checks import check_label
from qm.config import CheckConfig
from qm.gpaw.labeller import GpawLabeller
from qm.label import LabelFailure

pytestmark = pytest.mark.dft


@pytest.fixture(scope="module")
def version():
    if not DEBIAN.exists():
        pytest.skip(f"no {DEBIAN}; Debian has it in the package gpaw-data")
    found = gpaw_version()
    if found is None:
        pytest.skip(f"{PYTHON} has no GPAW; SMELTER_GPAW_PYTHON may name an interpreter that has")
    return found


@pytest.fixture
def scratch(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


@pytest.fixture
def attempt(version, tmp_path, scratch):
    """Label a frame with some settings changed, or with a script in the place of the interpreter."""

    def attempt(frame=None, script=None, **changes):
        if script is not None:
            changes["command"] = program(tmp_path / "python", script.replace("python", PYTHON))
        values = {"version": version, **GAMMA, **changes}
        return GpawLabeller(settings(DEBIAN, **values)).label(frame or skewed_cell(), scratch)

    return attempt


def apart(distance_ang):
    frame = skewed_cell()
    frame.positions[1] = frame.positions[0] + [distance_ang, 0.0, 0.0]
    return frame


def test_a_label_of_our_setup_only_is_complete_its_forces_and_stress_derivatives_of_the_energy(
    version, scratch
):
    """Smeared so widely that energies with and without entropy have very different derivatives."""
    nowhere = {"GPAW_SETUP_PATH": "/nowhere"}
    labeller = GpawLabeller(settings(DEBIAN, version=version, cutoff_ev=300.0, environment=nowhere))
    label = labelled(labeller, skewed_cell(), scratch)
    assert list(scratch.iterdir()) == []
    assert check_label(skewed_cell(), label, CheckConfig(), labeller.fingerprint) is None
    assert (label.code, label.version, label.repairs) == ("gpaw", version, "")
    expected, found = force_along(labeller, skewed_cell(), label, scratch, 0.02)
    assert abs(found) > 0.1
    assert found == pytest.approx(expected, abs=0.003)
    expected, found = stress_along(labeller, skewed_cell(), label, scratch, 0.005)
    assert abs(found) > 0.02
    assert found == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"max_scf_steps": 3}, "not_converged", "KohnShamConvergenceError"),
        ({"walltime_s": 0.3}, "walltime", "ended after"),
        ({"max_memory_gib": 0.5, "cutoff_ev": 4000.0}, "out_of_memory", "not enough memory"),
        ({"frame": apart(0.0)}, "unphysical", "too close"),
        ({"version": "1.2"}, "bad_input", "expected 1.2"),
        ({"script": 'rm Al.setup.gz; exec python "$@"'}, "bad_input", "Al.PBE"),
        ({"script": 'python "$@" & sleep 0.2; kill -9 $!; wait $!'}, "killed", "signal 9"),
        ({"script": "echo no licence >&2; exit 4"}, "bad_output", "exit status 4: no licence"),
        ({"script": "echo '{\"energy_ev\"' > $3"}, "bad_output", "ends before"),
    ],
)
def test_every_failure_has_its_reason(attempt, scratch, changes, reason, words):
    failure = attempt(**({"max_repairs": 0} | changes))
    assert isinstance(failure, LabelFailure)
    assert (failure.reason, words in failure.message) == (reason, True), failure.message
    assert "\n" not in failure.message
    assert failure.evidence == scratch
    assert {"run_gpaw.py", "try-1.json", "try-1.out"} <= {path.name for path in scratch.iterdir()}


def test_a_repair_finds_the_same_label(attempt):
    repaired, plain = attempt(max_scf_steps=3), attempt()
    assert repaired.repairs.startswith("not converged with mixing_beta 0.05")
    assert repaired.fingerprint == plain.fingerprint
    assert repaired.energy_ev == pytest.approx(plain.energy_ev, abs=1e-5)


def test_an_ended_label_leaves_no_process(attempt):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    assert attempt(frame=skewed_cell() * (2, 2, 2), walltime_s=1.0).reason == "walltime"
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
