"""The campaign's logic in threads: how it ends, what overlaps, what it survives."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import yaml
from tiny_campaign import (
    AGREES,
    SETTINGS,
    Killed,
    Watcher,
    check_books,
    events,
    run_tiny,
    tiny_config,
    tiny_settings,
)
from unusual_pools import BreakingPool, HoldingPool, LosingPool

import workflow.campaign
import workflow.stages.training
from workflow.campaign import MAX_BREAKDOWNS
from workflow.dataset import Dataset
from workflow.execution.pool import PoolBrokenError
from workflow.lock import CampaignRunningError
from workflow.settings.errors import SettingsError
from workflow.settings.load import save_resolved
from workflow.state import load_state
from workflow.storage.extxyz import read_extxyz, write_extxyz
from workflow.storage.manifest import DatasetDamagedError
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, ids, read_refusal, write_candidate, write_label
from workflow.tasks.label import label_candidates
from workflow.tasks.rescore import rescore_candidates


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Held tasks are let go soon."""
    monkeypatch.setattr(workflow.campaign, "WATCH_EVERY_S", 0.05)


def edited(directory, **changes):
    """Edit the settings as a user does; ``stage__key=value``."""
    path = CampaignPaths(directory).settings
    data = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        stage, _, key = name.partition("__")
        if key:
            data[stage][key] = value
        else:
            data[stage] = value
    path.write_text(yaml.safe_dump(data))


def once(condition, action):
    """Return an observer's act that calls ``action`` the first time ``condition(state)`` holds."""
    done = []

    def act(state):
        if not done and condition(state):
            done.append(True)
            action()

    return act


# How it ends.


def test_it_ends_by_rounds(tmp_path):
    ending = run_tiny(tmp_path, tiny_config())
    assert (ending.state, ending.reason) == ("budget_spent", "2 of 2 rounds")
    state, paths = load_state(tmp_path), CampaignPaths(tmp_path)
    assert state.phase == "budget_spent"
    assert [round_.number for round_ in state.rounds.values()] == [1, 2]
    assert paths.current.resolve() == paths.model(state.best_round().number)
    dataset = check_books(tmp_path)
    assert not ids(paths.labels)  # late ones were merged at the end
    assert state.n_labels == state.n_labelled == dataset.n_labels
    assert state.accepted["bootstrap"] == 16
    assert state.accepted.total() == dataset.n_labels + len(ids(paths.candidates))
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3


def test_it_ends_by_labels_and_the_last_ensemble_learns_from_all(tmp_path):
    config = tiny_config(stop__max_labels=21, stop__max_rounds=9)
    ending = run_tiny(tmp_path, config)
    assert (ending.state, ending.reason) == ("budget_spent", "21 of 21 labels")
    state = load_state(tmp_path)
    assert check_books(tmp_path).n_labels == 21
    assert state.rounds[max(state.rounds)].n_labels == 21
    assert state.rounds[max(state.rounds)].ended is not None


def test_it_converges(tmp_path):
    config = tiny_config(sampling__thresholds=AGREES, stop__max_rounds=9)
    ending = run_tiny(tmp_path, config)
    assert ending.state == "converged"
    assert "survives 0.05 ps" in ending.reason
    assert check_books(tmp_path).n_labels == 16
    n_chunks = len(events(tmp_path, "sampled"))
    assert run_tiny(tmp_path).state == "converged"  # again, at once
    assert len(events(tmp_path, "sampled")) == n_chunks


def test_it_ends_by_hours(tmp_path):
    ending = run_tiny(tmp_path, tiny_config(stop__max_hours=1e-6))
    assert ending.state == "budget_spent"
    assert "hours" in ending.reason


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_an_interrupted_campaign_is_paused_and_goes_on(tmp_path, name):
    interrupt = once(lambda state: state.n_labels, lambda: os.kill(os.getpid(), signal.Signals[name]))
    ending = run_tiny(tmp_path, tiny_config(training__max_epochs=150), watcher=Watcher(interrupt))
    assert ending.state == "paused"
    assert ending.reason == f"interrupted by {name}; --resume goes on from here"
    state = load_state(tmp_path)
    assert not state.current  # the training wrote a checkpoint and ended
    assert list(CampaignPaths(tmp_path).training(1).iterdir())
    assert state.n_labels == 16
    assert run_tiny(tmp_path).state == "budget_spent"
    assert check_books(tmp_path).n_labels >= 24
    assert load_state(tmp_path).rounds[1].epochs == 150


