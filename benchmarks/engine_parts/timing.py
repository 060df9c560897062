"""Times of rivals taken in turns, so that all feel the same load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

BURST_S = 0.02
"""A turn goes on for this long, so that caches are warm for all but its first call."""

Turn = Callable[[], tuple[float, float]]
"""Takes a turn; returns the least CPU and wall seconds of one call."""


@dataclass
class Timing:
    """One rival's turns: seconds of one call."""

    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

    def seconds(self, device: str) -> list[float]:
        """CPU time on a CPU; on a GPU, where the CPU only waits, wall time."""
        return self.cpu_s if device == "cpu" else self.wall_s

    def least(self, device: str) -> float:
        """Seconds of the fastest call."""
        return min(self.seconds(device))

    def spread(self, device: str) -> float:
        """Median over least, less one."""
        return statistics.median(self.seconds(device)) / self.least(device) - 1.0


def turn_of(call: Callable[[], object], device: str) -> Turn:
    """Make turns of a function that works on ``device``."""

    def turn() -> tuple[float, float]:
        cpu_s, wall_s, spent_s = [], [], 0.0
        while not cpu_s or (spent_s < BURST_S) or (len(cpu_s) < 2 and spent_s < 50 * BURST_S):
            synchronise(device)
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            synchronise(device)
            cpu_s.append(time.process_time() - cpu)
            wall_s.append(time.perf_counter() - wall)
            spent_s += wall_s[-1]
        return min(cpu_s), min(wall_s)

    return turn


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def take_turns(
    turns: Mapping[str, Turn], seconds: float, *, least_rounds: int = 3, most_rounds: int = 30
) -> dict[str, Timing]:
    """Let everybody warm up, then go round until the time is over."""
    timings = {name: Timing() for name in turns}
    for turn in turns.values():
        turn()
    start = time.perf_counter()
    for number in range(most_rounds):
        if number >= least_rounds and time.perf_counter() - start > seconds:
            break
        for name, turn in turns.items():
            cpu_s, wall_s = turn()
            timings[name].cpu_s.append(cpu_s)
            timings[name].wall_s.append(wall_s)
    return timings
