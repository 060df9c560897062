"""A campaign of seconds: cells of a few atoms, two small networks, trainings of three epochs."""

import json
from collections import Counter
from unittest.mock import patch

from thread_pool import ThreadPool

import workflow.campaign
from site_configs.load import load_site
from workflow.campaign import run_campaign
from workflow.dataset import Dataset
from workflow.ledger import read_ledger
from workflow.settings.config import CampaignConfig
from workflow.settings.load import load_campaign, save_resolved
from workflow.storage.paths import CampaignPaths

SETTINGS = {
    "name": "tiny",
    "elements": ["Al"],
    "seed": 1,
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
    "training": {"max_epochs": 3},
    "sampling": {
        "n_slots": 4,
        "chunk_steps": 20,
        "check_every_steps": 5,
        "max_candidates_per_chunk": 6,
        "schedule": {"duration_ps": 0.05},
        "thresholds": {
            "max_energy_error_mev_per_sqrt_atom": 1.0,
            "max_mean_force_error_ev_per_ang": 0.01,
            "max_force_error_ev_per_ang": 0.02,
        },
    },
    "bootstrap": {"n_frames": 16, "frames_per_task": 8, "ready_fraction": 1.0},
    "labelling": {"frames_per_task": 2},
    "candidates": {"max_in_flight": 20},
    "synchronisation": {"min_new_labels": 8, "validation_fraction": 0.2},
    "stop": {"median_survival_ps": 0.05, "min_trajectories": 4, "max_rounds": 2},
    "breaker": {"window": 6, "max_failures": 3},
}
"""Thresholds are so low that all cells are candidates."""

AGREES = {
    "max_energy_error_mev_per_sqrt_atom": 1e6,
    "max_mean_force_error_ev_per_ang": 1e6,
    "max_force_error_ev_per_ang": 1e6,
    "close_contact_ang": 0.1,
    "blow_up_force_ev_per_ang": 1e6,
    "blow_up_temperature_k": 1e9,
}
"""Thresholds that nothing passes: every trajectory completes."""


def tiny_settings(**changes):
    """Return the settings, with ``stage__key=value`` changes."""
    settings = {name: dict(v) if isinstance(v, dict) else v for name, v in SETTINGS.items()}
    for name, value in changes.items():
        stage, _, key = name.partition("__")
        if key:
            settings.setdefault(stage, {})[key] = value
        else:
            settings[stage] = value
    return settings


def tiny_config(**changes):
    return CampaignConfig.model_validate_json(json.dumps(tiny_settings(**changes)), strict=True)


def prepare(directory, config):
    """Write the settings as a launch does; return the paths."""
    paths = CampaignPaths(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_resolved(config, paths.settings)
    save_resolved(config, paths.settings_in_force)
    return paths


class Watcher:
    """An observer that keeps what it is told, and may act on it."""

    def __init__(self, act=None):
        self.notes = []
        self._act = act

    def note(self, line):
        self.notes.append(line)

    def update(self, state):
        if self._act is not None:
            self._act(state)

    def close(self):
        pass


class Killed(BaseException):
    """Stands for the driver's sudden end."""


def run_tiny(directory, config=None, *, pool=None, watcher=None):
    """Begin a campaign, or go on with it, in threads; with a config its settings become those in force.

    Without its report, which takes several times as long as all the rest.
    """
    paths = CampaignPaths(directory)
    if config is None:
        config = load_campaign(paths.settings_in_force)
    else:
        prepare(directory, config)
    make_pool = (lambda *_: ThreadPool()) if pool is None else (lambda *_: pool)
    with patch.object(workflow.campaign, "write_report"):
        return run_campaign(config, load_site("local"), directory, watcher or Watcher(), make_pool)


def events(directory, kind=None):
    return [event for event in read_ledger(directory) if kind is None or event["event"] == kind]


def check_books(directory):
    """Whatever happened: the data set is whole, and nothing was counted twice."""
    paths = CampaignPaths(directory)
    dataset = Dataset.open(paths.dataset)
    assert dataset.verify() == []
    ids = dataset.snapshot().ids
    assert len(ids) == len(set(ids)) == dataset.n_labels
    merges = events(directory, "merged")
    assert merges[-1]["n_labels"] == dataset.n_labels
    assert sum(merge["n_new"] for merge in merges) == dataset.n_labels
    for kind, keys in (("sampled", ("cycle", "group", "chunk")), ("trained", ("round",))):
        done = Counter(tuple(event[key] for key in keys) for event in events(directory, kind))
        assert max(done.values(), default=1) == 1, kind
    stretches = Counter(
        (part["trajectory_id"], part["ensemble_id"], part["entry_fs"])
        for event in events(directory, "sampled")
        for part in event["exposures"]
    )
    assert max(stretches.values(), default=1) == 1
    return dataset
