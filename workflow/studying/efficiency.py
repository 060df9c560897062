"""Active learning against random selection from the same trajectories.

* **Active learning**: the campaign's labels in their order of arrival, without those it holds out. There is
  one campaign: seeds differ in first weights and the order of frames, and in nothing else.
* **Random selection**: the same bootstrap, then as many labels of each round as the campaign took, drawn at
  random from that round's own trajectories. These are run again with the same cells, schedules, velocities
  and ensemble, but to their end: nothing stops them but the end of their schedule, a blow-up or a close
  contact. The gates and the label's checks are the campaign's. Every seed draws frames of its own. Beyond the
  campaign's number of labels, drawing goes on over the same rounds.

The design favours random selection in three ways: its trajectories are driven by ensembles that active
learning made and it could not have made itself; it sees their full length from the first round on; and it
spends more steps of dynamics for each label there. It is at a disadvantage in one: its frames come from fewer
trajectories, several from each.

Both learn with the settings of the campaign from the same number of labels, and are tested on labels that
neither learns from: those that the campaign holds out, frames of replayed trajectories that give no labels,
and frames unlike both (melts, crystals, surfaces and defects).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import potentials
from potentials.training.training_set import TrainingSet
from qm.fingerprint import fingerprint
from workflow.storage.spool import LabelRecord, Provenance
from workflow.studying.campaign_labels import StudiedCampaign, StudyError
from workflow.studying.conventional import ConventionalConfig, n_trajectories
from workflow.studying.costs import mean_atoms, seconds_per_atom_step, seconds_per_label
from workflow.studying.crossing import Crossing, crossing
from workflow.studying.dynamics import Snapshot, load_snapshots
from workflow.studying.figures import METRICS, Bar, aligned, error_rows, over_seeds, write_results
from workflow.studying.foreign_frames import KINDS, frames_of
from workflow.studying.labelling import Labels
from workflow.studying.plots import ENERGY, FORCE, efficiency_plot
from workflow.studying.replay import Replay, drawn_at_random, plan_replays, replay
from workflow.studying.table1 import as_candidates, conventional_snapshots
from workflow.studying.trainings import Trained, TrainingJob, in_processes, train_all
from workflow.tasks.train import training_set
from workflow.validating.numbers import seconds_text

ACTIVE, RANDOM = "active learning", "random selection"
ARMS = (ACTIVE, RANDOM)
BOOTSTRAP = "bootstrap"
"""Name of ensembles of the bootstrap alone, which both arms begin with."""

HELD_OUT, TRAJECTORIES, MELTS = "held out", "trajectories", "melts"
TESTS = (HELD_OUT, TRAJECTORIES, MELTS, *KINDS)
OUTSIDE = (MELTS, *KINDS)
"""Test sets that no trajectory of disordered cells is drawn from."""

_TEST_SEED = 3000


@dataclass(frozen=True)
class Efficiency:
    """The study: what to do it with.

    Attributes
    ----------
    campaign
        With active-learned labels.
    conventional
        How melts are made.
    n_seeds
        Of each arm.
    sizes
        Numbers of labels that learn; by default four from the bootstrap's to the campaign's.
    factor
        Random selection goes on to so many times the campaign's labels.
    frames_per_trajectory
        Labels that a replayed trajectory gives on average, with one pass.
    n_test
        Frames of each test set but the campaign's own.
    workers, out
        Processes; where everything is kept.
    """

    campaign: StudiedCampaign
    conventional: ConventionalConfig
    n_seeds: int
    sizes: tuple[int, ...] | None
    factor: float
    frames_per_trajectory: int
    n_test: int
    workers: int
    out: Path

    @property
    def _replays(self) -> list[Replay]:
        return plan_replays(self.campaign, self.frames_per_trajectory)

    def sizes_of(self, arm: str) -> list[int]:
        """Return the numbers of labels that an arm is trained with, ascending."""
        first, last = self.campaign.n_bootstrap, len(self.campaign.learnt)
        if self.sizes is not None:
            wanted = {*self.sizes}
        else:
            wanted = {round(n) for n in np.geomspace(max(first, 1), last, 4)}
        most = last if arm == ACTIVE else round(self.factor * last)
        if arm == RANDOM and self.factor > 1.0:
            wanted |= {round(math.sqrt(self.factor) * last), most}
        return sorted(n for n in wanted if max(first, 1) <= n <= most)

    def plan(self) -> list[str]:
        """Return what will be done and about how long it takes if nothing is known yet, line by line.

        Raises
        ------
        StudyError
            If there is nothing to compare.
        """
        replays = self._replays
        if not replays:
            raise StudyError(f"{self.campaign.paths.directory}: no label comes from a trajectory")
        sizes = {arm: self.sizes_of(arm) for arm in ARMS}
        if not sizes[ACTIVE]:
            raise StudyError(
                f"sizes: found {', '.join(map(str, self.sizes or ()))}; expected one between the bootstrap's "
                f"{self.campaign.n_bootstrap} labels and the campaign's {len(self.campaign.learnt)}"
            )
        sampling = self.campaign.config.sampling
        data = training_set(self.campaign.learnt)
        ensemble = potentials.load(self.campaign.paths.model(int(replays[0].round_name.rpartition("-")[2])))
        n = sum(len(planned.names) for planned in replays)
        n_melts = n_trajectories(2 * self.n_test, self.conventional, sampling)
        time_ps = n * sampling.schedule.duration_ps + n_melts * self.conventional.duration_ps
        steps = 1000.0 * time_ps / sampling.dynamics.timestep_fs
        dynamics_s = steps * mean_atoms([data]) * seconds_per_atom_step(ensemble, data)
        n_learnt = sum(sum(sizes[arm]) for arm in ARMS) - self.campaign.n_bootstrap
        training_s = self.n_seeds * n_learnt * seconds_per_label(self.campaign.config, data)
        duration_ps = sampling.schedule.duration_ps
        together_s = (dynamics_s + training_s) / self.workers
        return [
            *(f"{arm}: {', '.join(map(str, sizes[arm]))} labels, {self.n_seeds} seeds" for arm in ARMS),
            f"  {n} trajectories of {len(replays)} rounds to {duration_ps:g} ps and {n_melts} of melts: "
            f"about {seconds_text(dynamics_s)}",
            f"  trainings of {self.campaign.config.potential.n_members} members: about "
            f"{seconds_text(training_s)}",
            f"  by {self.workers} processes together about {seconds_text(together_s)}, and the labels",
        ]

    def run(self, say: Callable[[str], None]) -> list[Path]:
        """Do it, say how it goes and what came of it, and return the files."""
        labels = Labels(self.campaign, self.out)
        pools = self._pools(say)
        tests = {name: training_set(records) for name, records in self._tests(pools, labels, say).items()}
        jobs = self._jobs(pools, labels, tests, say)
        done: list[Trained] = []

        def on_done(result: Trained) -> None:
            done.append(result)
            how = result.remark or seconds_text(result.seconds)
            what = f"{result.name}, {result.n_labels} labels, seed {result.seed}"
            say(f"[{len(done)}/{len(jobs)}] {what}: {how}")

        trained = train_all(jobs, self.out / "trainings", self.workers, on_done)
        return self._write(trained, tests, labels, say)

    # -- frames and labels

    def _pools(self, say: Callable[[str], None]) -> list[tuple[Replay, list[Snapshot]]]:
        """Return what was seen of every round's trajectories."""
        config, replays = self.campaign.config, self._replays
        calls, files = [], []
        for planned in replays:
            key = fingerprint(
                {
                    "names": list(planned.names),
                    "sampling": config.sampling.model_dump(mode="json"),
                    "builder": config.builder.model_dump(mode="json"),
                    "seed": config.seed,
                }
            )
            files.append(self.out / "dynamics" / f"{planned.round_name}-{key[:12]}.npz")
            calls.append((replay, (str(self.campaign.paths.directory), config, planned, str(files[-1]))))
        done: list[int] = []

        def on_done(n_frames: int) -> None:
            done.append(n_frames)
            say(f"[{len(done)}/{len(calls)}] replayed trajectories: {n_frames} frames")

        in_processes(calls, self.workers, on_done)
        return [(planned, load_snapshots(file)) for planned, file in zip(replays, files, strict=True)]

    def _tests(
        self, pools: Sequence[tuple[Replay, list[Snapshot]]], labels: Labels, say: Callable[[str], None]
    ) -> dict[str, Sequence[LabelRecord]]:
        unlearnt = [s for planned, seen in pools for s in seen if s.trajectory in planned.held_out]
        order = np.random.default_rng(_TEST_SEED).permutation(len(unlearnt))
        melts = conventional_snapshots(
            self.campaign, "melt", 2 * self.n_test, _TEST_SEED, self.conventional, self.out, self.workers, say
        )
        tests: dict[str, Sequence[LabelRecord]] = {
            HELD_OUT: self.campaign.held_out,
            TRAJECTORIES: labels.all(as_candidates([unlearnt[i] for i in order]), self.n_test),
            MELTS: labels.all(as_candidates(melts), self.n_test),
        }
        for kind in KINDS:
            frames = frames_of(kind, self.campaign.element, _TEST_SEED)
            wanted = [(next(frames), Provenance(source="import", reason=kind)) for _ in range(self.n_test)]
            tests[kind] = labels.all(wanted)
        for name, records in tests.items():
            say(f"to test on, {name}: {len(records)} labels")
        return {name: records for name, records in tests.items() if records}

    def _jobs(
        self,
        pools: Sequence[tuple[Replay, list[Snapshot]]],
        labels: Labels,
        tests: Mapping[str, TrainingSet],
        say: Callable[[str], None],
    ) -> list[TrainingJob]:
        config, campaign = self.campaign.config, self.campaign
        n_bootstrap = campaign.n_bootstrap
        jobs = []
        for seed in range(1, self.n_seeds + 1):
            wanted = self.sizes_of(RANDOM)[-1]
            drawn = self._random(pools, labels, wanted, seed)
            say(f"{RANDOM}, seed {seed}: {len(drawn)} of {wanted} labels, {labels.n_refused} frames refused")
            for arm, learnt in ((ACTIVE, campaign.learnt), (RANDOM, drawn)):
                for n in dict.fromkeys(min(n, len(learnt)) for n in self.sizes_of(arm)):
                    if n == n_bootstrap and arm == RANDOM:
                        continue  # the same as the other arm's
                    name = BOOTSTRAP if n == n_bootstrap else arm
                    data = training_set(learnt[:n])
                    jobs.append(
                        TrainingJob(
                            name, data, tests, config.elements, config.potential, config.training, seed
                        )
                    )
        return jobs

    def _random(
        self, pools: Sequence[tuple[Replay, list[Snapshot]]], labels: Labels, n: int, seed: int
    ) -> list[LabelRecord]:
        """Return the bootstrap's labels and random ones, ``n`` in all where there are so many."""
        open_to_draw = [
            (planned, [s for s in seen if s.trajectory in planned.learnt]) for planned, seen in pools
        ]
        bootstrap = list(self.campaign.learnt[: self.campaign.n_bootstrap])
        n_passes = math.ceil(2.0 * self.factor)
        drawn = [snapshot for _, snapshot in drawn_at_random(open_to_draw, n_passes, seed)]
        return bootstrap + labels.all(as_candidates(drawn), n - len(bootstrap))

    # -- what came of it

    def _write(
        self,
        trained: Sequence[Trained],
        tests: Mapping[str, TrainingSet],
        labels: Labels,
        say: Callable[[str], None],
    ) -> list[Path]:
        names = [name for name in TESTS if name in tests]
        curves = {
            (arm, test, metric): [
                (n, over_seeds(found, test, metric)) for n, found in _by_size(trained, arm).items()
            ]
            for arm in ARMS
            for test in names
            for metric in METRICS
        }
        say("\n" + self._table(curves, names))
        needed = {
            (test, metric): labels_needed(trained, test, metric)
            for test in names
            for metric in (ENERGY, FORCE)
        }
        say(f"\n{RANDOM} needs for the errors of {ACTIVE} with {len(self.campaign.learnt)} labels, by seed:")
        for (test, metric), found in needed.items():
            say(f"  {test}, {METRICS[metric]}: {'; '.join(one.text() for one in found)}")
        results: dict[str, Any] = {
            "study": "efficiency",
            "source": self.campaign.source.fingerprint,
            "n_bootstrap": self.campaign.n_bootstrap,
            "n_active": len(self.campaign.learnt),
            "n_refused": labels.n_refused,
            "replayed": [
                {"round": planned.round_name, "labels": planned.n_labels, "trajectories": len(planned.names)}
                for planned in self._replays
            ],
            "settings": {
                "potential": self.campaign.config.potential.model_dump(mode="json"),
                "training": self.campaign.config.training.model_dump(mode="json"),
            },
            "curves": [
                {"arm": arm, "tested_on": test, "metric": metric, "n_labels": n, **bar.plain()}
                for (arm, test, metric), points in curves.items()
                for n, bar in points
            ],
            "labels_needed_at_random": [
                {
                    "tested_on": test,
                    "metric": metric,
                    "kind": one.kind,
                    "n_labels": _known(one.n_labels),
                    "extrapolated": _known(one.extrapolated),
                }
                for (test, metric), found in needed.items()
                for one in found
            ],
        }
        rows = error_rows(trained, names)
        return write_results(self.out, "efficiency", results, rows, efficiency_plot(curves, ARMS, names))

    def _table(
        self, curves: Mapping[tuple[str, str, str], Sequence[tuple[int, Bar]]], tests: Sequence[str]
    ) -> str:
        head = ["", "labels", *(f"{test}: meV/atom, eV/Å" for test in tests)]
        lines = []
        for arm in ARMS:
            for i, (n, _) in enumerate(curves[arm, tests[0], ENERGY]):
                cells = [
                    f"{curves[arm, test, ENERGY][i][1].text(2)}, {curves[arm, test, FORCE][i][1].text(2)}"
                    for test in tests
                ]
                lines.append([arm, str(n), *cells])
        return aligned([head, *lines])


def _by_size(trained: Sequence[Trained], arm: str) -> dict[int, list[Trained]]:
    found: dict[int, list[Trained]] = {}
    for result in trained:
        if result.name in (arm, BOOTSTRAP):
            found.setdefault(result.n_labels, []).append(result)
    return dict(sorted(found.items()))


def labels_needed(trained: Sequence[Trained], test: str, metric: str) -> list[Crossing]:
    """Return, for each seed of random selection, with how many labels it is as good as active learning.

    That is the mean error over seeds of active learning with all of its labels.
    """
    active = _by_size(trained, ACTIVE)
    if not active:
        return []
    target = over_seeds(active[max(active)], test, metric).mean
    by_seed: dict[int, dict[int, float]] = {}
    for n, results in _by_size(trained, RANDOM).items():
        for result in results:
            if test in result.errors:
                by_seed.setdefault(result.seed, {})[n] = float(getattr(result.errors[test], metric))
    return [crossing(list(errors), list(errors.values()), target) for _, errors in sorted(by_seed.items())]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
