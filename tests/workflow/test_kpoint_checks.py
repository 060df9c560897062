"""Labels made a second time with more k-points: what is found; no kill loses it or counts it twice."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from espresso_cases import GTH_AL, program, settings, skewed_cell
from pydantic import ValidationError
from synthetic_campaign import SyntheticCampaign, two_rounds
from tiny_campaign import Killed, Watcher, check_books, events, prepare, run_tiny, tiny_config

import workflow.tasks.context
from potentials.training.training_set import is_validation
from qm.espresso.gth import convert
from qm.fingerprint import label_id
from qm.kpoints import finer_spacing, mesh
from workflow.kpoint_noise import kpoint_noise
from workflow.labellers import make_labeller, with_finer_mesh
from workflow.report import write_report
from workflow.state import load_state
from workflow.status import main as status
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, Provenance, ids, item_path, read_label, write_candidate
from workflow.tasks.kpoints import check_kpoints, is_checked
from workflow.tasks.label import label_candidates

GAMMA = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0], "wavefunction_cutoff_ry": 16.0}
DENSER_FAILS = 'grep -q gamma "$2" || kill -9 $$; exec pw.x "$@"'

needs_pw = pytest.mark.skipif(shutil.which("pw.x") is None, reason="no pw.x")


@pytest.fixture
def pseudopotential(tmp_path):
    path = tmp_path / "Al.upf"
    path.write_text(convert(GTH_AL, "Al"))
    return path


@pytest.fixture
def labelled(pseudopotential, tmp_path, monkeypatch):
    """Label one frame in a campaign that checks every label; return its paths, its id and its settings."""

    def labelled(**changes):
        monkeypatch.setattr(workflow.tasks.context, "_sources", {})
        source = settings(pseudopotential, **(GAMMA | changes))
        config = tiny_config(labeller=source.model_dump(mode="json"), labelling__kpoint_check_every=1)
        paths = prepare(tmp_path / "campaign", config)
        paths.make()
        id_ = label_id(skewed_cell(), make_labeller(source).fingerprint)
        write_candidate(paths.candidates, Candidate(id_, skewed_cell(), Provenance(source="bootstrap")))
        (outcome,) = label_candidates(str(paths.directory), [id_], [True])
        assert outcome.ok, outcome.message
        return paths, id_, source

    return labelled


@pytest.mark.parametrize(
    ("cell", "spacing"),
    [([5.0, 5.0, 5.0], 0.45), ([5.0, 6.0, 9.0], 9.0), ([3.0, 4.0, 40.0], 0.5), ([12.0, 12.0, 12.0], 0.5)],
)
def test_the_finer_mesh_has_more_points_but_not_many_more(cell, spacing):
    frame = Atoms(cell=cell, pbc=True)
    before, after = (mesh(frame, s) for s in (spacing, finer_spacing(frame, spacing, 0.6)))
    assert np.prod(before) < np.prod(after) <= 8 * np.prod(before)
    assert all(a >= b for a, b in zip(after, before, strict=True))


def test_the_finer_mesh_counts_from_the_mesh_there_is():
    """A spacing that is far above the cell's own would give Γ alone a second time."""
    frame = bulk("Al", a=4.05, cubic=True)
    assert mesh(frame, 9.0) == (1, 1, 1)
    assert mesh(frame, finer_spacing(frame, 9.0, 0.6)) == (2, 2, 2)
    assert mesh(frame, finer_spacing(frame, 0.4, 0.6)) == (7, 7, 7)  # from 4


def test_which_labels_are_checked_is_as_good_as_random():
    hashes = [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(4000)]
    chosen = [id_ for id_ in hashes if is_checked(id_, 10)]
    assert len(chosen) == pytest.approx(400, abs=80)
    assert sum(is_validation(id_, 0.25) for id_ in chosen) == pytest.approx(0.25 * len(chosen), abs=40)
    assert not any(is_checked(id_, 0) for id_ in hashes)
    assert all(is_checked(id_, 1) for id_ in hashes)


@pytest.mark.dft
@needs_pw
def test_a_check_finds_the_difference_and_leaves_the_label_alone(labelled, tmp_path):
    paths, id_, source = labelled()
    label = read_label(item_path(paths.labels, id_)).label
    before = item_path(paths.labels, id_).read_bytes()
    check = check_kpoints(str(paths.directory), id_)
    finer = with_finer_mesh(source, skewed_cell(), 0.6)
    better = make_labeller(finer).label(skewed_cell(), tmp_path)
    assert check.ok, check.message
    assert (check.mesh, check.denser_mesh) == ("1×1×1", "2×2×2")
    assert check.energy_mev_per_atom == pytest.approx(500.0 * (label.energy_ev - better.energy_ev), abs=0.01)
    forces = label.forces_ev_per_ang - better.forces_ev_per_ang
    assert check.force_rms_ev_per_ang == pytest.approx(np.sqrt(np.mean(forces**2)), abs=1e-4)
    stress = label.stress_ev_per_ang3 - better.stress_ev_per_ang3
    assert check.stress_rms_ev_per_ang3 == pytest.approx(np.sqrt(np.mean(stress**2)), abs=1e-5)
    assert abs(check.energy_mev_per_atom) > 10.0  # Γ alone is a bad mesh
    assert item_path(paths.labels, id_).read_bytes() == before
    assert ids(paths.labels) == {id_}


