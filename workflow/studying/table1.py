"""Table I of Smith et al. (2021): learnt from active-learned data, or from FCC and melts, tested on both.

Both ensembles have the same settings and learn from the same number of labels of the same source. The active
set is the campaign's, tested on the labels that it holds out. The other one is made as people do by hand
(`workflow.studying.conventional`); of it, whole trajectories are held out, for frames of one are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

import potentials
from potentials.training.training_set import TrainingSet
from workflow.storage.spool import LabelRecord, Provenance
from workflow.studying.campaign_labels import StudiedCampaign, StudyError
from workflow.studying.conventional import (
    PHASES,
    ConventionalConfig,
    Phase,
    kept_snapshots,
    n_trajectories,
)
from workflow.studying.costs import seconds_per_atom_step, seconds_per_label
from workflow.studying.dynamics import Snapshot
from workflow.studying.figures import METRICS, Bar, aligned, error_rows, over_seeds, write_results
from workflow.studying.labelling import Labels
from workflow.studying.plots import table1_plot
from workflow.studying.trainings import Trained, TrainingJob, in_processes, train_all
from workflow.tasks.train import training_set
from workflow.validating.numbers import seconds_text

ACTIVE, CONVENTIONAL = "active-learned", "FCC and melts"
SETS = (ACTIVE, CONVENTIONAL)

_GROUP = 12
"""Trajectories that advance together."""
_ATOMS = 51
"""Mean size of conventional cells, for the estimate."""
_TRAIN_SEED, _TEST_SEED = 1000, 2000


@dataclass(frozen=True)
class Table1:
    """The study: what to do it with.

    Attributes
    ----------
    campaign
        With active-learned labels.
    conventional
        How the other set is made.
    n_seeds
        Trainings of each set.
    n_labels
        Labels to learn from, at most; those of the campaign are drawn at random.
    workers
        Processes.
    out
        Where everything is kept.
    """

    campaign: StudiedCampaign
    conventional: ConventionalConfig
    n_seeds: int
    n_labels: int | None
    workers: int
    out: Path

    def plan(self) -> list[str]:
        """Return what will be done and about how long it takes if nothing is known yet, line by line."""
        n_learnt, n_tested = self._sizes
        active = training_set(self._active(self.n_labels))
        per_label = seconds_per_label(self.campaign.config, active)
        sampling = self.campaign.config.sampling
        n = sum(2 * n_trajectories(size, self.conventional, sampling) for size in (n_learnt, n_tested))
        steps = 1000.0 * self.conventional.duration_ps / sampling.dynamics.timestep_fs
        dynamics_s = n * steps * _ATOMS * seconds_per_atom_step(potentials.load(self.campaign.driver), active)
        training_s = 2 * self.n_seeds * n_learnt * per_label
        return [
            f"{ACTIVE} and {CONVENTIONAL}: {n_learnt} labels each to learn from, {n_tested} to test on",
            f"  {n} trajectories of {self.conventional.duration_ps:g} ps: about {seconds_text(dynamics_s)}",
            f"  {2 * self.n_seeds} trainings of {self.campaign.config.potential.n_members} members: "
            f"about {seconds_text(training_s)}",
            f"  by {self.workers} processes together about "
            f"{seconds_text((dynamics_s + training_s) / self.workers)}, and the labels",
        ]

    def run(self, say: Callable[[str], None]) -> list[Path]:
        """Do it, say how it goes and what came of it, and return the files."""
        learnt, tests = self._sets(say)
        config = self.campaign.config
        jobs = [
            TrainingJob(
                name,
                learnt[name],
                tests,
                config.elements,
                config.potential,
                config.training,
                seed,
            )
            for seed in range(1, self.n_seeds + 1)
            for name in SETS
        ]
        done: list[Trained] = []

        def on_done(result: Trained) -> None:
            done.append(result)
            how = result.remark or seconds_text(result.seconds)
            say(f"[{len(done)}/{len(jobs)}] {result.name}, seed {result.seed}: {how}")

        return self._write(train_all(jobs, self.out / "trainings", self.workers, on_done), tests, say)

    def _active(self, n: int | None) -> Sequence[LabelRecord]:
        """Return labels of the campaign to learn from; where not all, so many at random."""
        records = self.campaign.learnt
        rows = np.random.default_rng(self.campaign.config.seed).permutation(len(records))[:n]
        return [records[i] for i in sorted(rows)]

    @property
    def _sizes(self) -> tuple[int, int]:
        return len(self._active(self.n_labels)), len(self.campaign.held_out)

    def _sets(self, say: Callable[[str], None]) -> tuple[dict[str, TrainingSet], dict[str, TrainingSet]]:
        """Return what to learn from, of one size, and what to test on."""
        n_learnt, n_tested = self._sizes
        labels = Labels(self.campaign, self.out)
        by_hand = self._conventional(n_learnt, _TRAIN_SEED, labels, say)
        tested = self._conventional(n_tested, _TEST_SEED, labels, say)
        say(f"{CONVENTIONAL}: {len(by_hand)} and {len(tested)} labels, {labels.n_refused} frames refused")
        if not by_hand or not tested or not self.campaign.held_out:
            raise StudyError("no labels to learn from or to test on; see refused/ for the reasons")
        n = min(n_learnt, len(by_hand))
        return (
            {ACTIVE: training_set(self._active(n)), CONVENTIONAL: training_set(by_hand[:n])},
            {ACTIVE: training_set(self.campaign.held_out), CONVENTIONAL: training_set(tested)},
        )

    def _conventional(
        self, n: int, seed: int, labels: Labels, say: Callable[[str], None]
    ) -> list[LabelRecord]:
        """Return so many labels, of crystals and melts in turn."""
        found = []
        for phase in PHASES:
            seen = conventional_snapshots(
                self.campaign, phase, n, seed, self.conventional, self.out, self.workers, say
            )
            found.append(labels.all(as_candidates(seen), ceil(n / len(PHASES))))
        return [record for pair in zip(*found, strict=False) for record in pair][:n]

    def _write(
        self, trained: Sequence[Trained], tests: dict[str, Any], say: Callable[[str], None]
    ) -> list[Path]:
        of = {name: [result for result in trained if result.name == name] for name in SETS}
        bars = {
            (learnt, tested, metric): over_seeds(of[learnt], tested, metric)
            for learnt in SETS
            for tested in SETS
            for metric in METRICS
        }
        ratios = {metric: _ratio(of, metric) for metric in METRICS}
        head = ["learnt from", "tested on", "labels", "frames", *METRICS.values()]
        lines = [
            [
                learnt,
                tested,
                str(of[learnt][0].n_labels),
                str(len(tests[tested])),
                *(bars[learnt, tested, metric].text() for metric in METRICS),
            ]
            for learnt in SETS
            for tested in SETS
        ]
        last = [f"{CONVENTIONAL} : {ACTIVE}", ACTIVE, "", "", *(ratios[m].text() for m in METRICS)]
        say("\n" + aligned([head, *lines, last]))
        results = {
            "study": "table1",
            "source": self.campaign.source.fingerprint,
            "settings": _settings(self.campaign),
            "table": [
                {"learnt_from": learnt, "tested_on": tested, "metric": metric, **bar.plain()}
                for (learnt, tested, metric), bar in bars.items()
            ],
            "ratios_on_active_learned": {metric: bar.plain() for metric, bar in ratios.items()},
        }
        return write_results(self.out, "table1", results, error_rows(trained, SETS), table1_plot(bars, SETS))


def _ratio(of: dict[str, list[Trained]], metric: str) -> Bar:
    """Return how many times worse the conventional ensemble is on active-learned data, seed by seed."""
    pairs = zip(of[CONVENTIONAL], of[ACTIVE], strict=True)
    return Bar.of(
        getattr(worse.errors[ACTIVE], metric) / getattr(better.errors[ACTIVE], metric)
        for worse, better in pairs
        if worse.errors and better.errors
    )


def conventional_snapshots(
    campaign: StudiedCampaign,
    phase: Phase,
    n_frames: int,
    seed: int,
    config: ConventionalConfig,
    out: Path,
    workers: int,
    say: Callable[[str], None],
) -> list[Snapshot]:
    """Return frames of one phase, half of ``n_frames`` and some more, from trajectories of this seed."""
    n = n_trajectories(n_frames, config, campaign.config.sampling)
    parts = [min(_GROUP, n - first) for first in range(0, n, _GROUP)]
    calls = [
        (
            kept_snapshots,
            (
                phase,
                campaign.element,
                size,
                str(campaign.driver),
                campaign.config.sampling,
                config,
                seed + i,
                str(out / "dynamics"),
            ),
        )
        for i, size in enumerate(parts)
    ]
    done: list[int] = []

    def on_done(seen: list[Snapshot]) -> None:
        done.append(len(seen))
        say(f"[{len(done)}/{len(calls)}] {phase}: {len(seen)} frames")

    return [snapshot for seen in in_processes(calls, workers, on_done) for snapshot in seen]


def as_candidates(snapshots: Sequence[Snapshot]) -> list[tuple[Any, Provenance]]:
    """Return frames with where they come from, as the labels keep it."""
    return [
        (
            s.frame,
            Provenance(
                source="trajectory",
                trajectory=s.trajectory,
                time_fs=s.time_fs,
                temperature_k=s.temperature_k,
            ),
        )
        for s in snapshots
    ]


def _settings(campaign: StudiedCampaign) -> dict[str, Any]:
    config = campaign.config
    return {
        "potential": config.potential.model_dump(mode="json"),
        "training": config.training.model_dump(mode="json"),
        "labeller": config.labeller.model_dump(mode="json"),
    }