def test_an_interrupt_after_the_end_was_decided_is_heard(tmp_path):
    interrupt = once(lambda state: len(state.rounds) == 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    config = tiny_config(stop__max_labels=16, training__max_epochs=3)
    assert run_tiny(tmp_path, config).state == "budget_spent"
    longer = tiny_config(stop__max_labels=20, stop__max_rounds=9, training__max_epochs=1500)
    assert run_tiny(tmp_path, longer, watcher=Watcher(interrupt)).state == "paused"


# What happens on the way.


def test_sampling_waits_for_labels_and_trainings(tmp_path):
    pool = HoldingPool(lambda name, number: name == "train_round" and number == 2)
    waiting = []
    pool.on_release = lambda: waiting.append(load_state(tmp_path).accepted.total() - 24)
    run_tiny(tmp_path, tiny_config(), pool=pool)
    most, per_chunk = 20, 10
    assert waiting
    assert most <= waiting[0] < most + per_chunk


def test_labels_that_come_late_are_in_the_next_training(tmp_path):
    late = HoldingPool(
        lambda name, number: name == "label_candidates" and number == 3,
        until=lambda: load_state(tmp_path).rounds,
    )
    config = tiny_config(bootstrap__ready_fraction=0.8, labelling__frames_per_task=1)
    run_tiny(tmp_path, config, pool=late)
    first, second = load_state(tmp_path).rounds.values()
    assert 13 <= first.n_labels < 16
    assert second.n_labels >= first.n_labels + 8
    built = {
        record.id
        for record in Dataset.open(CampaignPaths(tmp_path).dataset).snapshot(second.version).records()
        if record.provenance.source == "bootstrap"
    }
    assert len(built) == 16
    check_books(tmp_path)


def test_a_worse_ensemble_is_not_promoted(tmp_path):
    hasty = tiny_config(training__max_epochs=1)
    in_force = CampaignPaths(tmp_path).settings_in_force
    worsen = once(lambda state: state.current, lambda: save_resolved(hasty, in_force))
    config = tiny_config(training__max_epochs=200, stop__max_rounds=3)
    run_tiny(tmp_path, config, watcher=Watcher(worsen))
    state = load_state(tmp_path)
    assert [state.rounds[n].promoted for n in (1, 2, 3)] == [True, False, False]
    assert state.rounds[2].why.startswith("worse on the validation set")
    assert state.current == {0: 1}
    assert CampaignPaths(tmp_path).current.resolve().name == "round-0001"
    used = {event["ensemble"] for event in events(tmp_path, "sampled")}
    assert used == {"round-0001"}


def test_cycles_share_the_global_set(tmp_path):
    run_tiny(tmp_path, tiny_config(cycles=2, stop__max_rounds=4))
    state = load_state(tmp_path)
    assert {round_.cycle for round_ in state.rounds.values()} == {0, 1}
    assert set(state.current) == {0, 1}
    assert {event["cycle"] for event in events(tmp_path, "sampled")} == {0, 1}
    check_books(tmp_path)
    dataset = Dataset.open(CampaignPaths(tmp_path).dataset)
    learnt_from_the_other = False
    for round_ in state.rounds.values():
        snapshot = dataset.snapshot(round_.version)
        assert snapshot.n_labels == round_.n_labels
        found_by = {r.provenance.cycle for r in snapshot.records() if r.provenance.source == "trajectory"}
        learnt_from_the_other |= bool(found_by - {round_.cycle})
    assert learnt_from_the_other


def test_settings_may_be_edited_while_it_runs(tmp_path):
    safe = once(lambda state: state.current, lambda: edited(tmp_path, stop__max_rounds=3))
    watcher = Watcher(safe)
    ending = run_tiny(tmp_path, tiny_config(), watcher=watcher)
    assert ending.reason == "3 of 3 rounds"
    assert "settings: stop.max_rounds: 2 became 3" in watcher.notes
    assert events(tmp_path, "settings")


def test_unsafe_and_invalid_edits_reach_nobody(tmp_path):
    seeds = {1: lambda: edited(tmp_path, seed=7), 2: lambda: _spoil(tmp_path)}
    acts = [once(lambda state, n=n: len(state.rounds) == n, act) for n, act in seeds.items()]
    watcher = Watcher(lambda state: [act(state) for act in acts])
    ending = run_tiny(tmp_path, tiny_config(stop__max_rounds=3), watcher=watcher)
    assert ending.reason == "3 of 3 rounds"
    ignored = [note for note in watcher.notes if note.startswith("edited settings ignored")]
    assert any("seed: 1 became 7; it cannot change" in note for note in ignored)
    assert any("campaign.yaml" in note and "did you mean n_slots?" in note for note in ignored)
    assert len(ignored) == 2  # each said once
    assert not [event for event in events(tmp_path, "task") if not event["ok"]]


def _spoil(directory):
    settings = tiny_settings()
    settings["sampling"]["n_slot"] = 3
    CampaignPaths(directory).settings.write_text(yaml.safe_dump(settings))


# What it survives.


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 8, 13, 20, 27, 29, 34, 44, 55])
def test_a_driver_that_dies_at_any_event_loses_and_repeats_nothing(tmp_path, moment):
    count, seen = [], set()
    paths = CampaignPaths(tmp_path)

    def die(state):
        seen.update(ids(paths.labels))
        count.append(None)
        if len(count) == moment:
            raise Killed

    with pytest.raises(Killed):
        run_tiny(tmp_path, tiny_config(), watcher=Watcher(die))
    seen |= ids(paths.labels)
    assert run_tiny(tmp_path, watcher=Watcher(lambda state: seen.update(ids(paths.labels)))).state == (
        "budget_spent"
    )
    dataset = check_books(tmp_path)
    assert seen <= dataset.ids
    state = load_state(tmp_path)
    assert state.n_labels == dataset.n_labels
    assert state.accepted["bootstrap"] == 16


