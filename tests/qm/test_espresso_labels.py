"""Labels by the real pw.x against the physics they must obey."""

import numpy as np
import pytest
from ase.build import bulk
from ase.eos import EquationOfState
from dft_cases import MPI, force_along, labelled, stress_along
from espresso_cases import settings, skewed_cell

from qm.checks import check_label
from qm.config import CheckConfig
from qm.espresso.labeller import EspressoLabeller

pytestmark = pytest.mark.dft

GPA_PER_EV_ANG3 = 160.21766


@pytest.fixture(scope="module")
def labeller(al_upf):
    """Smeared so widely that E, F and what lies between them have very different derivatives."""
    return EspressoLabeller(settings(al_upf, smearing="gaussian", smearing_width_ry=0.1))


@pytest.fixture(scope="module")
def label(labeller, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    label = labelled(labeller, skewed_cell(), scratch)
    assert list(scratch.iterdir()) == []
    return label


def energy(labeller, frame, scratch):
    return labelled(labeller, frame, scratch).energy_ev


def test_a_label_is_complete_and_passes_the_checks(labeller, label):
    assert check_label(skewed_cell(), label, CheckConfig(), labeller.fingerprint) is None
    assert (label.code, label.version, label.repairs) == ("espresso", "6.7MaX", "")
    assert label.core_s == label.wall_s > 0.0


def test_forces_are_the_gradient_of_the_energy(labeller, label, tmp_path):
    expected, found = force_along(labeller, skewed_cell(), label, tmp_path, 0.02)
    assert abs(found) > 0.3
    assert found == pytest.approx(expected, abs=0.005)


def test_stress_is_the_strain_derivative_positive_under_tension(al_upf, tmp_path):
    """With a high cutoff: the waves of a strained cell are others, which counts as stress at a low one."""
    labeller = EspressoLabeller(settings(al_upf, smearing="gaussian", wavefunction_cutoff_ry=60.0))
    label = labelled(labeller, skewed_cell(), tmp_path)
    expected, found = stress_along(labeller, skewed_cell(), label, tmp_path, 0.005)
    assert abs(found) > 0.02
    assert found == pytest.approx(expected, abs=5e-4)
    components = label.stress_ev_per_ang3[np.triu_indices(3)]
    assert len({round(abs(x), 3) for x in components}) == 6  # so that their order shows


@pytest.mark.slow
def test_fcc_aluminium_is_that_of_published_pbe(al_upf, tmp_path):
    labeller = EspressoLabeller(settings(al_upf, k_spacing_per_ang=0.27, smearing_width_ry=0.02))
    volumes, energies = [], []
    for a in np.linspace(3.92, 4.16, 5):
        crystal = bulk("Al", a=a)
        volumes.append(crystal.get_volume())
        energies.append(energy(labeller, crystal, tmp_path))
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    assert (4.0 * volume) ** (1.0 / 3.0) == pytest.approx(4.04, rel=0.005)
    assert modulus * GPA_PER_EV_ANG3 == pytest.approx(77.5, rel=0.05)


def test_translated_wrapped_and_left_handed_cells_have_the_same_energy(labeller, label, tmp_path):
    frame = skewed_cell()
    mirrored = frame.copy()
    mirrored.set_cell(frame.cell.array[[1, 0, 2]])
    moved = frame.copy()
    moved.positions[0] += 2 * frame.cell[0] - frame.cell[2]
    for other in (mirrored, moved):
        assert energy(labeller, other, tmp_path) == pytest.approx(label.energy_ev, abs=1e-5)


def test_spin_and_charge_reach_the_program(al_upf, tmp_path):
    frame = bulk("Al", a=4.04)
    plain = energy(EspressoLabeller(settings(al_upf)), frame, tmp_path)
    polarised = EspressoLabeller(settings(al_upf, starting_magnetization={"Al": 0.5}))
    assert energy(polarised, frame, tmp_path) == pytest.approx(plain, abs=1e-3)  # aluminium has no moment
    charged = EspressoLabeller(settings(al_upf, charge_e=1.0))
    assert abs(energy(charged, frame, tmp_path) - plain) > 1.0


def test_two_ranks_make_the_same_label_even_within_an_mpi_job(al_upf, tmp_path, monkeypatch):
    """Were the variables of the job not cleared, pw.x would try to join it."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK"):
        monkeypatch.setenv(name, "7")
    gamma = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0], "environment": MPI}
    launcher = "mpirun -n {ranks} --bind-to none --oversubscribe"
    several = EspressoLabeller(settings(al_upf, ranks=2, launcher=launcher, **gamma))
    alone = EspressoLabeller(settings(al_upf, **gamma))
    labels = [labelled(source, skewed_cell(), tmp_path) for source in (several, alone)]
    assert labels[0].energy_ev == pytest.approx(labels[1].energy_ev, abs=1e-5)
    assert labels[0].core_s == pytest.approx(2.0 * labels[0].wall_s)
    assert several.fingerprint == alone.fingerprint
