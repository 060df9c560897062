"""The queue of candidates: each is in it once, whoever finds it, and keeps its place."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tiny_campaign import prepare, tiny_config

from workflow.execution.guard import TaskResult
from workflow.stages.labelling import Labelling
from workflow.tasks.label import LabelOutcome
from workflow.tasks.rescore import RescoreSummary


class Desk:
    """Stands for the driver: keeps the tasks that were sent, and answers as told."""

    def __init__(self, paths, config):
        self.paths, self.config, self.ending = paths, config, None
        self.pool = SimpleNamespace(roles={"labelling": 1})
        self.sent = []

    def submit(self, role, function, *args, on_result, timeout_s=None):
        self.sent.append((args[0], on_result))

    def is_paused(self, stage):
        return False

    def has_time_for(self, function):
        return True

    def record(self, event, **fields):
        pass

    success = failure = lambda self, *args: None

    def answer(self, *outcomes):
        """Let the oldest task come back; return what it was about."""
        ids, on_result = self.sent.pop(0)
        on_result(TaskResult(ok=True, value=list(outcomes) or [LabelOutcome(id_, ok=True) for id_ in ids]))
        return ids


@pytest.fixture
def desk(tmp_path):
    config = tiny_config(labelling={"frames_per_task": 2})
    paths = prepare(tmp_path, config)
    paths.make()
    return Desk(paths, config)


def drain(desk, labelling):
    """Label everything that waits; return the order."""
    order = []
    while labelling.submit() or desk.sent:
        order += desk.answer()
    return order


def test_candidates_are_labelled_once_each_in_the_order_they_came(desk):
    labelling = Labelling(desk, merged=["merged"])
    labelling.admit(["d", "a", "merged", "d"])
    labelling.admit(["c", "a", "b"])
    assert labelling.n_candidates == 4
    labelling.submit()
    assert [ids for ids, _ in desk.sent] == [["d", "a"], ["c", "b"]]
    labelling.admit(["a", "b"])  # in flight
    desk.answer()
    labelling.admit(["a", "d", "e"])  # labelled
    assert drain(desk, labelling) == ["c", "b", "e"]
    assert labelling.n_candidates == 0


def test_a_file_of_what_is_settled_is_removed(desk):
    labelling = Labelling(desk, merged=["merged"])
    file = desk.paths.candidates / "merged.npz"
    file.touch()
    labelling.admit(["merged"])
    assert not file.exists()


def test_what_failed_goes_last_and_alone(desk):
    labelling = Labelling(desk, merged=[])
    labelling.admit("abcdef")
    labelling.submit()
    desk.answer(LabelOutcome("a", ok=False, reason="walltime"), LabelOutcome("b", ok=True))
    labelling.admit(["a"])
    labelling.submit()
    desk.answer()
    desk.answer()
    labelling.submit()
    assert [ids for ids, _ in desk.sent] == [["a"]]


def test_what_a_new_ensemble_keeps_goes_first_in_its_order(desk):
    desk.pool.roles["labelling"] = 0
    labelling = Labelling(desk, merged=[])
    labelling.admit("abcd")
    labelling.rescore(1)
    labelling.admit("ebf")  # b is being looked at
    _, on_result = desk.sent.pop()
    on_result(TaskResult(ok=True, value=RescoreSummary(kept=["d", "b"])))
    desk.pool.roles["labelling"] = 9
    assert drain(desk, labelling) == ["d", "b", "e", "f"]
