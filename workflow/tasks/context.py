"""What tasks on a worker share: settings, label source and seeds, loaded once per worker."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from qm.label import Labeller
from workflow.labellers import make_labeller, refuse_other_level
from workflow.ledger import fingerprint_at_start
from workflow.settings.config import CampaignConfig
from workflow.settings.load import load_campaign
from workflow.storage.paths import CampaignPaths

BOOTSTRAP_STREAM, SAMPLING_STREAM, TRAINING_STREAM = range(3)
"""Branches of the campaign's seed, so that no two stages ever draw the same numbers."""


def campaign(directory: str) -> tuple[CampaignPaths, CampaignConfig]:
    """Return paths and settings in force of the campaign in ``directory``."""
    paths = CampaignPaths(Path(directory))
    return paths, _settings(paths.settings_in_force, paths.settings_in_force.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _settings(path: Path, _mtime_ns: int) -> CampaignConfig:
    return load_campaign(path, [])


_sources: dict[str, Labeller] = {}


def labeller(paths: CampaignPaths, config: CampaignConfig) -> Labeller:
    """Return the campaign's label source, made once per worker and again where its settings changed.

    Raises
    ------
    ValueError
        If it cannot be made, or what it reads has changed since the campaign was launched.
    """
    key = config.labeller.model_dump_json()
    if key not in _sources:
        for outdated in _sources.values():
            outdated.close()
        _sources.clear()
        source = make_labeller(config.labeller)
        refuse_other_level(source, fingerprint_at_start(paths.directory), "ledger")
        _sources[key] = source
    return _sources[key]


def seed_sequence(config: CampaignConfig, *branch: int) -> np.random.SeedSequence:
    """Return the random stream of one branch of the campaign's seed."""
    return np.random.SeedSequence(config.seed, spawn_key=branch)
