"""What simulated tasks take and return; their labels are real files."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from qm.config import EamConfig
from qm.label import Label
from workflow.labellers import make_labeller
from workflow.state import round_name
from workflow.storage.files import SEAL_LENGTH, seal
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import LabelRecord, Provenance, item_path, write_label
from workflow.tasks.build import BuildSummary
from workflow.tasks.label import LabelOutcome
from workflow.tasks.rescore import RescoreSummary
from workflow.tasks.sample import ChunkSummary
from workflow.tasks.train import TrainingSummary

LABEL_S = (7.6, 1034.0)
"""Shortest and longest label, as in a published campaign; drawn evenly in the logarithm."""
MEAN_LABEL_S = (LABEL_S[1] - LABEL_S[0]) / math.log(LABEL_S[1] / LABEL_S[0])
CHUNK_S = (480.0, 720.0)
YIELD = 0.75
"""Candidates of a chunk, on average: four samplers find about as many as a node can label."""
SHORT_S = 5.0
"""Building cells, rescoring, and the end of a chunk that was told to stop."""
N_ATOMS = 32
_ANY_ID = "f" * 32


class Times:
    """Draws how long tasks take."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def label_s(self) -> float:
        return float(np.exp(self.rng.uniform(*np.log(LABEL_S))))

    def chunk_s(self) -> float:
        return float(self.rng.uniform(*CHUNK_S))

    def training_s(self, n_labels: int) -> float:
        return float(self.rng.uniform(0.8, 1.2) * (120.0 + 0.003 * n_labels))

    def of(self, kind: str, args: tuple[Any, ...], n_labels: int) -> float:
        """Return how long a task takes, s."""
        if kind == "label_candidates":
            return sum(self.label_s() for _ in args[1])
        if kind == "train_round":
            return self.training_s(n_labels)
        if kind == "sample_chunk" and not CampaignPaths(Path(args[0])).stop_sampling.exists():
            return self.chunk_s()
        return SHORT_S


class Work:
    """Does what the driver sees of a task: files and a summary."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._n_ids = 0
        self.n_labels = 0
        fingerprint = make_labeller(EamConfig()).fingerprint
        frame = Atoms(
            "Al" * N_ATOMS, positions=times.rng.uniform(0.0, 8.0, (N_ATOMS, 3)), cell=[8] * 3, pbc=True
        )
        label = Label(
            -3.0 * N_ATOMS,
            np.zeros((N_ATOMS, 3)),
            np.zeros((3, 3)),
            fingerprint,
            "none",
            "1",
            1.0,
            1.0,
            "simulated",
        )
        with tempfile.TemporaryDirectory() as directory:
            record = LabelRecord(_ANY_ID, frame, label, Provenance(source="trajectory"))
            self._label_file = write_label(Path(directory), record).read_bytes()

    def do(self, kind: str, args: tuple[Any, ...]) -> Any:
        """Return the summary of a task that has come to its end."""
        return getattr(self, f"_{kind}")(CampaignPaths(Path(args[0])), *args[1:])

    def _ids(self, n: int) -> list[str]:
        first, self._n_ids = self._n_ids, self._n_ids + n
        return [f"{number:032x}" for number in range(first, self._n_ids)]

    def _build_candidates(self, _paths: CampaignPaths, first: int, n: int) -> BuildSummary:
        return BuildSummary(first, n, self._ids(n))

    def _sample_chunk(
        self, _paths: CampaignPaths, cycle: int, group: int, chunk: int, number: int
    ) -> ChunkSummary:
        found = self._ids(int(self._times.rng.poisson(YIELD)))
        exposures = [
            {
                "trajectory_id": f"c{cycle}-g{group}-t{chunk}-{i}",
                "ensemble_id": round_name(number),
                "entry_fs": 0.0,
                "exit_fs": 2000.0,
                "ended": True,
                "reason": "max_force_disagreement",
            }
            for i in range(len(found))
        ]
        candidates = dict.fromkeys(found, "max_force_disagreement")
        return ChunkSummary(
            cycle, group, chunk, round_name(number), 2000, 200_000, 1.0, exposures, candidates
        )

    def _rescore_candidates(self, _paths: CampaignPaths, ids: list[str], _number: int) -> RescoreSummary:
        return RescoreSummary(ids)

    def _label_candidates(
        self, paths: CampaignPaths, ids: list[str], _last: list[bool]
    ) -> list[LabelOutcome]:
        for id_ in ids:
            item_path(paths.labels, id_).write_bytes(self._label_of(id_))
        self.n_labels += len(ids)
        return [LabelOutcome(id_, ok=True, wall_s=1.0, core_s=1.0) for id_ in ids]

    def _label_of(self, id_: str) -> bytes:
        """Return the content of a label's file, sealed as a worker would.

        All are alike but for the id. The archive's own checksum is not that of the new id; the driver looks
        at the seal.
        """
        payload = self._label_file[:-SEAL_LENGTH].replace(
            _ANY_ID.encode("utf-32-le"), id_.encode("utf-32-le")
        )
        return payload + seal(payload)

    def _train_round(
        self, _paths: CampaignPaths, number: int, cycle: int, version: int, promoted: int | None
    ) -> TrainingSummary:
        def errors(of: int) -> dict[str, Any]:
            return {"n_labels": 100, "energy_rmse_mev_per_atom": 10.0 / of, "force_rmse_ev_per_ang": 0.1 / of}

        before = None if promoted is None else errors(promoted)
        return TrainingSummary(number, cycle, version, False, self.n_labels, 100, errors(number), before)
