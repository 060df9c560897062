"""A campaign that learns from the real pw.x, some of whose labels fail."""

import shutil
import tarfile

import pytest
import yaml
from espresso_cases import GTH_AL, program, settings, skewed_cell
from tiny_campaign import check_books, events, prepare, run_tiny, tiny_config, tiny_settings

import workflow.tasks.context
from qm.espresso.gth import convert
from qm.fingerprint import label_id
from workflow.dataset import Dataset
from workflow.labellers import make_labeller
from workflow.launch import main
from workflow.launching.plan import make_plan
from workflow.storage.evidence import MOST_KEPT, keep_evidence
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, Provenance, ids, read_refusal, write_candidate
from workflow.tasks.label import label_candidates

GAMMA = {"k_spacing_per_ang": 9.0, "k_shift": [0, 0, 0], "wavefunction_cutoff_ry": 16.0}
EVERY_FOURTH_FAILS = '[ $(( $(cksum < "$2" | cut -d" " -f1) % 4 )) -eq 0 ] && kill -9 $$; exec pw.x "$@"'


@pytest.fixture
def pseudopotential(tmp_path):
    path = tmp_path / "Al.upf"
    path.write_text(convert(GTH_AL, "Al"))
    return path


@pytest.fixture
def begin(pseudopotential, tmp_path, monkeypatch):
    """Make a directory as a launch does, with candidates; return its paths."""

    def begin(frames, **changes):
        monkeypatch.setattr(workflow.tasks.context, "_sources", {})
        source = settings(pseudopotential, **(GAMMA | changes))
        paths = prepare(tmp_path / "campaign", tiny_config(labeller=source.model_dump(mode="json")))
        paths.make()
        level = make_labeller(source).fingerprint
        names = [label_id(frame, level) for frame in frames]
        for name, frame in zip(names, frames, strict=True):
            write_candidate(paths.candidates, Candidate(name, frame, Provenance(source="bootstrap")))
        return paths, names

    return begin


needs_pw = pytest.mark.skipif(shutil.which("pw.x") is None, reason="no pw.x")


@pytest.mark.dft
@needs_pw
def test_failures_go_to_quarantine_with_what_they_left_and_the_rest_is_labelled(begin):
    good, close = skewed_cell(), skewed_cell()
    close.positions[1] = close.positions[0]
    paths, names = begin([close, good])
    first, second = label_candidates(str(paths.directory), names, [True, True])
    assert (first.ok, first.quarantined, first.reason) == (False, True, "unphysical")
    assert second.ok
    assert ids(paths.labels) == {names[1]}
    assert "overlap" in read_refusal(next(paths.quarantine.iterdir())).message
    with tarfile.open(paths.failed_labels / f"{names[0]}.tar.gz") as archive:
        kept = {name.rpartition("/")[2] for name in archive.getnames()}
    assert {"try-1.pwi", "try-1.pwo", "try-1.err"} <= kept
    assert list(paths.scratch.iterdir()) == []


@pytest.mark.dft
@needs_pw
def test_no_calculation_that_has_not_converged_enters_the_data_set(begin, tmp_path):
    """Neither one that says so, nor one told to go on, which says that it has converged."""
    told = program(
        tmp_path / "pw", "sed -i 's/&ELECTRONS/&\\n scf_must_converge = .false./' $2; exec pw.x \"$@\""
    )
    for command in ("pw.x", told):
        paths, names = begin([skewed_cell()], command=command, max_scf_steps=2, max_repairs=0)
        (outcome,) = label_candidates(str(paths.directory), names, [True])
        assert (outcome.ok, outcome.reason) == (False, "not_converged")
        assert ids(paths.labels) == set()
        shutil.rmtree(paths.directory)


@pytest.mark.dft
@pytest.mark.slow
@needs_pw
def test_a_campaign_goes_on_although_labels_fail(pseudopotential, tmp_path):
    command = program(tmp_path / "pw", EVERY_FOURTH_FAILS)
    source = settings(pseudopotential, command=command, **GAMMA).model_dump(mode="json")
    config = tiny_config(
        labeller=source,
        bootstrap__n_frames=10,
        labelling__attempts=1,
        synchronisation__min_new_labels=6,
        stop__max_rounds=1,
        breaker__max_failures=6,
    )
    ending = run_tiny(tmp_path / "campaign", config)
    assert ending.state == "budget_spent"
    dataset = check_books(tmp_path / "campaign")
    assert {r.label.code for r in dataset.snapshot().records()} == {"espresso"}
    labelled = events(tmp_path / "campaign", "labelled")
    assert {event["reason"] for event in labelled} == {"", "killed"}


def test_a_launch_notes_checksums_and_refuses_what_has_changed(pseudopotential, tmp_path, capsys):
    file, directory = tmp_path / "my.yaml", tmp_path / "campaign"
    source = settings(pseudopotential, **GAMMA).model_dump(mode="json")
    file.write_text(yaml.safe_dump(tiny_settings(labeller=source)))
    arguments = ["--site", "local", "--campaign", str(file), "--directory", str(directory), "--dry-run"]
    assert main(arguments) == 0
    capsys.readouterr()

    run_tiny(directory, make_plan("local", file, directory, ["stop.max_hours=1e-9"], resume=False).config)
    assert Dataset.open(CampaignPaths(directory).dataset).snapshot().n_labels == 0
    capsys.readouterr()

    pseudopotential.write_text(pseudopotential.read_text() + "\n")
    for words in (["--resume", "--directory", str(directory)], [*arguments[2:-1], "--resume"]):
        assert main(["--site", "local", *words, "--dry-run"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "sha256" in error
        assert "changed" in error or "cannot change" in error


def test_archives_are_bounded_and_a_failure_to_keep_is_none_of_the_label(tmp_path):
    scratch, kept = tmp_path / "scratch", tmp_path / "kept"
    scratch.mkdir()
    (scratch / "out").write_text("x")
    names = [f"{number:03d}" for number in range(MOST_KEPT + 3)]
    for name in names:
        assert keep_evidence(scratch, kept, name) == kept / f"{name}.tar.gz"
    assert sorted(path.name[:3] for path in kept.iterdir()) == names[3:]
    (tmp_path / "file").touch()
    assert keep_evidence(scratch, tmp_path / "file" / "inside", "a") is None
