"""A campaign as the studies see it: its settings, its labels in their order of arrival, its ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from potentials.storage import DamagedModelError
from potentials.training.training_set import is_validation
from qm.config import PotentialLabellerConfig
from qm.label import Labeller
from workflow.dataset import Dataset
from workflow.labellers import make_labeller, refuse_other_level
from workflow.ledger import LedgerDamagedError, read_ledger
from workflow.potential_labeller import find_ensemble
from workflow.settings.config import CampaignConfig
from workflow.settings.load import load_campaign
from workflow.storage.manifest import DatasetError
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import LabelRecord


class StudyError(ValueError):
    """The study cannot be done with this campaign; the message says why."""


@dataclass(frozen=True)
class StudiedCampaign:
    """A campaign with its labels.

    Attributes
    ----------
    paths, config
        Where it lies; its settings with the overrides of the study.
    source
        Its label source.
    learnt, held_out
        Its labels in their order of arrival: those that train, and those, chosen by hash, that never do.
    trajectories
        Names of the trajectories that each round's ensemble drove, in the order of their ends.
    """

    paths: CampaignPaths
    config: CampaignConfig
    source: Labeller
    learnt: tuple[LabelRecord, ...]
    held_out: tuple[LabelRecord, ...]
    trajectories: dict[str, tuple[str, ...]]

    @property
    def element(self) -> str:
        """The only element."""
        return self.config.elements[0]

    @property
    def n_bootstrap(self) -> int:
        """How many of the labels that train were there before any ensemble."""
        return sum(record.provenance.source != "trajectory" for record in self.learnt)

    def close(self) -> None:
        """End the label source."""
        self.source.close()

    @property
    def driver(self) -> Path:
        """What drives dynamics: the label source where it is an ensemble, else the best one here."""
        labeller = self.config.labeller
        if isinstance(labeller, PotentialLabellerConfig):
            return find_ensemble(Path(labeller.model))
        return find_ensemble(self.paths.directory)


def open_campaign(directory: Path, overrides: Sequence[str] = ()) -> StudiedCampaign:
    """Read a campaign; nothing in it is changed.

    Raises
    ------
    StudyError
        If there is no campaign with labels, ensembles and one element, or its label source is another now.
    """
    paths = CampaignPaths(directory)
    try:
        config = load_campaign(paths.settings_in_force, overrides)
        dataset = Dataset.open(paths.dataset)
        records = {record.id: record for record in dataset.snapshot().records()}
        events = list(read_ledger(directory))
        source = make_labeller(config.labeller)
        refuse_other_level(source, dataset.fingerprint, "data set")
        find_ensemble(directory)
    except (DatasetError, LedgerDamagedError, DamagedModelError, OSError, ValueError) as error:
        raise StudyError(f"{directory}: {error}") from error
    if len(config.elements) != 1:
        raise StudyError(
            f"{directory}: found elements {', '.join(config.elements)}; studies need a campaign of one"
        )
    arrived = [event["id"] for event in events if event["event"] == "labelled" and event["ok"]]
    known = dict.fromkeys([*sorted(set(records) - set(arrived)), *arrived])  # imported labels are in no event
    ordered = [records[id_] for id_ in known if id_ in records]
    ordered.sort(key=lambda record: record.provenance.source == "trajectory")  # stable: bootstrap first
    fraction = config.synchronisation.validation_fraction
    driven: dict[str, dict[str, None]] = {}
    for event in events:
        if event["event"] == "sampled":
            for part in event["exposures"]:
                driven.setdefault(part["ensemble_id"], {})[part["trajectory_id"]] = None
    return StudiedCampaign(
        paths,
        config,
        source,
        learnt=tuple(r for r in ordered if not is_validation(r.id, fraction)),
        held_out=tuple(r for r in ordered if is_validation(r.id, fraction)),
        trajectories={name: tuple(ids) for name, ids in driven.items()},
    )
