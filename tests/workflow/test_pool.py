"""The pool with real Parsl executors: tasks, failures of tasks, and the death of each of its parts."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pool_tasks as tasks
import pytest
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from site_configs.config import SiteConfig
from site_configs.load import load_site
from site_configs.marks import CAMPAIGN_MARK, WORKER_MARK, command, environment, start_ticks
from site_configs.roles import ROLES, Role
from workflow.execution.guard import TaskResult
from workflow.execution.pool import ParslPool, PoolBrokenError, loss_cost
from workflow.execution.processes import members, reap

RESULT_S = 60
"""More than any of these tasks takes on a busy machine."""


def quick_site(**changes: object) -> SiteConfig:
    """Return the local site with short times, so that losses are noticed soon."""
    short = {"health.silence_s": 5, "health.idle_s": 5}
    sampling = {"sampling.threads_per_worker": 2, "sampling.gpus": ["GPU-of-the-test"]}
    return load_site("local", {**short, **sampling, **changes})


def wait_until(condition: Callable[[], bool], limit_s: float = RESULT_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def manager_of(campaign: str, role: Role) -> int:
    return _part_of(campaign, "parsl.executors.high_throughput.process_worker_pool", f"/{role}")


def interchange_of(campaign: str, role: Role) -> int:
    return _part_of(campaign, "parsl.executors.high_throughput.interchange", f"/interchange-{role}.log")


def _part_of(campaign: str, module: str, ending: str) -> int:
    commands = {pid: command(pid) for pid in members(campaign)}
    (found,) = (
        pid
        for pid, words in commands.items()
        if module in words and any(word.endswith(ending) for word in words)
    )
    return found


def wait_until_broken(pool: ParslPool, *saying: str) -> None:
    """Wait until `check` finds the pool broken for these reasons."""

    def broken() -> bool:
        try:
            pool.check()
        except PoolBrokenError as error:
            return all(words in str(error) for words in saying)
        return False

    wait_until(broken, 30)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParslPool]:
    directory = tmp_path_factory.mktemp("a campaign") / "logs"  # the blank must not matter
    with ParslPool(quick_site(), directory, f"shared-{os.getpid()}") as shared:
        yield shared
    assert members(f"shared-{os.getpid()}") == []


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[ParslPool]:
    """Return a pool of its own for a test that breaks it, with one finished task in every role."""
    pool = ParslPool(quick_site(), tmp_path / "logs", tmp_path.name)
    for future in [pool.submit(role, tasks.add, 1, 1) for role in ROLES]:
        assert future.result(RESULT_S).value == 2
    yield pool
    pool.close()
    assert members(tmp_path.name) == []


def test_a_task_runs_in_its_role_with_the_roles_threads_and_gpu(pool: ParslPool) -> None:
    results = {role: pool.submit(role, tasks.where_am_i) for role in ROLES}
    for role, future in results.items():
        result = future.result(RESULT_S)
        assert result.ok
        assert result.worker == f"{role}/0"
        threads = "2" if role == "sampling" else "1"
        assert result.value["OMP_NUM_THREADS"] == result.value["MKL_NUM_THREADS"] == threads
        assert result.value["CUDA_VISIBLE_DEVICES"] == ("GPU-of-the-test" if role == "sampling" else "")
        assert result.value["OMP_WAIT_POLICY"] == "passive"
        assert result.value["SMELTER_CAMPAIGN"] == f"shared-{os.getpid()}"
        assert result.pid == int(result.value["pid"]) != os.getpid()


def test_roles_tell_the_number_of_workers(pool: ParslPool) -> None:
    assert pool.roles == {role: pool._site.role(role).workers for role in ROLES}


def test_a_result_says_what_it_cost(pool: ParslPool) -> None:
    result = pool.submit("labelling", tasks.burn, 0.3).result(RESULT_S)
    assert 0.25 <= result.core_s <= 1.0
    assert result.ended - result.started >= 0.25


@pytest.mark.parametrize(
    ("task", "args", "error"),
    [
        (tasks.fail, ("not today",), "ValueError: not today"),
        (tasks.leave, (), "SystemExit: 3"),
        (tasks.fail_awkwardly, (), "AwkwardError: 7: on purpose"),
        (tasks.return_one_way, (), "cannot be read by the driver: RuntimeError: no way back"),
        (tasks.return_lambda, (), "cannot be sent to the driver"),
        (tasks.return_much, (70 * 2**20,), "write it to a file"),
    ],
)
def test_failures_are_values_and_the_next_task_runs(
    pool: ParslPool, task: Callable[..., object], args: tuple[object, ...], error: str
) -> None:
    result = pool.submit("labelling", task, *args).result(RESULT_S)
    assert not result.ok
    assert error in result.error
    assert result.value is None
    assert pool.submit("labelling", tasks.add, 1, 2).result(RESULT_S).value == 3
    pool.check()


def test_a_failure_shows_where_it_happened(pool: ParslPool) -> None:
    result = pool.submit("training", tasks.fail, "here").result(RESULT_S)
    assert "pool_tasks.py" in result.traceback
    assert "raise ValueError(message)" in result.traceback


def test_a_failing_task_is_not_repeated(pool: ParslPool, tmp_path: Path) -> None:
    result = pool.submit("training", tasks.count_and_fail, tmp_path / "runs").result(RESULT_S)
    assert not result.ok
    assert (tmp_path / "runs").read_text() == "x"


def test_what_cannot_run_on_a_worker_is_refused_at_once(pool: ParslPool) -> None:
    with pytest.raises(TypeError, match="function of an importable module"):
        pool.submit("training", lambda: None)
    with pytest.raises(TypeError, match=r"arguments of pool_tasks\.add cannot be sent"):
        pool.submit("training", tasks.add, 1, lambda: None)


def test_a_task_whose_worker_was_killed_is_repeated(pool: ParslPool, tmp_path: Path) -> None:
    result = pool.submit("labelling", tasks.die_once, tmp_path / "died").result(RESULT_S)
    assert result.ok
    assert result.lost_s > 0.0
    assert (tmp_path / "died").exists()
    assert pool.news()[-1] == f"{platform.node()}: a worker died; 1 labelling task begins again elsewhere"
    assert pool.news() == []


def test_a_block_that_was_taken_away_costs_a_task_little_and_a_dead_worker_much() -> None:
    standby = {"labelling": {"standby": {"queue": "spare"}}}
    site = load_site("slurm", {"mode": "pilot", **standby})
    node, worker = ManagerLost(b"m", "n1"), WorkerLost(1, "n1")
    assert 20 * loss_cost(node, site.role("labelling")) <= 1.0
    assert loss_cost(worker, site.role("labelling")) == 1.0
    assert loss_cost(node, site.role("sampling")) == 1.0


def test_a_task_that_always_kills_its_worker_ends(pool: ParslPool, tmp_path: Path) -> None:
    result = pool.submit("labelling", tasks.count_and_die, tmp_path / "runs").result(RESULT_S)
    assert not result.ok
    assert result.error.startswith("worker lost 3 times")
    assert result.worker == "labelling/0"
    assert (tmp_path / "runs").read_text() == "xxx"
    assert pool.submit("labelling", tasks.add, 2, 2).result(RESULT_S).value == 4


def test_programs_of_a_killed_worker_are_killed(pool: ParslPool, tmp_path: Path) -> None:
    pool.submit("labelling", tasks.die_with_a_program_running, tmp_path / "pid").result(RESULT_S)
    assert start_ticks(int((tmp_path / "pid").read_text())) is None


@pytest.mark.parametrize(
    ("task", "args"),
    [(tasks.sleep, (600,)), (tasks.spin_in_c, ()), (tasks.sleep_in_c_with_the_lock, (600,))],
)
def test_a_task_that_takes_too_long_ends_as_timeout(
    pool: ParslPool, task: Callable[..., object], args: tuple[object, ...]
) -> None:
    result = pool.submit("training", task, *args, timeout_s=0.5).result(RESULT_S)
    assert not result.ok
    assert result.error.startswith("timeout: still running after 0.5 s")
    assert f"in {task.__name__}" in result.traceback
    assert pool.submit("training", tasks.add, 3, 2, timeout_s=30).result(RESULT_S).value == 5


def test_a_quick_task_is_not_hurt_by_its_timeout_later(pool: ParslPool) -> None:
    pids = {pool.submit("training", tasks.sleep, 0.3, timeout_s=0.5).result(RESULT_S).value for _ in range(4)}
    assert len(pids) == 1


def test_no_records_remain_of_ended_tasks(pool: ParslPool) -> None:
    for role in ROLES:
        assert list((pool._records / role).iterdir()) == []


@pytest.mark.slow
def test_dead_and_hung_parts_are_seen_and_close_returns(doomed: ParslPool, tmp_path: Path) -> None:
    waiting = [doomed.submit(role, tasks.sleep, 600) for role in ROLES]
    doomed.check()
    os.kill(manager_of(tmp_path.name, "labelling"), signal.SIGKILL)
    wait_until_broken(doomed, "labelling: the manager")
    os.kill(manager_of(tmp_path.name, "training"), signal.SIGSTOP)
    wait_until_broken(doomed, "training: the manager gave no sign of life for 5 s")
    os.kill(interchange_of(tmp_path.name, "sampling"), signal.SIGKILL)
    wait_until_broken(doomed, "sampling: the interchange ended with status -9")
    doomed.close()
    assert [future.result(0).error for future in waiting] == ["pool closed before the task ended"] * 3
    with pytest.raises(PoolBrokenError, match="closed"):
        doomed.submit("sampling", tasks.add, 1, 1)


def deafen(pool: ParslPool, role: Role) -> Future[TaskResult]:
    """Kill the role's idle worker until a task is not taken any more, and return that task.

    Parsl's workers wait for tasks with a lock held; one killed then leaves its manager deaf. One killed at
    another moment does not: then the task comes back, and another worker is tried.
    """
    for _ in range(10):
        worker = pool.submit(role, tasks.where_am_i).result(RESULT_S).pid
        time.sleep(2)  # until it waits for the next task
        os.kill(worker, signal.SIGKILL)
        task = pool.submit(role, tasks.add, 1, 1)
        if not wait([task], timeout=4).done:
            return task
    raise AssertionError("every killed worker was replaced")


@pytest.mark.slow
def test_frozen_and_deaf_workers_and_a_hung_interchange_are_seen(doomed: ParslPool, tmp_path: Path) -> None:
    frozen = doomed.submit("training", tasks.sleep_from, tmp_path / "pid", 600, timeout_s=1)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)

    unheard = deafen(doomed, "labelling")
    wait_until_broken(doomed, "labelling: a task waited for 5 s at workers that do not take it")

    assert frozen.result(RESULT_S).error.startswith("timeout")
    assert doomed.submit("training", tasks.add, 1, 1).result(RESULT_S).ok

    os.kill(interchange_of(tmp_path.name, "sampling"), signal.SIGSTOP)
    wait_until_broken(doomed, "sampling: the interchange gave no answer for 5 s")
    doomed.close()
    assert unheard.result(0).error == "pool closed before the task ended"


@pytest.mark.slow
def test_nothing_survives_a_killed_driver(tmp_path: Path) -> None:
    script = Path(__file__).with_name("pool_driver.py")
    driver = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "busy\n"
        assert len(members(tmp_path.name)) >= 9  # an interchange, a manager and a worker for every role
        assert any(environment(pid).get(WORKER_MARK) for pid in members(tmp_path.name))
        driver.kill()
        assert driver.stdout.read() == ""  # nobody else holds its output
        wait_until(lambda: members(tmp_path.name) == [], 15)
    finally:
        driver.kill()
        driver.wait()
        reap(tmp_path.name)


@pytest.mark.slow
def test_a_driver_with_a_broken_pool_starts_itself_anew(tmp_path: Path) -> None:
    script = Path(__file__).with_name("pool_restart.py")
    driver = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=120)
    assert driver.stdout == "broken\nanew 2\n", driver.stderr
    assert members(tmp_path.name) == []


def test_the_environment_is_put_back_after_close(tmp_path: Path) -> None:
    before = dict(os.environ)
    with ParslPool(quick_site(), tmp_path / "logs", tmp_path.name):
        assert os.environ[CAMPAIGN_MARK] == tmp_path.name
    assert dict(os.environ) == before
    assert members(tmp_path.name) == []


def test_workers_that_roles_share_take_trainings_before_labels_before_sampling(tmp_path: Path) -> None:
    order = tmp_path / "order"
    with ParslPool(load_site("local", {"cores": 1}), tmp_path / "logs", tmp_path.name) as pool:
        assert pool.workers == {"shared": 1}
        first = pool.submit("sampling", tasks.sleep, 3)
        roles: list[Role] = ["sampling", "labelling", "training"]
        futures = [first, *(pool.submit(role, tasks.append_line, order, role) for role in roles)]
        assert all(future.result(RESULT_S).ok for future in futures)
    assert order.read_text().split() == ["training", "labelling", "sampling"]