def test_dying_between_a_merge_and_saying_so(tmp_path, monkeypatch):
    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(workflow.stages.training, "record_merge", die)
        with pytest.raises(Killed):
            run_tiny(tmp_path, tiny_config())
    paths = CampaignPaths(tmp_path)
    assert len(ids(paths.labels)) == 16  # they are in the data set too
    assert run_tiny(tmp_path).state == "budget_spent"
    assert check_books(tmp_path).n_labels == load_state(tmp_path).n_labels


def test_a_chunk_done_but_not_reported_is_taken_in_once(tmp_path):
    pool = LosingPool(lambda name, args: False)
    honest = pool.submit

    def unreported(role, function, *args, timeout_s=None):
        if function.__name__ == "sample_chunk":
            function(*args)
            raise Killed
        return honest(role, function, *args)

    pool.submit = unreported
    with pytest.raises(Killed):
        run_tiny(tmp_path, tiny_config(), pool=pool)
    assert CampaignPaths(tmp_path).chunk(0, 0, 1).exists()
    assert not events(tmp_path, "sampled")
    run_tiny(tmp_path)
    chunks = [(event["chunk"], event["accepted"]) for event in events(tmp_path, "sampled")]
    assert [number for number, _ in chunks] == list(range(1, len(chunks) + 1))
    assert sum(chunks[0][1].values()) > 0
    check_books(tmp_path)


def test_a_frame_that_kills_its_worker_is_set_aside_and_its_neighbours_are_not(tmp_path):
    culprit = []

    def lost(name, args):
        if name != "label_candidates":
            return False
        if not culprit and len(args[1]) > 1:
            culprit.append(args[1][1])
        return culprit[0] in args[1] if culprit else False

    pool = LosingPool(lost)
    assert run_tiny(tmp_path, tiny_config(), pool=pool).state == "budget_spent"
    paths = CampaignPaths(tmp_path)
    assert ids(paths.quarantine) == set(culprit)
    refusal = read_refusal(paths.quarantine / f"{culprit[0]}.npz")
    assert refusal.reason == "killed"
    assert "worker lost" in refusal.message
    assert pool.n_lost == 2
    check_books(tmp_path)


