"""Task: look at waiting candidates with the newest ensemble; drop those it no longer disagrees about."""

from __future__ import annotations

from dataclasses import dataclass, field

from potentials.disagreement import Calibration
from sampling.selection import make_selector
from workflow.storage.spool import item_path, read_candidate
from workflow.tasks.context import campaign
from workflow.tasks.models import ensemble


@dataclass
class RescoreSummary:
    """Which candidates still wait, and how many were dropped for which reason."""

    kept: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def rescore_candidates(directory: str, ids: list[str], round_number: int) -> RescoreSummary:
    """Hold waiting candidates against a round's ensemble; the files of dropped ones are removed.

    Last frames of completed trajectories are kept: that the ensemble agrees on them is why they wait.
    """
    paths, config = campaign(directory)
    potential = ensemble(paths.model(round_number))
    present = [id_ for id_ in ids if item_path(paths.candidates, id_).exists()]
    candidates = {id_: read_candidate(item_path(paths.candidates, id_)) for id_ in present}
    trusted = [id_ for id_ in present if candidates[id_].provenance.reason == "completed"]
    waiting = [id_ for id_ in present if id_ not in trusted]
    frames = [candidates[id_].frame for id_ in waiting]
    selection = make_selector(config.selector).select(
        frames,
        potential=potential,
        calibration=Calibration(**potential.card["calibration"]),
        thresholds=config.sampling.thresholds,
    )
    kept = [waiting[index] for index in selection.kept] + trusted
    for id_ in set(present) - set(kept):
        item_path(paths.candidates, id_).unlink(missing_ok=True)
    return RescoreSummary(kept, dict(selection.dropped))
