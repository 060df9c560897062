"""Signals: a campaign that is asked to end writes its checkpoints first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from workflow.driver import Driver

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers send before the end of a walltime."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *WARNINGS)


@contextmanager
def interruptible(driver: Driver) -> Iterator[None]:
    """While inside, SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 (schedulers' warnings) end it in state paused.

    A second SIGINT gives up at once, as Python does by itself.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        driver.interrupt(name)

    previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
