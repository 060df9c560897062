"""Every way in which pw.x fails, provoked for real, and what is made of it."""

import os
import subprocess

import numpy as np
import psutil
import pytest
from espresso_cases import program, settings, skewed_cell

from qm.checks import check_label
from qm.config import CheckConfig
from qm.espresso.labeller import EspressoLabeller
from qm.label import Label, LabelFailure

pytestmark = pytest.mark.dft

GAMMA = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0]}
"""One k-point, for speed."""

EDIT = "sed -i '{edit}' $2; exec pw.x \"$@\""
"""Changes the input, whose name is the second argument, behind our back."""


@pytest.fixture
def attempt(al_upf, tmp_path):
    """Label a frame with some settings changed, or with a script in the place of pw.x."""

    def attempt(frame=None, script=None, **changes):
        if script is not None:
            changes["command"] = program(tmp_path / "pw", script)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        return EspressoLabeller(settings(al_upf, **(GAMMA | changes))).label(frame or skewed_cell(), scratch)

    return attempt


def apart(distance_ang):
    frame = skewed_cell()
    frame.positions[1] = frame.positions[0] + [distance_ang, 0.0, 0.0]
    return frame


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"max_scf_steps": 2, "max_repairs": 0}, "not_converged", "convergence was not achieved"),
        ({"walltime_s": 0.4}, "walltime", "ended after"),
        ({"max_memory_gib": 0.2, "density_cutoff_ry": 4000.0}, "out_of_memory", "not enough memory"),
        ({"frame": apart(0.0)}, "unphysical", "check_atoms: atoms"),
        ({"frame": apart(0.01)}, "unphysical", "too large to be printed"),
        ({"functional": "PBESOL"}, "bad_input", "ask for functional PBE; the settings name PBESOL"),
        ({"system": {"input_dft": "PZ"}}, "bad_input", "ask for functional PZ; the settings name PBE"),
        ({"system": {"colour": 1}}, "bad_input", "read_namelists"),
        ({"command": "pw.x -nk 7", "ranks": 1}, "bad_input", "invalid number of pools"),
        ({"version": "7.3"}, "bad_input", "version 6.7MaX; expected 7.3"),
        ({"script": 'rm *.upf; exec pw.x "$@"'}, "bad_input", "Al.upf not found"),
        ({"script": 'echo > Al.upf; exec pw.x "$@"'}, "bad_input", "Al.upf not readable"),
        ({"script": EDIT.format(edit="s/ecutwfc.*/ecutwfc = NaN/")}, "bad_input", "error in routine"),
        ({"script": 'pw.x "$@" & sleep 0.2; kill -9 $!; wait $!'}, "killed", "signal 9"),
        ({"script": 'pw.x "$@" & sleep 0.2; kill -SEGV $!; wait $!'}, "killed", "signal 11"),
        ({"script": "head -c 9000 /dev/urandom"}, "bad_output", "ends before the calculation did"),
        (
            {"script": 'pw.x "$@" > whole; head -c 8000 whole'},
            "bad_output",
            "ends before the calculation did",
        ),
        (
            {"script": "pw.x \"$@\" | sed 's/type  1   force =.*/type  1   force = 1/'"},
            "bad_output",
            "cannot be read",
        ),
        ({"script": "echo no licence >&2; exit 4"}, "bad_output", "exit status 4: no licence"),
        ({"command": "/bin/no-such-pw"}, "bad_output", "status 127: /bin/no-such-pw: No such file"),
    ],
)
def test_every_failure_has_its_reason(attempt, tmp_path, changes, reason, words):
    failure = attempt(**changes)
    assert isinstance(failure, LabelFailure)
    assert (failure.reason, words in failure.message) == (reason, True), failure.message
    assert "\n" not in failure.message
    assert failure.wall_s > 0.0
    assert failure.evidence == tmp_path / "scratch"
    assert {"try-1.pwi", "try-1.pwo"} <= {path.name for path in failure.evidence.iterdir()}
    assert not any(path.is_dir() for path in failure.evidence.iterdir())


def test_its_own_time_limit_is_a_walltime(attempt):
    slow = "s/&CONTROL/\\&CONTROL\\n max_seconds = 1/"
    failure = attempt(frame=skewed_cell() * (2, 2, 3), script=EDIT.format(edit=slow))
    assert (failure.reason, "max_seconds" in failure.message) == ("walltime", True)


def test_results_of_a_run_told_to_go_on_unconverged_are_no_label(attempt):
    """Its output says that convergence has been achieved."""
    told = "s/&ELECTRONS/\\&ELECTRONS\\n scf_must_converge = .false./"
    failure = attempt(script=EDIT.format(edit=told), max_scf_steps=3, max_repairs=0)
    assert failure.reason == "not_converged"
    assert "estimated error of the energy" in failure.message
    assert "convergence has been achieved" in (failure.evidence / "try-1.pwo").read_text()


def test_atoms_too_close_converge_and_are_refused_by_the_checks(attempt):
    frame = apart(0.6)
    label = attempt(frame=frame)
    assert isinstance(label, Label)
    assert np.abs(label.forces_ev_per_ang).max() > 100.0
    assert check_label(frame, label, CheckConfig(), label.fingerprint).reason == "unphysical"


@pytest.mark.parametrize("size", ["64k", "188k"])
def test_a_full_scratch_disk_is_no_fault_of_the_frame(attempt, tmp_path, size):
    """With 188 kB the input fits, and pw.x goes on to its end without being able to print all it has."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small file system")
    try:
        failure = attempt(scratch=str(mount))
        left = list(mount.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
    assert failure.reason == "killed"
    assert "scratch directory" in failure.message
    assert left == []


def test_a_repair_goes_on_from_the_density_and_finds_the_same_label(attempt, al_upf, tmp_path):
    repaired = attempt(max_scf_steps=4)
    plain = EspressoLabeller(settings(al_upf, **GAMMA)).label(skewed_cell(), tmp_path)
    assert isinstance(repaired, Label), repaired
    assert repaired.repairs == "not converged with mixing_beta 0.7 plain, david, 4 steps"
    assert repaired.fingerprint == plain.fingerprint
    assert repaired.energy_ev == pytest.approx(plain.energy_ev, abs=1e-6)
    assert np.allclose(repaired.forces_ev_per_ang, plain.forces_ev_per_ang, atol=1e-3)


@pytest.mark.slow
def test_every_repair_is_an_input_that_the_program_takes(attempt):
    """Each rung fails in its second step; the last one, with no step left to save, is told in the message."""
    script = EDIT.format(edit="s/electron_maxstep.*/electron_maxstep = 2/")
    failure = attempt(script=script)
    assert failure.reason == "not_converged"
    assert failure.message.count("mixing_beta") == 4
    assert "mixing_beta 0.1 local-TF, cg" in failure.message
    outputs = [failure.evidence / f"try-{number}.pwo" for number in (1, 2, 3, 4)]
    assert all("convergence NOT achieved" in path.read_text() for path in outputs)
    assert "The initial density is read from file" in outputs[1].read_text()
    assert "local-TF" in outputs[2].read_text()


def test_an_ended_label_leaves_no_process(attempt):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    failure = attempt(frame=skewed_cell() * (2, 2, 2), walltime_s=1.0)
    assert failure.reason == "walltime"
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_frames_that_are_not_periodic_are_bad_input(attempt):
    frame = skewed_cell()
    frame.pbc = (True, True, False)
    failure = attempt(frame=frame)
    assert (failure.reason, failure.message) == ("bad_input", "frame is not periodic in three directions")
