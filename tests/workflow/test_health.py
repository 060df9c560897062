"""Blocks that are queued for may be away; blocks that run without a manager are cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from site_configs.health import HealthConfig
from workflow.execution.health import ExecutorWatch
from workflow.execution.news import News

# Shorter than settings may be.
QUICK = HealthConfig.model_construct(heartbeat_period_s=0.05, silence_s=0.25, start_s=0.25, idle_s=60)


def executor(states: list[str], manned: list[int], silence: str | None = None) -> SimpleNamespace:
    """Return what a watch sees of an executor with blocks in these states, and managers in some."""
    blocks = {
        str(i): SimpleNamespace(
            state=SimpleNamespace(name=state), terminal=state == "COMPLETED", stderr_summary=""
        )
        for i, state in enumerate(states)
    }
    cancelled: list[str] = []
    return SimpleNamespace(
        connected_managers=lambda: [{"tasks": 0, "block_id": str(i)} for i in manned],
        status_facade=blocks,
        blocks_to_job_id={id_: f"job{id_}" for id_ in blocks},
        cancelled=cancelled,
        provider=SimpleNamespace(
            line=SimpleNamespace(silence=silence),
            cancel=lambda jobs: [cancelled.append(job) is None for job in jobs],
        ),
        interchange_proc=SimpleNamespace(poll=lambda: None),
        bad_state_is_set=False,
        _result_queue_thread=threading.current_thread(),
    )


def watched(seen: SimpleNamespace, tmp_path: Path, until: Callable[[ExecutorWatch], bool]) -> list[str]:
    """Watch until something has happened, or nothing for long; return what was told."""
    news = News()
    watch = ExecutorWatch("sampling", seen, tmp_path, QUICK, queues_blocks=True, news=news)
    end = time.monotonic() + 1.5
    while time.monotonic() < end and not until(watch):
        time.sleep(0.05)
    assert until(watch) or watch.problem() is None
    assert watch.stop()
    return news.lines()


@pytest.mark.parametrize(
    ("states", "manned"),
    [
        ([], []),
        (["PENDING"], []),
        (["COMPLETED", "COMPLETED"], []),  # their walltime was over; others come with new tasks
        (["COMPLETED", "RUNNING"], [1]),
    ],
)
def test_blocks_that_are_well(tmp_path: Path, states: list[str], manned: list[int]) -> None:
    seen = executor(states, manned)
    assert watched(seen, tmp_path, lambda watch: watch.problem() is not None) == []
    assert seen.cancelled == []


def test_a_block_without_a_manager_is_cancelled_and_the_others_go_on(tmp_path: Path) -> None:
    seen = executor(["RUNNING", "RUNNING", "PENDING"], [1])
    said = watched(seen, tmp_path, lambda _: False)
    assert seen.cancelled == ["job0"]
    assert said == ["sampling: job job0 ran for 0.5 s without a sign of life and was cancelled"]


def test_blocks_that_are_all_in_vain_are_given_up(tmp_path: Path) -> None:
    found: list[str | None] = []
    watched(
        executor(["RUNNING"] * 3, []),
        tmp_path,
        lambda watch: found.append(watch.problem()) or bool(found[-1]),
    )
    assert found[-1] == "sampling: 3 blocks ran, but no manager came up within 0.5 s"


def test_nothing_is_known_of_blocks_while_the_scheduler_is_silent(tmp_path: Path) -> None:
    seen = executor(["RUNNING"], [], silence="squeue: error: connection refused")
    (said,) = watched(seen, tmp_path, lambda _: False)
    assert said.startswith("the scheduler does not answer; what runs goes on")
    assert said.endswith("squeue: error: connection refused")
    assert seen.cancelled == []


def test_a_job_whose_manager_ended_is_broken_at_once(tmp_path: Path) -> None:
    watch = ExecutorWatch("sampling", executor(["COMPLETED"], []), tmp_path, QUICK)
    assert watch.problem() == "sampling: the manager ended"
    assert watch.stop()


def test_a_job_says_that_it_goes_on_with_fewer_nodes(tmp_path: Path) -> None:
    seen, news = executor(["RUNNING"], [0, 0, 0]), News()
    watch = ExecutorWatch("sampling", seen, tmp_path, QUICK, news=news)
    for left in (3, 2, 2, 1, 0):
        seen.connected_managers = lambda left=left: [{"tasks": 0, "block_id": "0"}] * left
        time.sleep(0.3)
    assert news.lines() == ["sampling goes on with 2 of 3 nodes", "sampling goes on with 1 of 3 nodes"]
    assert watch.problem() == "sampling: the manager gave no sign of life for 0.25 s"
    assert watch.stop()