def test_labels_that_a_lost_worker_had_finished_count(tmp_path):
    first = []

    def lost(name, args):
        first.append(name == "label_candidates")
        return first[-1] and sum(first) == 1

    pool = LosingPool(lost, before=lambda args: label_candidates(*args))
    run_tiny(tmp_path, tiny_config(), pool=pool)
    outcomes = events(tmp_path, "labelled")
    assert all(event["ok"] for event in outcomes)
    assert len(outcomes) == check_books(tmp_path).n_labels


def test_a_driver_that_lost_its_lock_stops_before_it_merges(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow.campaign, "HEARTBEAT_S", 0.0)
    steal = once(lambda state: state.current, lambda: (tmp_path / "lock" / "000099.json").write_text(RIVAL))
    with pytest.raises(CampaignRunningError, match="lost the campaign to process 7 on elsewhere"):
        run_tiny(tmp_path, tiny_config(), watcher=Watcher(steal))
    assert load_state(tmp_path).rounds.keys() == {1}
    check_books(tmp_path)


RIVAL = '{"host": "elsewhere", "process": "7:7", "place": "elsewhere", "since": 0, "token": "rival"}'


def test_labels_that_come_again_after_their_merge_are_cleared_away(tmp_path):
    run_tiny(tmp_path, tiny_config())
    paths = CampaignPaths(tmp_path)
    record = next(iter(Dataset.open(paths.dataset).snapshot().records()))
    write_label(paths.labels, record)
    (paths.candidates / ".a.npz.1-2.tmp").touch()
    run_tiny(tmp_path)
    assert not list(paths.labels.iterdir())
    assert not list(paths.candidates.glob(".*"))
    check_books(tmp_path)


def test_damaged_checkpoints_of_trajectories_cost_only_these(tmp_path, one_round):
    one_round(tmp_path)
    last = load_state(tmp_path).last_chunk.get((0, 0), 0)
    run_tiny(tmp_path, tiny_config())
    newest = load_state(tmp_path).last_chunk[0, 0]
    assert newest > last
    paths = CampaignPaths(tmp_path)
    paths.chunk(0, 0, newest).write_bytes(b"torn")
    assert run_tiny(tmp_path, tiny_config(stop__max_rounds=3)).reason == "3 of 3 rounds"
    assert not [event for event in events(tmp_path, "task") if not event["ok"]]
    check_books(tmp_path)


# What cannot work pauses, and says why.


def test_refused_labels_pause_the_labelling(tmp_path):
    config = tiny_config(checks={"max_force_ev_per_ang": 1e-6})
    watcher = Watcher()
    ending = run_tiny(tmp_path, config, watcher=watcher)
    assert ending.state == "paused"
    assert ending.reason.startswith("labelling is paused: 3 of the last 6 results failed: ")
    assert "unphysical" in ending.reason
    assert ending.reason.endswith("mend the label source, then run the same command again.")
    assert str(ending) in watcher.notes
    paths = CampaignPaths(tmp_path)
    assert len(ids(paths.quarantine)) <= 8  # it did not go on until all were refused
    assert not ids(paths.labels)
    assert load_state(tmp_path).phase == "paused"
    assert run_tiny(tmp_path, tiny_config()).state == "budget_spent"  # mended, it goes on with the rest
    check_books(tmp_path)


@pytest.mark.parametrize("task", ["build_candidates", "sample_chunk", "train_round"])
def test_a_task_that_always_loses_its_worker_pauses_its_stage(tmp_path, task):
    stage = {"build_candidates": "bootstrap", "sample_chunk": "sampling", "train_round": "training"}[task]
    pool = LosingPool(lambda name, args: name == task)
    ending = run_tiny(tmp_path, tiny_config(), pool=pool)
    assert ending.state == "paused"
    assert ending.reason.startswith(f"{stage} is paused: 3 of the last 6 results failed: 3 × worker lost")
    assert pool.n_lost == 3
    assert run_tiny(tmp_path).state == "budget_spent"
    check_books(tmp_path)


