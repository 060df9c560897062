"""A campaign that learns from a stand-in for VASP, with labels that fail and labels that are checked."""

import tarfile

import pytest
import yaml
from espresso_cases import skewed_cell
from tiny_campaign import check_books, events, prepare, run_tiny, tiny_config, tiny_settings
from vasp_cases import SECRET, settings

import workflow.tasks.context
from qm.fingerprint import label_id
from workflow.kpoint_noise import kpoint_noise
from workflow.labellers import make_labeller
from workflow.launch import main
from workflow.launching.plan import make_plan
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, Provenance, ids, write_candidate
from workflow.tasks.kpoints import is_checked
from workflow.tasks.label import label_candidates

FACTOR_OF_ONE_POINT, FACTOR_OF_EIGHT = 1.1, 1.0125
"""By which the stand-in multiplies all it finds with so many k-points."""


def test_a_campaign_learns_from_it_and_knows_the_noise_of_its_labels(tmp_path):
    config = tiny_config(
        labeller=settings(tmp_path, k_spacing_per_ang=9.0).model_dump(mode="json"),
        labelling__kpoint_check_every=3,
        builder__side_ang=[3.8, 4.2],
        builder__density_g_per_cm3=[2.0, 2.2],
        bootstrap__n_frames=12,
        synchronisation__min_new_labels=6,
        stop__max_rounds=1,
    )
    directory = tmp_path / "campaign"
    assert run_tiny(directory, config).state == "budget_spent"
    dataset = check_books(directory)
    records = {record.id: record for record in dataset.snapshot().records()}
    assert {record.label.code for record in records.values()} == {"vasp"}
    checks = events(directory, "kpoints_checked")
    late = ids(CampaignPaths(directory).kpoint_checks)
    assert {check["id"] for check in checks} | late == {id_ for id_ in records if is_checked(id_, 3)}
    assert checks
    for check in checks:
        label = records[check["id"]].label
        share = 1.0 - FACTOR_OF_EIGHT / FACTOR_OF_ONE_POINT
        assert (check["mesh"], check["denser_mesh"]) == ("1×1×1", "2×2×2")
        expected = 1000.0 * share * label.energy_ev / check["n_atoms"]
        assert check["energy_mev_per_atom"] == pytest.approx(expected, abs=1e-4)
    noise = kpoint_noise(load_state(directory).kpoint_checks)
    assert noise.n_labels == len(checks)
    assert noise.force_rms_ev_per_ang > 0.0


def test_what_a_failed_label_leaves_holds_no_potcar(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow.tasks.context, "_sources", {})
    source = settings(tmp_path, "zpotrf", scratch=str(tmp_path / "scratch"))
    paths = prepare(tmp_path / "campaign", tiny_config(labeller=source.model_dump(mode="json")))
    paths.make()
    name = label_id(skewed_cell(), make_labeller(source).fingerprint)
    write_candidate(paths.candidates, Candidate(name, skewed_cell(), Provenance(source="bootstrap")))
    (outcome,) = label_candidates(str(paths.directory), [name], [True])
    assert (outcome.ok, outcome.reason) == (False, "not_converged")
    with tarfile.open(paths.failed_labels / f"{name}.tar.gz") as archive:
        files = {member.name.rpartition("/")[2]: archive.extractfile(member) for member in archive}
        assert {"try-1.INCAR", "POSCAR", "KPOINTS", "POTCAR.titles"} <= set(files)
        assert not any(SECRET.encode() in file.read() for file in files.values())
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not any(
        SECRET in p.read_text() for p in paths.directory.rglob("*") if p.suffix in {".yaml", ".jsonl"}
    )


def test_a_launch_notes_title_checksum_and_version_and_refuses_another_potcar(tmp_path, capsys):
    file, directory = tmp_path / "my.yaml", tmp_path / "campaign"
    source = settings(tmp_path, version=None).model_dump(mode="json")
    file.write_text(yaml.safe_dump(tiny_settings(labeller=source)))
    labeller = make_plan("local", file, directory, [], resume=False).config.labeller
    assert labeller.version == "6.4.2"
    assert labeller.pseudopotentials["Al"].title == "PAW_PBE Al 04Jan2001"
    assert len(labeller.pseudopotentials["Al"].sha256) == 64
    potcar = tmp_path / "POTCAR.Al"
    potcar.write_text(potcar.read_text().replace("VRHFIN =Al", "VRHFIN =Cu"))
    words = ["--site", "local", "--campaign", str(file), "--directory", str(directory), "--dry-run"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "POTCAR.Al: is of Cu; expected Al" in error
