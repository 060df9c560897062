"""Where everything of a campaign lies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workflow.state import round_name


@dataclass(frozen=True)
class CampaignPaths:
    """The campaign directory, taken apart."""

    directory: Path

    @property
    def settings(self) -> Path:
        """The settings as resolved; safe ones may be edited while the campaign runs."""
        return self.directory / "campaign.yaml"

    @property
    def settings_in_force(self) -> Path:
        """The settings that were accepted last: tasks read these, so that no edit reaches them unchecked."""
        return self.directory / "in-force.yaml"

    @property
    def site(self) -> Path:
        """The site as resolved, for jobs of the campaign."""
        return self.directory / "site.yaml"

    @property
    def batch_script(self) -> Path:
        """The batch script of the campaign's jobs."""
        return self.directory / "job.sh"

    @property
    def jobs(self) -> Path:
        """Which jobs were submitted last."""
        return self.directory / "jobs.json"

    @property
    def candidates(self) -> Path:
        """Frames waiting for a label."""
        return self.directory / "candidates"

    @property
    def labels(self) -> Path:
        """Labels waiting for a merge."""
        return self.directory / "labels"

    @property
    def quarantine(self) -> Path:
        """Candidates without a usable label, with the reason."""
        return self.directory / "quarantine"

    @property
    def kpoint_checks(self) -> Path:
        """Labels to be made a second time with more k-points, and what came of it until the ledger has it."""
        return self.directory / "kpoint-checks"

    @property
    def dataset(self) -> Path:
        """The global training set."""
        return self.directory / "dataset.zarr"

    @property
    def models(self) -> Path:
        """The ensembles, one directory per round."""
        return self.directory / "models"

    @property
    def current(self) -> Path:
        """Symbolic link to the best promoted ensemble."""
        return self.models / "current"

    @property
    def trajectories(self) -> Path:
        """Checkpoints of running trajectories."""
        return self.directory / "trajectories"

    @property
    def logs(self) -> Path:
        """Logs of the driver, the executors and failed tasks."""
        return self.directory / "logs"

    @property
    def failed_labels(self) -> Path:
        """What the newest failed labels have left, an archive each."""
        return self.logs / "failed-labels"

    @property
    def scratch(self) -> Path:
        """Working directories of label codes."""
        return self.directory / "scratch"

    @property
    def stop_sampling(self) -> Path:
        """While this file exists, sampling tasks end at their next check."""
        return self.directory / "stop-sampling"

    @property
    def stop_training(self) -> Path:
        """While this file exists, training tasks write a checkpoint and end."""
        return self.directory / "stop-training"

    def model(self, number: int) -> Path:
        """Directory of the ensemble of a round."""
        return self.models / round_name(number)

    def training(self, number: int) -> Path:
        """Directory of a round's training checkpoint."""
        return self.directory / "training" / round_name(number)

    def chunk(self, cycle: int, group: int, chunk: int) -> Path:
        """State of a group of trajectories after a chunk; its existence says that the chunk is done."""
        return self.trajectories / f"cycle-{cycle}-group-{group:04d}-chunk-{chunk:06d}.npz"

    def chunk_summary(self, cycle: int, group: int, chunk: int) -> Path:
        """What a chunk found; written before the chunk's state."""
        return self.chunk(cycle, group, chunk).with_suffix(".json")

    def make(self) -> None:
        """Make the directories that workers write to, private to the user."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (
            self.candidates,
            self.labels,
            self.quarantine,
            self.models,
            self.trajectories,
            self.logs,
        ):
            path.mkdir(mode=0o700, exist_ok=True)
