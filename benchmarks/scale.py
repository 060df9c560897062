"""Simulation of a campaign on a large machine: how busy the loop keeps it, and what that costs its driver.

    python -m benchmarks.scale [--nodes 10 100 1000] [--hours 12] [--seed 1] [--directory DIR]

Real: the driver. Its loop, stages, ledger and data set run as in any campaign, and every label is read from
its file and merged. The processor time that the driver takes goes by on the simulated clock too; Parsl's own
work does not (a line of the table adds it), and nothing waits for the disk. Simulated: nodes and tasks, which
take times drawn from the distributions below, write the files that the driver reads, and return made-up
summaries. Nodes die, for good; their tasks start anew elsewhere.

Of N nodes with 4 GPUs one trains, half of the others label, each a frame at a time on the whole node, and the
rest sample, one worker per GPU. The same work with a barrier after each stage (as many labels, chunks and
trainings) gets all nodes in each stage, and loses none of them: that is in its favour.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np

import workflow.campaign
import workflow.ledger
from benchmarks.loop import SETTINGS, Nobody, machine, row
from benchmarks.scale_parts.pool import Clock, SimulatedPool
from benchmarks.scale_parts.tasks import CHUNK_S, LABEL_S, MEAN_LABEL_S, YIELD, Times
from site_configs.config import SiteConfig
from site_configs.roles import Part, Slice
from workflow.accounting import TimeSpent, gpu_time
from workflow.campaign import run_campaign
from workflow.settings.config import CampaignConfig
from workflow.settings.load import save_resolved
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths

GPUS = tuple("0123")
NODE_LIFE_H = 5000.0
REAL_TASK_S = 0.0027
"""The driver's processor time for a task with Parsl's threads, as `benchmarks.loop` measures it, s."""


@dataclass(frozen=True)
class Outcome:
    """What one simulated campaign came to."""

    hours: float
    labels: int
    rounds: int
    spent: TimeSpent
    deaths: int
    chunks: int
    take_up_s: Sequence[float]
    """From the end of a training to the start of the first chunk that uses it, s."""
    driver_s: float
    n_tasks: int
    idle: dict[str, float]
    """Share of all GPU time that was idle, by when."""


def division(nodes: int) -> dict[str, Part]:
    """Return what each role gets: one node trains, half of the others label."""
    labelling = (nodes - 1) // 2
    sampling = nodes - 1 - labelling
    return {
        "training": Part((Slice(1, 4, GPUS),)),
        "labelling": Part((Slice(1, 4, GPUS, 1, labelling),)),
        "sampling": Part((Slice(4, 4, GPUS, 1 + labelling, sampling),)),
    }


def settings(nodes: int, hours: float) -> CampaignConfig:
    """Return settings that make work for about so many hours."""
    labelling = division(nodes)["labelling"].workers
    changes: dict[str, Any] = {
        "bootstrap": {"n_frames": 12 * labelling, "ready_fraction": 0.3},
        "candidates": {"max_in_flight": 24 * labelling},
        "synchronisation": {"min_new_labels": 8 * labelling},
        "stop": {
            "max_labels": round(3600.0 * hours / MEAN_LABEL_S * labelling),
            "min_trajectories": 10**9,
        },
    }
    return CampaignConfig.model_validate_json(json.dumps(SETTINGS | changes), strict=True)


def simulate(nodes: int, hours: float, seed: int, directory: Path) -> Outcome:
    """Run the real driver on simulated nodes until its budget of labels is spent."""
    config, paths = settings(nodes, hours), CampaignPaths(directory)
    directory.mkdir(parents=True)
    save_resolved(config, paths.settings)
    save_resolved(config, paths.settings_in_force)
    clock, site = Clock(), SimpleNamespace(executors=division(nodes))
    pool = SimulatedPool(site.executors, Times(seed), clock, NODE_LIFE_H * 3600.0)
    with (
        patch.object(workflow.ledger, "time", clock),  # events bear the simulated time
        patch.object(workflow.campaign, "WATCH_EVERY_S", 0.0),  # the pool lets time go by when it is checked
        patch.object(os, "fsync", lambda _file: None),
        patch.object(workflow.campaign, "write_report"),
        patch.object(workflow.campaign, "write_metrics"),
    ):
        ending = run_campaign(config, cast(SiteConfig, site), directory, Nobody(), lambda *_: pool)
    if ending.state != "budget_spent":
        raise SystemExit(f"the campaign ended as {ending.state}: {ending.reason}")
    state = load_state(directory)
    return Outcome(
        state.wall_s / 3600.0,
        state.n_labels,
        len(state.rounds),
        gpu_time(state),
        pool.n_deaths,
        pool.done["sample_chunk"],
        pool.take_up_s,
        clock.driver_s,
        pool.done.total(),
        idle_by_phase(pool, 4 * nodes, state.wall_s),
    )


def idle_by_phase(pool: SimulatedPool, n_gpus: int, wall_s: float) -> dict[str, float]:
    """Return the idle share of all GPU time: before there is an ensemble, at the end, and between."""
    idle: Counter[str] = Counter()
    n_busy = 0
    for second in range(int(wall_s)):
        n_busy += pool.busy_changes[second]
        if pool.first_chunk is None or second < pool.first_chunk:
            phase = "until the first trajectory"
        else:
            phase = "between" if second < pool.last_label else "after the last label has begun"
        idle[phase] += n_gpus - n_busy
    return {phase: n / (n_gpus * wall_s) for phase, n in idle.items()}


def with_barriers(nodes: int, ours: Outcome, seed: int) -> tuple[float, float]:
    """Return the hours, and the busy share, of the same work with a barrier after each stage."""
    times, total_s, busy_s = Times(seed), 0.0, 0.0
    n_labels = 0
    for number in range(1, ours.rounds + 1):
        labels = ours.labels // ours.rounds
        n_labels += labels
        stages = [
            ([times.chunk_s() for _ in range(ours.chunks // ours.rounds)], 4 * nodes, 1),
            ([times.label_s() for _ in range(labels)], nodes, 4),
            ([times.training_s(n_labels)], 1, 4),
        ]
        for tasks, workers, gpus in stages if number > 1 else stages[1:]:
            total_s += makespan(tasks, workers)
            busy_s += gpus * sum(tasks)
    return total_s / 3600.0, busy_s / (4 * nodes * total_s)


def makespan(tasks_s: Sequence[float], workers: int) -> float:
    """Return when the last task ends if each worker takes the next one as soon as it is free, s."""
    free = [0.0] * workers
    for seconds in tasks_s:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def report(nodes: int, hours: float, seed: int, directory: Path) -> str:
    """Simulate one size; return its table."""
    began = time.process_time()
    ours = simulate(nodes, hours, seed, directory)
    simulator_s = time.process_time() - began - ours.driver_s
    barrier_h, barrier_busy = with_barriers(nodes, ours, seed)
    take_up = np.array(ours.take_up_s or [math.nan])
    memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shares: Counter[str] = Counter(ours.spent.shares)
    lines = [
        f"Simulation: {nodes:,} nodes x 4 GPUs, {ours.labels:,} labels, {ours.chunks:,} chunks, "
        f"{ours.rounds} trainings, {ours.deaths} nodes died",
        row("GPUs busy, start and end included", 100.0 * (1.0 - shares["idle"]), "%"),
        *(row(f"  idle {phase}", 100.0 * share, "%") for phase, share in ours.idle.items()),
        row("  useful", 100.0 * shares["useful"], "%"),
        row("  repeated after a node died", 100.0 * shares["repeated"], "%"),
        row("  with a barrier after each stage, busy", 100.0 * barrier_busy, "%"),
        row("time to solution", ours.hours, "h"),
        row("  with a barrier after each stage", barrier_h, "h"),
        row("from a training to its first chunk, median", float(np.median(take_up)), "s"),
        row("  longest", float(take_up.max()), "s"),
        row("driver's processor time", ours.driver_s, f"s (the simulator's own: {simulator_s:.0f} s)"),
        row("  of one core", 100.0 * ours.driver_s / (3600.0 * ours.hours), "%"),
        row(
            f"  with {1e3 * REAL_TASK_S:g} ms per task for Parsl",
            100.0 * (ours.driver_s + REAL_TASK_S * ours.n_tasks) / (3600.0 * ours.hours),
            "% of one core",
        ),
        row("memory, simulator included, so far", memory_gib, "GiB"),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000], help="sizes, at least 3")
    parser.add_argument("--hours", type=float, default=12.0, help="of labelling, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="where to run; default the temporary directory")
    given = parser.parse_args(arguments)
    if min(given.nodes) < 3:
        parser.error(f"--nodes: a role needs a node each, at least 3 are expected, found {min(given.nodes)}")
    print(machine())
    print(
        f"Simulation: labels {LABEL_S[0]:g} to {LABEL_S[1]:g} s, evenly in the logarithm, mean "
        f"{MEAN_LABEL_S:.0f} s;\nchunks {CHUNK_S[0]:g} to {CHUNK_S[1]:g} s with {YIELD:g} candidates; "
        f"trainings 120 s + 3 ms per label, +-20 %;\na node lives {NODE_LIFE_H:g} h on average"
    )
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        for nodes in sorted(given.nodes):
            print(report(nodes, given.hours, given.seed, Path(directory) / str(nodes)), flush=True)


if __name__ == "__main__":
    main()
