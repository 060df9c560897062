"""The guard turns everything a task can do into a value that can be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import pool_tasks as tasks
import pytest

from workflow.execution.guard import TaskResult, one_line, pack, run_guarded, unpack

NO_GPUS = Path("/nowhere")


def outcome(function: object, *args: object) -> TaskResult:
    """Return what the driver would get, the value's way over the wire included."""
    fields = pickle.loads(pickle.dumps(run_guarded(pack(function, args), NO_GPUS)))  # noqa: S301
    return unpack({"host": "h", "pid": 1, "worker": "sampling/0", "started": 0.0, **fields})


def test_a_value_comes_back() -> None:
    result = outcome(tasks.add, 1, 2)
    assert (result.ok, result.value, result.error, result.traceback) == (True, 3, "", "")


@pytest.mark.parametrize("task", [tasks.interrupt, tasks.leave, tasks.recurse, tasks.fail_awkwardly])
def test_whatever_is_raised_is_a_value(task: object) -> None:
    result = outcome(task)
    assert not result.ok
    assert result.error
    assert len(result.traceback) <= 20_000


def test_errors_are_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("two\nlines")) == "ValueError: two lines"
    assert len(one_line(ValueError("x" * 10_000))) == 2_000


def test_an_error_that_cannot_be_shown_is_still_named() -> None:
    class Broken(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(Broken()) == "Broken: (its message cannot be shown)"


def test_a_payload_that_cannot_be_read_on_the_worker_is_a_value() -> None:
    fields = run_guarded(b"not a pickle", NO_GPUS)
    assert not fields["ok"]
    assert "UnpicklingError" in fields["error"]


def test_a_result_is_plain_and_survives_pickle() -> None:
    result = outcome(tasks.add, 1, 2)
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301
