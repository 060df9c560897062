"""Processes are named by id and start, and read with care."""

from __future__ import annotations

import os
import subprocess
import sys

from site_configs.marks import command, environment, is_alive, own_name, place, process_name, start_ticks


def test_our_own_process_is_alive_under_its_name() -> None:
    assert own_name() == process_name(os.getpid())
    assert is_alive(own_name())


def test_the_same_id_with_another_start_is_another_process() -> None:
    assert not is_alive(f"{os.getpid()}:1")


def test_a_zombie_is_gone() -> None:
    program = subprocess.Popen(["true"])
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet collected
    assert start_ticks(program.pid) is None
    program.wait()
    assert start_ticks(program.pid) is None
    assert environment(program.pid) == {}
    assert command(program.pid) == []


def test_a_name_with_blanks_and_parentheses_is_read_right() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) Z (b'); print('named', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as program:  # type: ignore[call-overload]
        program.stdout.readline()
        assert start_ticks(program.pid) == start_ticks(program.pid) is not None
        assert start_ticks(program.pid) >= start_ticks(os.getpid())
        program.kill()


def test_processes_of_one_host_are_in_one_place() -> None:
    other = subprocess.check_output(
        [sys.executable, "-c", "from site_configs.marks import *; print(place())"]
    )
    assert other.decode().strip() == place()
