"""Labels for the frames of a study, each kept on disk: the same frame is never labelled twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ase import Atoms

from qm.checks import checked_label
from qm.fingerprint import label_id
from qm.label import LabelFailure
from sampling.gates import reject_reason
from workflow.storage.files import DamagedFileError
from workflow.storage.spool import (
    LabelRecord,
    Provenance,
    Refusal,
    item_path,
    read_label,
    write_label,
    write_refusal,
)
from workflow.studying.campaign_labels import StudiedCampaign


class Labels:
    """The label source of a campaign, with its gates and checks, and a directory of what it has said."""

    def __init__(self, campaign: StudiedCampaign, directory: Path) -> None:
        self._campaign = campaign
        self._kept = directory / "labels"
        self._refused = directory / "refused"
        self.n_refused = 0

    def get(self, frame: Atoms, provenance: Provenance) -> LabelRecord | None:
        """Return the label of a frame, or ``None`` where the gates, the source or the checks refuse it."""
        config, source = self._campaign.config, self._campaign.source
        if reject_reason(frame, config.gates) is not None:
            self.n_refused += 1
            return None
        id_ = label_id(frame, source.fingerprint)
        try:
            return read_label(item_path(self._kept, id_))
        except (FileNotFoundError, DamagedFileError):
            pass
        if item_path(self._refused, id_).exists():
            self.n_refused += 1
            return None
        with TemporaryDirectory() as scratch:
            label = checked_label(source, frame, Path(scratch), config.checks)
        if isinstance(label, LabelFailure):
            write_refusal(self._refused, Refusal(id_, frame, label.reason, label.message, provenance))
            self.n_refused += 1
            return None
        record = LabelRecord(id_, frame, label, provenance)
        write_label(self._kept, record)
        return record

    def all(
        self,
        frames: Sequence[tuple[Atoms, Provenance]],
        n_wanted: int | None = None,
        on_label: Callable[[int], None] = lambda _: None,
    ) -> list[LabelRecord]:
        """Return labels of frames in their order, up to ``n_wanted``; refused ones are passed over."""
        found: dict[str, LabelRecord] = {}
        for frame, provenance in frames:
            if n_wanted is not None and len(found) >= n_wanted:
                break
            record = self.get(frame, provenance)
            if record is not None:
                found.setdefault(record.id, record)
                on_label(len(found))
        return list(found.values())
