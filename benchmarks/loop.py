"""Throughput of the whole loop: what the driver costs per label, and how busy it keeps its workers.

    python -m benchmarks.loop [--labels 2000] [--seconds 300] [--workers 2] [--directory DIR]

Both are real campaigns on the local site, whose roles share their workers.

Overhead: all labels are of random cells of a few atoms and take no time, one label to a task; then one
training of one epoch. The driver's processor time is that of its process with all threads, start and end of
the executors included, the report left out. Times by part are the main thread's, on the wall.

Busy: label times are spread 1:100 evenly in their logarithm (0.05 to 5 s asleep), beside sampling and
trainings that compute. Busy is the share of the workers' time spent in tasks, from the campaign's first event
to its last. Every idle second of a worker is put down to what it was waiting for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import workflow.campaign
from site_configs.load import load_site
from workflow.campaign import run_campaign
from workflow.driver import Driver
from workflow.execution.pool import ParslPool
from workflow.journal import Journal
from workflow.ledger import Event, Ledger, read_ledger
from workflow.settings.config import CampaignConfig
from workflow.settings.load import save_resolved
from workflow.stages.training import Training
from workflow.state import CampaignState, fold
from workflow.storage.paths import CampaignPaths

SHORTEST_S, LONGEST_S = 0.05, 5.0
MEAN_S = (LONGEST_S - SHORTEST_S) / math.log(LONGEST_S / SHORTEST_S)
HANDOVER_S = 0.1
"""Idle for less than this between two tasks: the time from one task's end to the next one's start."""

PARTS = {
    "starting the executors": (ParslPool, "_start"),
    "submitting tasks": (ParslPool, "submit"),
    "ledger: writing and folding": (Journal, "record"),
    "ledger: waiting for the disk": (Ledger, "sync"),
    "merging labels": (Training, "synchronise"),
    "dealing with results": (Driver, "_handle"),
    "waiting for results": (Driver, "handle_results"),
    "ending the executors": (ParslPool, "close"),
}
"""What the driver's main thread does; a part that calls another counts without it."""

SETTINGS: dict[str, Any] = {
    "name": "loop",
    "elements": ["Al"],
    "labeller": {"kind": "eam"},
    "builder": {
        "kind": "disorder",
        "side_ang": [5.0, 6.0],
        "density_g_per_cm3": [2.0, 2.6],
        "min_distance_ang": 2.0,
    },
    "potential": {
        "kind": "ani",
        "radial_cutoff_ang": 4.5,
        "angular_cutoff_ang": 3.5,
        "n_radial": 6,
        "radial_eta_per_ang2": 4.0,
        "n_angular_radial": 2,
        "n_angles": 2,
        "zeta": 8.0,
        "angular_eta_per_ang2": 2.0,
        "hidden": [8, 4],
        "n_members": 2,
    },
}


class Nobody:
    """Watches the campaign and shows nothing."""

    def note(self, line: str) -> None:
        pass

    def update(self, state: CampaignState) -> None:
        pass

    def close(self) -> None:
        pass