def test_without_an_ensemble_a_spent_budget_of_labels_is_no_success(tmp_path):
    pool = LosingPool(lambda name, args: name == "train_round")
    ending = run_tiny(tmp_path, tiny_config(stop__max_labels=16), pool=pool)
    assert ending.state == "paused"
    assert ending.reason.startswith("training is paused")


def diverging(**changes):
    hot = {"learning_rate": 1.0, "max_restarts": 0, "weight_average_epochs": 0.0, "max_epochs": 4}
    return tiny_config(training={**hot, **changes.pop("training", {})}, stop__max_rounds=1, **changes)


def test_it_goes_on_with_the_members_that_are_well(tmp_path):
    config = diverging(training={"divergence_factor": 2.0}, potential__n_members=8)
    assert run_tiny(tmp_path, config).state == "budget_spent"
    round_ = load_state(tmp_path).rounds[1]
    assert 1 <= len(round_.failed_members) <= 6
    assert round_.promoted
    check_books(tmp_path)


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"divergence_factor": 1.2}, "1 of 2 members diverged; an ensemble needs two to disagree"),
        ({"learning_rate": 1e6}, "all 2 members diverged"),
    ],
)
def test_too_few_members_that_are_well_pause_the_training(tmp_path, training, reason):
    ending = run_tiny(tmp_path, diverging(training=training))
    assert ending.state == "paused"
    assert ending.reason.startswith("training is paused: 3 of the last 6 results failed: 3 × TrainingError:")
    assert reason in ending.reason
    assert not load_state(tmp_path).current


def test_chunks_that_find_nothing_and_do_not_move_pause_the_sampling(tmp_path, one_round):
    one_round(tmp_path)
    ending = run_tiny(tmp_path, tiny_config(gates={"min_atoms": 1000}))
    assert ending.state == "paused"
    assert "every trajectory ended before its first step, no candidate: 8 too_few_atoms" in ending.reason


def test_cells_that_are_all_refused_leave_nothing_to_do(tmp_path):
    ending = run_tiny(tmp_path, tiny_config(gates={"min_atoms": 1000}))
    assert ending.state == "failed"
    assert "0 labels, 16 frames refused" in ending.reason


def test_broken_executors_are_given_up_after_some_tries(tmp_path):
    for _ in range(MAX_BREAKDOWNS):
        with pytest.raises(PoolBrokenError):
            run_tiny(tmp_path, tiny_config(), pool=_idle(BreakingPool()))
    ending = run_tiny(tmp_path, pool=_idle(BreakingPool()))
    assert ending.state == "failed"
    assert "the interchange ended" in ending.reason
    assert load_state(tmp_path).phase == "failed"
    assert run_tiny(tmp_path).state == "budget_spent"


def _idle(pool):
    """Let the pool finish no task."""
    lost = LosingPool(lambda name, args: True)
    pool.submit = lost.submit
    return pool


def test_a_damaged_data_set_is_refused_and_the_label_named(tmp_path, one_round):
    one_round(tmp_path)
    paths = CampaignPaths(tmp_path)
    (chunk,) = paths.dataset.glob("segments/*/forces_ev_per_ang/c.0.0")
    content = bytearray(chunk.read_bytes())
    content[3] ^= 0x40
    chunk.write_bytes(content)
    with pytest.raises(DatasetDamagedError, match=Dataset.open(paths.dataset).snapshot().ids[0]):
        run_tiny(tmp_path)


def test_another_level_of_theory_is_refused(tmp_path, one_round):
    one_round(tmp_path)
    with pytest.raises(SettingsError, match="start a new campaign in another directory"):
        run_tiny(tmp_path, tiny_config(labeller={"kind": "eam", "parameters": "2004"}))


# Starting data from a file.


@pytest.fixture
def exported(tmp_path, one_round):
    """Labels of another campaign, as extended XYZ."""
    snapshot = Dataset.open(CampaignPaths(one_round(tmp_path / "other")).dataset).snapshot()
    write_extxyz(snapshot.records(), tmp_path / "labels.xyz")
    return tmp_path / "labels.xyz"


