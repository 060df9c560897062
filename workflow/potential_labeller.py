"""Labels from an ensemble of ours, so that a potential can be learnt anew from a potential."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import torch
from ase import Atoms

import potentials
from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.storage import CARD
from qm.checks import input_problem
from qm.config import PotentialLabellerConfig
from qm.fingerprint import fingerprint
from qm.label import Label, LabelFailure
from workflow.storage.paths import CampaignPaths

CODE = "potential"
VERSION = "1"
"""Raised when the same ensemble begins to give other numbers; part of the fingerprint."""


class PotentialLabeller:
    """Labels by the mean of an ensemble's members, in double precision, on the CPU of this process.

    The energy has the shifts of the elements in it; the stress is given for frames that are periodic in three
    directions. The ensemble is read once; what later happens to its directory does not matter to this object.

    Raises
    ------
    ValueError
        If there is no ensemble where the settings say, or it is damaged.
    """

    def __init__(self, config: PotentialLabellerConfig) -> None:
        self._ensemble = potentials.load(find_ensemble(Path(config.model))).to(dtype=torch.float64)
        self._fingerprint = fingerprint(
            {"code": CODE, "version": VERSION, "ensemble": ensemble_content(self._ensemble)}
        )

    @property
    def fingerprint(self) -> str:
        """Hash of all that the ensemble computes with, wherever it lies, and the version of this file."""
        return self._fingerprint

    @property
    def elements(self) -> frozenset[str]:
        """The elements of the ensemble."""
        return frozenset(self._ensemble.elements)

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:  # noqa: ARG002
        """Label one frame; nothing is written to ``scratch``."""
        started = time.perf_counter()
        problem = input_problem(frame, self.elements)
        if problem is not None:
            return LabelFailure("bad_input", problem)
        periodic = bool(frame.pbc.all())
        try:
            batch = Batch.from_frames([frame], self._ensemble.elements, dtype=torch.float64)
            result = self._ensemble.evaluate(batch, stress=periodic)
        except ValueError as error:
            return LabelFailure("bad_input", str(error))
        wall_s = time.perf_counter() - started
        return Label(
            energy_ev=float(result.member_energies.mean()),
            forces_ev_per_ang=result.forces.numpy(),
            stress_ev_per_ang3=None if result.stress is None else result.stress[0].numpy(),
            fingerprint=self._fingerprint,
            code=CODE,
            version=VERSION,
            wall_s=wall_s,
            core_s=wall_s * torch.get_num_threads(),
            host=platform.node(),
        )

    def close(self) -> None:
        """Nothing to end."""


def find_ensemble(path: Path) -> Path:
    """Return the directory of the ensemble at ``path``: itself, or the best one of the campaign there.

    The best ensemble of a campaign that goes on changes, so the answer has symbolic links resolved.

    Raises
    ------
    ValueError
        If there is neither.
    """
    for directory in (path, CampaignPaths(path).current):
        if (directory / CARD).is_file():
            return directory.resolve()
    raise ValueError(
        f"{path}: expected the directory of an ensemble, with {CARD}, or of a campaign that has one; "
        f"found {'neither in it' if path.is_dir() else 'no such directory'}"
    )


def ensemble_content(ensemble: AniEnsemble) -> dict[str, object]:
    """Return all that an ensemble computes with, as plain values: weights and shifts by their checksum."""
    digest = blake2b(digest_size=16)
    for tensor in (*ensemble.networks.parameters(), ensemble.shift_ev):
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return {
        "elements": list(ensemble.elements),
        "descriptors": asdict(ensemble.spec),
        "celu_alpha": ensemble.networks.celu_alpha,
        "weights": digest.hexdigest(),
    }
