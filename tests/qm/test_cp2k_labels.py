"""Labels and failures of the real CP2K."""

import os
import subprocess

import numpy as np
import psutil
import pytest
from cp2k_cases import GAMMA, loose_cell, settings
from dft_cases import MPI, force_along, labelled, stress_along
from espresso_cases import program

from qm.checks import check_label
from qm.config import CheckConfig
from qm.cp2k.labeller import Cp2kLabeller
from qm.label import LabelFailure

pytestmark = pytest.mark.dft

FINE = {"cutoff_ry": 240.0, "relative_cutoff_ry": 60.0, "accuracy": 1e-12}
EDIT = "sed -i '{edit}' $2; exec cp2k \"$@\""
"""Changes the input, whose name is the second argument, behind our back."""


@pytest.fixture
def scratch(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


@pytest.fixture
def attempt(cp2k_here, tmp_path, scratch):
    """Label a frame with some settings changed, or with a script in the place of cp2k."""

    def attempt(frame=None, script=None, **changes):
        if script is not None:
            changes["command"] = program(tmp_path / "cp2k", script)
        return Cp2kLabeller(settings(cp2k_here, **(GAMMA | changes))).label(frame or loose_cell(), scratch)

    return attempt


@pytest.fixture(scope="module")
def plain(cp2k_here, tmp_path_factory):
    """The label of the loose cell with one k-point."""
    return labelled(
        Cp2kLabeller(settings(cp2k_here, **GAMMA)), loose_cell(), tmp_path_factory.mktemp("plain")
    )


def test_a_label_is_complete_its_forces_and_stress_derivatives_of_the_energy(cp2k_here, scratch):
    """Smeared so widely that energies with and without entropy have very different derivatives."""
    labeller = Cp2kLabeller(settings(cp2k_here, **FINE, electronic_temperature_k=10000.0))
    label = labelled(labeller, loose_cell(), scratch)
    assert list(scratch.iterdir()) == []
    assert check_label(loose_cell(), label, CheckConfig(), labeller.fingerprint) is None
    assert (label.code, label.version, label.repairs) == ("cp2k", "2023.1", "")
    expected, found = force_along(labeller, loose_cell(), label, scratch, 0.02)
    assert abs(found) > 0.05
    assert found == pytest.approx(expected, abs=0.003)
    expected, found = stress_along(labeller, loose_cell(), label, scratch, 0.005)
    assert abs(found) > 0.02
    assert found == pytest.approx(expected, abs=5e-4)


def test_left_handed_cells_and_moved_atoms_have_the_same_energy(cp2k_here, scratch):
    labeller = Cp2kLabeller(settings(cp2k_here))
    frame = loose_cell()
    mirrored, moved = frame.copy(), frame.copy()
    mirrored.set_cell(frame.cell.array[[1, 0, 2]])
    moved.positions[0] += 2 * frame.cell[0] - frame.cell[2]
    reference = labelled(labeller, frame, scratch).energy_ev
    for other in (mirrored, moved):
        assert labelled(labeller, other, scratch).energy_ev == pytest.approx(reference, abs=1e-5)


def test_the_mesh_of_one_cell_is_half_that_of_two(cp2k_here, scratch):
    """With Γ in both, the bands of the larger cell fold onto those of the smaller."""
    labeller = Cp2kLabeller(settings(cp2k_here, k_spacing_per_ang=1.2, k_shift=[0, 0, 0]))
    frame = loose_cell()
    large = frame * (1, 1, 2)
    one, two = (labelled(labeller, cell, scratch).energy_ev for cell in (frame, large))
    assert two == pytest.approx(2.0 * one, abs=2e-3)


def test_spin_and_charge_reach_the_program(cp2k_here, plain, scratch):
    def energy(**changes):
        labeller = Cp2kLabeller(settings(cp2k_here, **(GAMMA | changes)))
        return labelled(labeller, loose_cell(), scratch).energy_ev

    polarised = energy(starting_moments_ub={"Al": 1.0})
    assert polarised == pytest.approx(plain.energy_ev, abs=1e-3)  # it has no moment
    assert abs(energy(charge_e=1) - plain.energy_ev) > 1.0


def test_two_ranks_make_the_same_label_even_within_an_mpi_job(cp2k_here, plain, scratch, monkeypatch):
    """Were the variables of the job not cleared, CP2K would try to join it."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK"):
        monkeypatch.setenv(name, "7")
    several = Cp2kLabeller(settings(cp2k_here, **GAMMA, ranks=2, environment=MPI))
    label = labelled(several, loose_cell(), scratch)
    assert label.energy_ev == pytest.approx(plain.energy_ev, abs=1e-5)
    assert label.core_s == pytest.approx(2.0 * label.wall_s)
    assert label.fingerprint == plain.fingerprint


def apart(distance_ang):
    frame = loose_cell()
    frame.positions[1] = frame.positions[0] + [distance_ang, 0.0, 0.0]
    return frame


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"max_scf_steps": 3, "max_repairs": 0}, "not_converged", "did not converge"),
        ({"walltime_s": 0.3}, "walltime", "ended after"),
        ({"max_memory_gib": 0.3, "cutoff_ry": 20000.0}, "out_of_memory", "not enough memory"),
        ({"frame": apart(0.0)}, "unphysical", "GEOMETRY wrong"),
        ({"frame": apart(0.01)}, "unphysical", "too large to be printed"),
        ({"functional": "FOO"}, "bad_input", "unknown subsection FOO"),
        ({"version": "2024.1"}, "bad_input", "version 2023.1; expected 2024.1"),
        ({"script": 'rm POTENTIALS; exec cp2k "$@"'}, "bad_input", "<POTENTIALS> cannot be opened"),
        ({"script": 'echo > BASIS_SETS; exec cp2k "$@"'}, "bad_input", "basis set <TINY-GTH>"),
        ({"script": EDIT.format(edit="s/ CUTOFF .*/ CUTOFF NaN/")}, "bad_input", "error:"),
        ({"script": 'cp2k "$@" & sleep 0.2; kill -9 $!; wait $!'}, "killed", "signal 9"),
        ({"script": 'cp2k "$@" > whole; head -c 9000 whole'}, "bad_output", "ends before"),
        ({"script": "head -c 9000 /dev/urandom"}, "bad_output", "ends before"),
        ({"script": "echo no licence >&2; exit 4"}, "bad_output", "exit status 4: no licence"),
        ({"script": EDIT.format(edit="s/EPS_SCF.*/EPS_SCF 1e-2/")}, "not_converged", "still changes by"),
    ],
)
def test_every_failure_has_its_reason(attempt, scratch, changes, reason, words):
    failure = attempt(**({"max_repairs": 0} | changes))
    assert isinstance(failure, LabelFailure)
    assert (failure.reason, words in failure.message) == (reason, True), failure.message
    assert "\n" not in failure.message
    assert failure.evidence == scratch
    assert {"try-1.inp", "try-1.out"} <= {path.name for path in scratch.iterdir()}
    assert not any(path.is_dir() for path in scratch.iterdir())


def test_a_repair_goes_on_from_the_orbitals_and_finds_the_same_label(attempt, plain):
    repaired = attempt(max_scf_steps=4)
    assert repaired.repairs == "not converged with BROYDEN_MIXING 0.4, 4 steps"
    assert repaired.fingerprint == plain.fingerprint
    assert repaired.energy_ev == pytest.approx(plain.energy_ev, abs=1e-5)
    assert np.allclose(repaired.forces_ev_per_ang, plain.forces_ev_per_ang, atol=1e-3)


def test_every_repair_is_an_input_that_the_program_takes(attempt):
    failure = attempt(script=EDIT.format(edit="s/MAX_SCF.*/MAX_SCF 2/"))
    assert failure.reason == "not_converged"
    outputs = [(failure.evidence / f"try-{number}.out").read_text() for number in (1, 2, 3, 4)]
    assert all("SCF run NOT converged" in text for text in outputs)
    guesses = [text.partition("Density guess:")[2].split()[0] for text in outputs]
    assert guesses == ["ATOMIC", "RESTART", "ATOMIC", "ATOMIC"]
    methods = [text.partition("Mixing method:")[2].split()[0] for text in outputs]
    assert methods == ["BROYDEN_MIXING", "BROYDEN_MIXING", "PULAY_MIXING", "KERKER_MIXING"]


def test_the_last_repair_converges_too(attempt, plain):
    """Only the last way is let have steps enough; its lines in the output are laid out in another way."""
    few = "grep -q KERKER $2 || sed -i 's/MAX_SCF.*/MAX_SCF 1/' $2; exec cp2k \"$@\""
    repaired = attempt(script=few)
    assert "PULAY_MIXING 0.1" in repaired.repairs
    assert repaired.energy_ev == pytest.approx(plain.energy_ev, abs=1e-5)


def test_an_ended_label_leaves_no_process(attempt):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    failure = attempt(frame=loose_cell() * (2, 2, 2), walltime_s=1.0, ranks=2, environment=MPI)
    assert failure.reason == "walltime"
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_full_scratch_disk_is_no_fault_of_the_frame(attempt, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12k", "none", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small file system")
    try:
        failure = attempt(scratch=str(mount))
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
    assert failure.reason == "killed"
    assert "scratch directory" in failure.message
