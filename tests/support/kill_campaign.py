"""Kills a small campaign at random moments, resumes it each time, and counts what was lost.

    python tests/support/kill_campaign.py --kills 30 --seed 1

Killed with SIGKILL are the driver, a worker, a manager, an interchange, or the driver's whole process group.
Where the driver is gone the same command starts it again; where an executor broke it must do so by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from tiny_campaign import check_books, events, tiny_settings

from site_configs.marks import CAMPAIGN_MARK, marked
from workflow.dataset import Dataset
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import ids

KINDS = ("driver", "worker", "manager", "interchange", "group")
LIMIT_S = 180.0
"""Longest time in which a campaign must make progress after a kill, or come to its end."""

EARLY = 0.4
"""Share of the kills that do not wait for progress since the last one."""

_SUPPORT = Path(__file__).parent
_MODULES = {
    "manager": "parsl.executors.high_throughput.process_worker_pool",
    "interchange": "parsl.executors.high_throughput.interchange",
}


@dataclass
class Outcome:
    """What became of the campaign."""

    kills: Counter[str] = field(default_factory=Counter)
    early: int = 0
    """Kills before a driver had finished its first task."""
    phases: Counter[str] = field(default_factory=Counter)
    """Kills by what the campaign was doing."""
    starts: int = 0
    breakdowns: int = 0
    seen: set[str] = field(default_factory=set)
    """Every label ever seen on disk."""
    labels: int = 0
    lost: set[str] = field(default_factory=set)
    quarantined: int = 0
    rounds: int = 0
    state: str = ""
    left: list[int] = field(default_factory=list)
    """Processes with the campaign's mark after its end."""
    wall_s: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(f"{n} {kind}" for kind, n in sorted(self.kills.items()))
        phases = ", ".join(f"{n} {phase}" for phase, n in sorted(self.phases.items()))
        return (
            f"{self.kills.total()} kills ({kills}; {self.early} during start-up; {phases}), "
            f"{self.starts} starts by command, {self.breakdowns} by the driver itself\n"
            f"ended {self.state} after {self.rounds} rounds and {self.wall_s:.0f} s\n"
            f"{len(self.seen)} labels seen on disk, {self.labels} in the data set, {len(self.lost)} lost, "
            f"none twice, {self.quarantined} refused, {len(self.left)} processes left"
        )


class Victim:
    """The campaign's driver and what it started, seen from outside."""

    def __init__(self, directory: Path, outcome: Outcome) -> None:
        self.paths = CampaignPaths(directory / "run")
        self._settings = directory / "settings.yaml"
        self._log = (directory / "output.log").open("ab")
        self._outcome = outcome
        self._process: subprocess.Popen[bytes] | None = None
        self.write(max_rounds=10_000)

    def write(self, max_rounds: int) -> None:
        """Write the settings that the command reads; the number of rounds may change at any time."""
        settings = tiny_settings(
            name="victim",
            labeller={"kind": "ase", "calculator": "faulty_calculators.Slow", "walltime_s": 30.0},
            bootstrap={"n_frames": 24, "frames_per_task": 6},
            synchronisation={"min_new_labels": 12, "validation_fraction": 0.2},
            candidates={"max_in_flight": 30},
            breaker={"window": 40, "max_failures": 30},
            stop__max_rounds=max_rounds,
        )
        self._settings.write_text(yaml.safe_dump(settings))

    def start(self) -> None:
        """Start the driver in a session of its own; always by the same command."""
        self._outcome.starts += 1
        command = [sys.executable, "-m", "workflow.launch", "--site", "local", "--resume"]
        command += ["--campaign", str(self._settings), "--directory", str(self.paths.directory)]
        command += ["--set", "site.health.silence_s=6", "--set", "site.health.idle_s=10"]
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        environment = {**os.environ, **threads, "PYTHONPATH": str(_SUPPORT)}
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def target(self, kind: str, rng: random.Random) -> int | None:
        """Return a process of this kind, or ``None`` where there is none now."""
        if kind in {"driver", "group"}:
            return self.process.pid
        pids = [pid for pid in marked(CAMPAIGN_MARK, self.campaign_id) if self._kind(pid) == kind]
        return rng.choice(sorted(pids)) if pids else None

    @property
    def campaign_id(self) -> str:
        return load_state(self.paths.directory).campaign_id or "none yet"

    def _kind(self, pid: int) -> str:
        try:
            process = psutil.Process(pid)
            command, parent = process.cmdline(), process.parent()
            if parent is not None and _MODULES["manager"] in parent.cmdline():
                return "worker"
        except psutil.Error:
            return "gone"
        for kind, module in _MODULES.items():
            if module in command:
                return kind
        return "other"

    @property
    def n_tasks(self) -> int:
        """Tasks that have ended well so far."""
        return sum(work.n_ok for work in load_state(self.paths.directory).work.values())

    @property
    def is_at_work(self) -> bool:
        """Whether a task has ended since the driver began or replaced itself."""
        kinds = [event["event"] for event in events(self.paths.directory)]
        return "task" in kinds[len(kinds) - kinds[::-1].index("started") :] if "started" in kinds else False

    def wait_for(self, condition: Callable[[], int | None], what: str) -> int:
        """Return what the condition says once it says something; it must, in time and with a live driver."""
        end = time.monotonic() + LIMIT_S
        while not (found := condition()):
            if self.process.poll() is not None:
                raise AssertionError(f"the driver ended by itself with status {self.process.returncode}")
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {LIMIT_S:g} s; see {self._log.name}")
            time.sleep(0.05)
        return found

    def kill(self, kind: str, pid: int) -> None:
        """Kill it; wait for the driver's end if it was the driver."""
        with suppress(ProcessLookupError):
            (os.killpg if kind == "group" else os.kill)(pid, signal.SIGKILL)
        if kind in {"driver", "group"}:
            self.process.wait()

    def finish(self) -> None:
        """Let the campaign come to its end: the same command, with a number of rounds that is in reach."""
        self.write(max_rounds=len(load_state(self.paths.directory).rounds) + 2)
        self.kill("driver", self.process.pid)
        self.start()
        status = self.process.wait(LIMIT_S)
        if status != 0:
            raise AssertionError(f"the campaign ended with status {status}; see {self._log.name}")

    def note_labels(self) -> None:
        """Keep the ids of all labels that are on disk now."""
        self._outcome.seen |= ids(self.paths.labels)