class Stopwatch:
    """Times calls of methods; a timed call within another counts for itself only."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._inner_s = [0.0]

    @contextmanager
    def __call__(self, name: str, owner: type, method: str) -> Iterator[None]:
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self._inner_s.append(0.0)
            try:
                return original(*args, **kwargs)
            finally:
                took_s = time.perf_counter() - began
                self.spent_s[name] += took_s - self._inner_s.pop()
                self._inner_s[-1] += took_s

        with patch.object(owner, method, timed):
            yield


def run(directory: Path, changes: dict[str, Any], workers: int) -> list[Event]:
    """Run a campaign without its report and return its events from the start to the stop."""
    config = CampaignConfig.model_validate_json(json.dumps(SETTINGS | changes), strict=True)
    paths = CampaignPaths(directory)
    directory.mkdir(parents=True)
    save_resolved(config, paths.settings)
    save_resolved(config, paths.settings_in_force)
    site = load_site("local", {"shared.workers": workers})
    with patch.object(workflow.campaign, "write_report"), patch.object(workflow.campaign, "write_metrics"):
        ending = run_campaign(config, site, directory, Nobody())
    if ending.state != "budget_spent":
        raise SystemExit(f"the campaign ended as {ending.state}: {ending.reason}")
    return list(read_ledger(directory))


def overhead(directory: Path, n_labels: int, workers: int) -> str:
    """Run a campaign whose labels cost nothing; return the table of what they cost the driver."""
    changes = {
        "training": {"max_epochs": 1},
        "bootstrap": {"n_frames": n_labels, "ready_fraction": 1.0},
        "stop": {"max_rounds": 1},
    }
    watch = Stopwatch()
    with ExitStack() as stack:
        for name, (owner, method) in PARTS.items():
            stack.enter_context(watch(name, owner, method))
        began, before_s, main_s = time.perf_counter(), time.process_time(), time.thread_time()
        events = run(directory, changes, workers)
        wall_s, driver_s, main_s = (
            time.perf_counter() - began,
            time.process_time() - before_s,
            time.thread_time() - main_s,
        )
    n = fold(events).n_labelled
    labelled = [event["time"] for event in events if event["event"] == "labelled"]
    rate = (n - 1) / (labelled[-1] - labelled[0])
    return "\n".join(
        [
            f"Overhead: {n} labels that take no time, one to a task",
            row("rate while labelling", rate, "labels/s"),
            row("driver's processor time", driver_s / n * 1e3, "ms/label"),
            row("  its main thread", main_s / n * 1e3, "ms/label"),
            row("  Parsl's threads", (driver_s - main_s) / n * 1e3, "ms/label"),
            row("driver's wall time", wall_s / n * 1e3, f"ms/label, {wall_s:.1f} s in all:"),
            *(row(f"  {name}", watch.spent_s[name], "s") for name in PARTS),
            row("  everything else", wall_s - sum(watch.spent_s.values()), "s"),
        ]
    )


def busy(directory: Path, seconds: float, workers: int) -> str:
    """Run a campaign whose labels take about ``seconds``; return the table of what its workers did."""
    n_labels = max(48, round(seconds * workers / MEAN_S))
    sleeping = {
        "kind": "ase",
        "calculator": "benchmarks.sleeping_calculator.Sleeping",
        "arguments": {"shortest_s": SHORTEST_S, "longest_s": LONGEST_S},
        "elements": ["Al"],
    }
    changes = {
        "labeller": sleeping,
        "training": {"max_epochs": 10},
        "sampling": {
            "n_slots": 4,
            "chunk_steps": 100,
            "max_candidates_per_chunk": 20,
            "schedule": {"duration_ps": 0.5},
            "thresholds": {
                "max_energy_error_mev_per_sqrt_atom": 1.0,
                "max_mean_force_error_ev_per_ang": 0.01,
                "max_force_error_ev_per_ang": 0.02,
            },
        },
        "bootstrap": {"n_frames": max(20, n_labels // 4)},
        "synchronisation": {"min_new_labels": max(4, n_labels // 8)},
        "candidates": {"max_in_flight": max(20, n_labels // 4)},
        "stop": {"max_labels": n_labels, "median_survival_ps": 0.5, "min_trajectories": 10**9},
    }
    events = run(directory, changes, workers)
    state = fold(events)
    offered_s = state.wall_s * workers
    kinds: Counter[str] = Counter()
    for task in tasks(events):
        kinds[task["kind"]] += task["ended"] - task["started"]
    lines = [
        f"Busy: {state.n_labelled} labels of {SHORTEST_S:g} to {LONGEST_S:g} s, "
        f"{len(state.rounds)} trainings, {state.wall_s:.0f} s, {workers} workers"
    ]
    lines.append(row("workers busy", 100 * state.workers_busy_fraction, "%, of which"))
    lines += [row(f"  {kind}", 100 * s / offered_s, "%") for kind, s in kinds.most_common()]
    firsts = sorted(tasks(events), key=lambda task: task["started"])[:workers]
    loading_s = sum(task["ended"] - task["started"] for task in firsts)
    lines.append(row("  (in the first tasks, which load the code", 100 * loading_s / offered_s, "%)"))
    idle = idle_by_cause(events, workers)
    lines.append(row("workers idle", 100 * idle.total() / offered_s, "%, of which"))
    lines += [
        row(f"  {cause}", 100 * s / offered_s, f"%  {s:6.1f} s")
        for cause, s in idle.most_common()
        if s >= 0.05
    ]
    return "\n".join(lines)


def tasks(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "task"]


def idle_by_cause(events: Sequence[Event], workers: int) -> Counter[str]:
    """Return the workers' idle seconds by what they waited for."""
    begin, end = (next(e["time"] for e in events if e["event"] == name) for name in ("started", "stopped"))
    done = tasks(events)
    first, last = min(t["started"] for t in done), max(t["ended"] for t in done)
    last_start = max(t["started"] for t in done)
    times = sorted({begin, end, *(t["started"] for t in done), *(t["ended"] for t in done)})
    idle: Counter[str] = Counter()
    for left, right in pairwise(times):
        running = sorted({t["kind"] for t in done if t["started"] <= left and t["ended"] >= right})
        n_running = sum(t["started"] <= left and t["ended"] >= right for t in done)
        if left < first:
            cause = "start, until the first task"
        elif left >= last:
            cause = "end of the executors"
        elif right - left < HANDOVER_S:
            cause = "hand-over between tasks"
        else:
            when = "at the end, " if left >= last_start else ""
            cause = f"{when}nothing beside {' and '.join(running) or 'the driver'}"
        idle[cause] += (workers - n_running) * (right - left)
    return +idle


def row(name: str, value: float, unit: str) -> str:
    return f"  {name:44}{value:9.2f} {unit}"


def machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("parsl", "torch", "zarr", "numpy"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\nPython {platform.python_version()}, {versions}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=2000, help="labels that take no time, at least 20")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the busy campaign, at least 30")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, help="where to run; default the temporary directory")
    given = parser.parse_args(arguments)
    print(machine())
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        print(overhead(Path(directory) / "overhead", given.labels, given.workers), flush=True)
        print(busy(Path(directory) / "busy", given.seconds, given.workers))


if __name__ == "__main__":
    main()