def starting_from(path, **changes):
    return tiny_config(bootstrap={"n_frames": 0, "import_extxyz": str(path)}, **changes)


def test_imported_labels_are_starting_data(tmp_path, exported):
    ending = run_tiny(tmp_path / "new", starting_from(exported))
    assert ending.reason == "2 of 2 rounds"
    (event,) = events(tmp_path / "new", "imported")
    dataset = check_books(tmp_path / "new")
    imported = [r.id for r in dataset.snapshot().records() if r.provenance.source == "import"]
    assert len(imported) == event["n"] > 0
    first = load_state(tmp_path / "new").rounds[1]
    assert first.n_labels == event["n"]


def test_imported_labels_are_taken_once_though_the_driver_dies(tmp_path, exported):
    with pytest.raises(Killed):
        run_tiny(tmp_path / "new", starting_from(exported), watcher=Watcher(_die))
    assert run_tiny(tmp_path / "new").state == "budget_spent"
    assert len(events(tmp_path / "new", "imported")) == 1
    check_books(tmp_path / "new")


def _die(state):
    raise Killed


def _largest_force(record):
    return np.linalg.norm(record.label.forces_ev_per_ang, axis=1).max()


def test_imported_labels_pass_the_same_checks(tmp_path, exported):
    largest = sorted(_largest_force(record) for record in read_extxyz(exported, "any"))
    limit = float(largest[-3] + largest[-4]) / 2
    strict = {"max_force_ev_per_ang": limit}
    run_tiny(tmp_path / "new", starting_from(exported, checks=strict))
    (event,) = events(tmp_path / "new", "imported")
    assert (event["n"], event["refused"]) == (len(largest) - 3, 3)
    quarantine = CampaignPaths(tmp_path / "new").quarantine
    reasons = {read_refusal(path).provenance.source for path in quarantine.glob("*.npz")}
    assert "import" in reasons
    for record in check_books(tmp_path / "new").snapshot().records():
        assert _largest_force(record) <= limit


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("\nAl ", "\nCu "), "holds Cu; expected only Al"),
        (lambda text: text.replace("energy=", "enthalpy=", 1), "has no energy"),
        (lambda text: "", "holds no frames"),
    ],
)
def test_starting_data_that_cannot_be_used_is_refused(tmp_path, exported, spoil, message):
    exported.write_text(spoil(exported.read_text()))
    with pytest.raises(SettingsError, match="bootstrap.import_extxyz: .*" + message):
        run_tiny(tmp_path / "new", starting_from(exported))


# Candidates that wait are held against the newest ensemble.


@pytest.mark.parametrize(
    ("thresholds", "reason", "n_kept"),
    [({}, "energy_disagreement", 5), (AGREES, "energy_disagreement", 0), (AGREES, "completed", 5)],
)
def test_waiting_candidates_are_held_against_a_new_ensemble(tmp_path, one_round, thresholds, reason, n_kept):
    config = tiny_config(stop__max_rounds=1)
    one_round(tmp_path)
    paths = CampaignPaths(tmp_path)
    waiting = [f"{n:032x}" for n in range(5)]
    for id_, record in zip(waiting, Dataset.open(paths.dataset).snapshot().records(), strict=False):
        found = replace(record.provenance, reason=reason)
        write_candidate(paths.candidates, Candidate(id_, record.frame, found))
    later = config.sampling.model_copy(
        update={
            "thresholds": type(config.sampling.thresholds)(
                **{**SETTINGS["sampling"]["thresholds"], **thresholds}
            )
        }
    )
    save_resolved(config.model_copy(update={"sampling": later}), paths.settings_in_force)
    summary = rescore_candidates(str(tmp_path), [*waiting, "0" * 31 + "f"], 1)
    assert len(summary.kept) == n_kept
    assert ids(paths.candidates) >= set(summary.kept)
    assert not ids(paths.candidates) & (set(waiting) - set(summary.kept))
    assert sum(summary.dropped.values()) == 5 - n_kept