def kill_campaign(directory: Path, kills: int, seed: int) -> Outcome:
    """Run a campaign in ``directory``, killing parts of it ``kills`` times, to its end."""
    began = time.monotonic()
    outcome, rng = Outcome(), random.Random(seed)
    victim = Victim(directory, outcome)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(victim, over), daemon=True)
    watch.start()
    kinds = [KINDS[i % len(KINDS)] for i in range(kills)]
    rng.shuffle(kinds)
    try:
        victim.start()
        for kind in kinds:
            _kill_some_time(victim, kind, outcome, rng)
        victim.finish()
    finally:
        victim.kill("group", victim.process.pid)
        over.set()
        watch.join()
    _settle(victim, outcome)
    outcome.wall_s = time.monotonic() - began
    return outcome


def _kill_some_time(victim: Victim, kind: str, outcome: Outcome, rng: random.Random) -> None:
    """Kill a part of that kind at a random moment: while it starts or recovers, or when it is at work."""
    if rng.random() < EARLY:
        time.sleep(rng.uniform(0.0, 5.0))
    else:
        n_done = victim.n_tasks
        victim.wait_for(lambda: victim.n_tasks > n_done, "sign of progress")
        time.sleep(rng.uniform(0.0, 4.0))
    state = load_state(victim.paths.directory)
    outcome.phases["training" if any(r.ended is None for r in state.rounds.values()) else state.phase] += 1
    outcome.early += not victim.is_at_work
    victim.kill(kind, victim.wait_for(lambda: victim.target(kind, rng), kind))
    outcome.kills[kind] += 1
    if kind in {"driver", "group"}:
        victim.start()


def _watch(victim: Victim, over: threading.Event) -> None:
    while not over.wait(0.01):
        victim.note_labels()


def _settle(victim: Victim, outcome: Outcome) -> None:
    dataset = check_books(victim.paths.directory)
    in_quarantine = ids(victim.paths.quarantine)
    state = load_state(victim.paths.directory)
    _merged_stay(victim, dataset)
    outcome.labels = dataset.n_labels
    outcome.lost = outcome.seen - dataset.ids
    outcome.quarantined = len(in_quarantine)
    outcome.rounds = state.round
    outcome.state = state.phase
    outcome.breakdowns = len(events(victim.paths.directory, "broken"))
    outcome.left = marked(CAMPAIGN_MARK, state.campaign_id)


def _merged_stay(victim: Victim, dataset: Dataset) -> None:
    """Every label of every snapshot that a training started from is still there."""
    for version in dataset.versions:
        missing = set(dataset.snapshot(version).ids) - dataset.ids
        if missing:
            raise AssertionError(f"snapshot {version} held {len(missing)} labels that are gone")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="new directory for the campaign; by default temporary")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="kill-campaign-"))
    directory.mkdir(parents=True, exist_ok=True)
    outcome = kill_campaign(directory, options.kills, options.seed)
    print(f"{outcome}\n(campaign in {directory}, seed {options.seed})")  # noqa: T201
    return 1 if outcome.lost or outcome.left else 0


if __name__ == "__main__":
    sys.exit(main())
