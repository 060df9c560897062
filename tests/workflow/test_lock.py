"""The campaign's lock: one holder at a time, stale ones recognised, races safe."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from site_configs.marks import own_name, process_name
from workflow import lock as lock_module
from workflow.lock import STALE_AFTER_REBOOT_S, STALE_S, CampaignLock, CampaignRunningError, holder


def lock_file(directory: Path) -> Path:
    (path,) = (directory / "lock").glob("*.json")
    return path


def change(directory: Path, **fields: object) -> None:
    path = lock_file(directory)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def abandoned(directory: Path, **fields: object) -> None:
    """Leave a lock as another driver would that did not release it."""
    CampaignLock(directory).acquire()
    change(directory, token="another", **fields)


def run(directory: Path, code: str) -> subprocess.Popen[str]:
    head = "import os, sys, signal, time; from pathlib import Path; from workflow.lock import *\n"
    script = f"{head}lock = CampaignLock(Path({str(directory)!r}))\n{code}"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_a_second_driver_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with CampaignLock(tmp_path):
        with pytest.raises(CampaignRunningError) as caught:
            CampaignLock(tmp_path).acquire()
        message = str(caught.value)
        assert "\n" not in message
        assert f"process {os.getpid()} on {os.uname().nodename} since 20" in message
        assert f"kill {os.getpid()}" in message
        assert str(pickle.loads(pickle.dumps(caught.value))) == message  # noqa: S301


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with CampaignLock(tmp_path):
        other = run(tmp_path, "lock.acquire()")
        assert other.wait(60) == 1


def test_a_released_lock_is_free_and_leaves_one_small_file(tmp_path: Path) -> None:
    for _ in range(3):
        with CampaignLock(tmp_path) as lock:
            lock.check()
            found = holder(tmp_path)
            assert found is not None
            assert (found.pid, found.alive) == (os.getpid(), True)
        assert holder(tmp_path) is None
    assert [path.name for path in (tmp_path / "lock").iterdir()] == ["000003.json"]


def test_a_directory_without_a_lock_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path) is None


def test_the_lock_of_a_killed_driver_is_taken_over(tmp_path: Path) -> None:
    run(tmp_path, "lock.acquire(); os.kill(os.getpid(), signal.SIGKILL)").wait(60)
    found = holder(tmp_path)
    assert found is not None
    assert not found.alive
    with CampaignLock(tmp_path) as lock:
        lock.check()


def test_a_process_id_given_out_again_is_not_taken_for_the_driver(tmp_path: Path) -> None:
    parent = process_name(os.getppid())
    abandoned(tmp_path, process=parent)
    with pytest.raises(CampaignRunningError, match=f"process {os.getppid()} on"):
        CampaignLock(tmp_path).acquire()
    change(tmp_path, process=f"{os.getppid()}:1")
    CampaignLock(tmp_path).acquire()


def test_a_driver_keeps_its_lock_over_execv(tmp_path: Path) -> None:
    code = """lock.acquire()
if not os.environ.get("AGAIN"):
    os.environ["AGAIN"] = "1"
    os.execv(sys.executable, sys.orig_argv)
print("again", lock.check())"""
    driver = run(tmp_path, code)
    assert driver.communicate(timeout=60)[0] == "again None\n"


def test_a_driver_elsewhere_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    abandoned(tmp_path, place="elsewhere", host="far", process="1:1")
    now = time.time()
    with pytest.raises(CampaignRunningError, match=r"on far since .* stop it there, or wait for its end$"):
        CampaignLock(tmp_path).acquire()
    os.utime(lock_file(tmp_path), (now, now - STALE_S / 2))
    with pytest.raises(CampaignRunningError, match=r"if far is down, try again in 1\d\d s"):
        CampaignLock(tmp_path).acquire()
    os.utime(lock_file(tmp_path), (now, now - STALE_S - 1))
    CampaignLock(tmp_path).acquire()


def test_after_a_reboot_of_this_host_the_wait_is_short(tmp_path: Path) -> None:
    abandoned(tmp_path, place="another boot")
    with pytest.raises(CampaignRunningError, match="already driven"):
        CampaignLock(tmp_path).acquire()
    heard = time.time() - STALE_AFTER_REBOOT_S - 1
    os.utime(lock_file(tmp_path), (heard, heard))
    CampaignLock(tmp_path).acquire()


def test_a_driver_that_lost_its_lock_is_told(tmp_path: Path) -> None:
    first = CampaignLock(tmp_path)
    first.acquire()
    change(tmp_path, place="elsewhere")  # as seen from another host
    os.utime(lock_file(tmp_path), (0, 0))
    with CampaignLock(tmp_path) as second:
        with pytest.raises(CampaignRunningError, match="lost the campaign"):
            first.check()
        first.release()
        second.check()


def test_the_heart_beats_until_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 0.01)
    before = set(threading.enumerate())
    with CampaignLock(tmp_path):
        for _ in range(3):
            os.utime(lock_file(tmp_path), (0, 0))
            end = time.monotonic() + 30
            while lock_file(tmp_path).stat().st_mtime == 0:
                assert time.monotonic() < end
                time.sleep(0.01)
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()


def test_a_damaged_lock_is_named(tmp_path: Path) -> None:
    abandoned(tmp_path)
    lock_file(tmp_path).write_text("{")
    with pytest.raises(CampaignRunningError, match=r"000001\.json: damaged"):
        CampaignLock(tmp_path).acquire()


def test_of_many_that_start_at_once_one_wins(tmp_path: Path) -> None:
    """Also over a stale lock, and while others come and go: never two holders."""
    abandoned(tmp_path, process=f"{os.getppid()}:1")
    inside: list[str] = []
    most: list[int] = []
    taken: list[int] = []

    def drive(number: int) -> None:
        for _ in range(60):
            lock = CampaignLock(tmp_path)
            try:
                lock.acquire()
            except CampaignRunningError:
                continue
            inside.append(own_name())
            time.sleep(0.001)
            most.append(len(inside))
            taken.append(number)
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=drive, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(taken) >= 8
    assert holder(tmp_path) is None