@pytest.mark.dft
@needs_pw
def test_a_check_that_was_done_is_not_done_again(labelled, pseudopotential):
    paths, id_, _ = labelled()
    check = check_kpoints(str(paths.directory), id_)
    pseudopotential.unlink()  # with which nothing could be calculated
    assert check_kpoints(str(paths.directory), id_) == check


@pytest.mark.dft
@needs_pw
def test_a_check_that_fails_says_why_and_the_label_stays(labelled, tmp_path):
    paths, id_, _ = labelled(command=program(tmp_path / "pw", DENSER_FAILS))
    check = check_kpoints(str(paths.directory), id_)
    assert (check.ok, check.reason) == (False, "killed")
    assert ids(paths.labels) == {id_}
    assert list(paths.quarantine.iterdir()) == []
    assert list(paths.scratch.iterdir()) == []


def checked_campaign(pseudopotential, **changes):
    """Return settings of a campaign whose labelling pauses with its first failure."""
    return tiny_config(
        labeller=settings(pseudopotential, **(GAMMA | changes)).model_dump(mode="json"),
        labelling__kpoint_check_every=2,
        builder__side_ang=[3.8, 4.2],
        builder__density_g_per_cm3=[2.0, 2.2],
        bootstrap__n_frames=12,
        synchronisation__min_new_labels=6,
        stop__max_rounds=1,
        breaker__max_failures=1,
    )


def expected_ids(directory):
    return [id_ for id_ in check_books(directory).ids if is_checked(id_, 2)]


@pytest.mark.dft
@needs_pw
def test_a_killed_campaign_checks_every_chosen_label_once(pseudopotential, tmp_path, capsys):
    def kill(state):
        if len(state.kpoint_checks) == 2:
            raise Killed

    with pytest.raises(Killed):
        run_tiny(tmp_path, checked_campaign(pseudopotential), watcher=Watcher(kill))
    assert load_state(tmp_path).kpoint_checks
    run_tiny(tmp_path)
    done = [event["id"] for event in events(tmp_path, "kpoints_checked")]
    late = ids(CampaignPaths(tmp_path).kpoint_checks)  # of labels that came when the end was decided
    assert sorted([*done, *late]) == sorted(expected_ids(tmp_path))
    assert len(done) > 2
    noise = kpoint_noise(load_state(tmp_path).kpoint_checks)
    assert (noise.n_labels, noise.n_failed) == (len(done), 0)
    capsys.readouterr()
    assert status([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"energy {noise.energy_rms_mev_per_atom:.2f} meV/atom" in said
    assert f"over {len(done)} labels" in said


@pytest.mark.dft
@needs_pw
def test_failed_checks_are_counted_and_stop_nothing(pseudopotential, tmp_path):
    """Also where more fail than would pause the labelling."""
    config = checked_campaign(pseudopotential, command=program(tmp_path / "pw", DENSER_FAILS))
    directory = tmp_path / "campaign"
    ending = run_tiny(directory, config)
    assert ending.state == "budget_spent"
    noise = kpoint_noise(load_state(directory).kpoint_checks)
    assert noise.n_labels == 0
    assert noise.n_failed > 2
    assert noise.energy_rms_mev_per_atom is None


def record_checks(campaign):
    for number, (energy, force, n_atoms) in enumerate([(3.0, 0.1, 8), (-4.0, 0.2, 24)]):
        campaign.record(
            "kpoints_checked",
            id=f"{number:032x}",
            ok=True,
            reason="",
            n_atoms=n_atoms,
            energy_mev_per_atom=energy,
            force_rms_ev_per_ang=force,
            stress_rms_ev_per_ang3=None,
            wall_s=1800.0,
            core_s=3600.0,
        )


def test_noise_is_the_mean_square_over_labels_and_over_components(tmp_path, capsys):
    campaign = two_rounds(tmp_path)
    for _ in range(2):  # a second event of the same label does not count
        record_checks(campaign)
    campaign.record("kpoints_checked", id="f" * 32, ok=False, reason="walltime", wall_s=60.0, core_s=0.0)
    assert status([str(tmp_path), "--json"]) == 0
    noise = json.loads(capsys.readouterr().out)["kpoint_noise"]
    assert noise["energy_rms_mev_per_atom"] == pytest.approx(np.sqrt((9.0 + 16.0) / 2))
    assert noise["force_rms_ev_per_ang"] == pytest.approx(np.sqrt((8 * 0.01 + 24 * 0.04) / 32))
    assert noise["stress_rms_gpa"] is None
    assert (noise["n_labels"], noise["n_failed"], noise["core_h"]) == (2, 1, 2.0)
    assert status([str(tmp_path)]) == 0
    assert (
        "energy 3.54 meV/atom, force 180.3 meV/Å over 2 labels; failed checks: 1" in capsys.readouterr().out
    )
    page = write_report(tmp_path).read_text()
    assert "k-point noise of the labels (dashed): energy 3.54 meV/atom" in page


def test_without_checks_nothing_is_said_of_them(tmp_path, capsys):
    SyntheticCampaign(tmp_path).start()
    assert status([str(tmp_path)]) == 0
    assert "k-point" not in capsys.readouterr().out


def test_checks_of_a_source_without_k_points_are_refused():
    with pytest.raises(ValidationError, match=r"kpoint_check_every = 5 needs .* k-points; .* eam has none"):
        tiny_config(labelling__kpoint_check_every=5)
