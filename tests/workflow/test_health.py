"""Blocks that are queued for may be away; blocks that run without a manager are not well."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from site_configs.health import HealthConfig
from workflow.execution.health import ExecutorWatch

# Shorter than settings may be.
QUICK = HealthConfig.model_construct(heartbeat_period_s=0.05, silence_s=0.25, start_s=0.25, idle_s=60)


def executor(states: list[str], managers: int) -> SimpleNamespace:
    """Return what a watch sees of an executor with blocks in these states."""
    blocks = {
        str(i): SimpleNamespace(
            state=SimpleNamespace(name=state), terminal=state == "COMPLETED", stderr_summary=""
        )
        for i, state in enumerate(states)
    }
    return SimpleNamespace(
        connected_managers=lambda: [{"tasks": 0}] * managers,
        status_facade=blocks,
        interchange_proc=SimpleNamespace(poll=lambda: None),
        bad_state_is_set=False,
        _result_queue_thread=threading.current_thread(),
    )


@pytest.mark.parametrize(
    ("states", "managers", "problem"),
    [
        ([], 0, None),
        (["PENDING"], 0, None),
        (["COMPLETED", "COMPLETED"], 0, None),  # their walltime was over; others come with new tasks
        (["COMPLETED", "RUNNING"], 1, None),
        (["RUNNING"], 0, "blocks run, but no manager came up in them within 0.5 s"),
    ],
)
def test_queued_blocks(tmp_path: Path, states: list[str], managers: int, problem: str | None) -> None:
    watch = ExecutorWatch("sampling", executor(states, managers), tmp_path, QUICK, queues_blocks=True)
    end = time.monotonic() + (60.0 if problem else 1.5)
    while time.monotonic() < end and watch.problem() is None:
        time.sleep(0.05)
    found = watch.problem()
    assert found == (None if problem is None else f"sampling: {problem}")
    assert watch.stop()


def test_a_job_whose_manager_ended_is_broken_at_once(tmp_path: Path) -> None:
    watch = ExecutorWatch("sampling", executor(["COMPLETED"], 0), tmp_path, QUICK)
    assert watch.problem() == "sampling: the manager ended"
    assert watch.stop()
