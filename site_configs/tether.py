"""Runs a module so that it never outlives the campaign's driver.

``python -m site_configs.tether [--session] [--log FILE] MODULE [ARGUMENT ...]`` runs a module as
``python -m MODULE`` would, beside a thread that looks once a second whether the driver (named by the
environment) still lives. When it is gone, every process that it started on this host is killed: a driver
killed in any way leaves nothing behind, whether or not somebody resumes the campaign.

``--session`` takes the module out of the driver's session, so that Ctrl-C reaches the driver only.
``--log`` sends its output to a file: a process that held the driver's output would keep its readers waiting.
"""

from __future__ import annotations

import argparse
import os
import runpy
import signal
import sys
import threading
import time

from site_configs.marks import DRIVER_MARK, DRIVER_PLACE_MARK, command, is_alive, kill, marked, place

PERIOD_S = 1.0
"""Time between two looks at the driver, s."""


def main() -> None:
    """Run the module named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m site_configs.tether")
    parser.add_argument("--session", action="store_true")
    parser.add_argument("--log")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.session:
        os.setsid()
    if options.log:
        _send_output_to(options.log)
    if os.environ.get(DRIVER_PLACE_MARK) in {None, place()}:
        threading.Thread(target=_watch, args=(os.environ[DRIVER_MARK],), name="tether", daemon=True).start()
    # Parsl gives its processes titles if it can, which overwrites the environment, and the marks in it.
    sys.modules["setproctitle"] = None  # type: ignore[assignment]
    sys.argv = [options.module, *options.arguments]
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


def _send_output_to(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _watch(driver: str) -> None:
    while is_alive(driver):
        time.sleep(PERIOD_S)
    end_all_of(driver)
    os.kill(os.getpid(), signal.SIGKILL)


def end_all_of(driver: str) -> None:
    """Kill what a dead driver started on this host, ourselves excepted.

    Several tethers do this at the same time. Each kills the others only when nothing else is left, so that
    whichever of them goes first, the work is finished.
    """
    while others := [pid for pid in marked(DRIVER_MARK, driver) if not _is_tether(pid)]:
        for pid in others:
            kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for pid in marked(DRIVER_MARK, driver):
        if pid != os.getpid():
            kill(pid, signal.SIGKILL)


def _is_tether(pid: int) -> bool:
    return "site_configs.tether" in command(pid)


if __name__ == "__main__":
    main()
