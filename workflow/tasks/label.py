"""Task: label candidates. Each result is on disk before the task returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from qm.checks import check_label
from qm.label import Label, LabelFailure, Labeller
from workflow.settings.config import CampaignConfig
from workflow.storage.evidence import keep_evidence
from workflow.storage.files import DamagedFileError
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import (
    Candidate,
    LabelRecord,
    Refusal,
    item_path,
    read_candidate,
    read_refusal,
    write_label,
    write_refusal,
)
from workflow.tasks.context import campaign, labeller
from workflow.tasks.kpoints import is_checked

RETRIED_ELSEWHERE = frozenset({"walltime", "out_of_memory", "killed"})
"""Reasons that may be the machine's fault, so that another try can help."""

MISSING = "missing"
"""The candidate is gone: a try on a worker that was thought lost has dealt with it."""


@dataclass
class LabelOutcome:
    """What came of one candidate; ``quarantined`` says that its refusal is on disk and it is done with."""

    id: str
    ok: bool
    quarantined: bool = False
    reason: str = ""
    message: str = ""
    wall_s: float = 0.0
    core_s: float = 0.0


def label_candidates(directory: str, ids: list[str], last_attempt: list[bool]) -> list[LabelOutcome]:
    """Label the candidates ``ids`` one after the other.

    A failure that another try may cure is quarantined only on its ``last_attempt``. A candidate whose label
    is already on disk is not labelled again.
    """
    paths, config = campaign(directory)
    source = labeller(paths, config)
    paths.scratch.mkdir(mode=0o700, exist_ok=True)
    return [_label_one(paths, config, source, id_, last) for id_, last in zip(ids, last_attempt, strict=True)]


def _label_one(
    paths: CampaignPaths, config: CampaignConfig, source: Labeller, id_: str, last_attempt: bool
) -> LabelOutcome:
    if item_path(paths.labels, id_).exists():
        item_path(paths.candidates, id_).unlink(missing_ok=True)
        return LabelOutcome(id_, ok=True)
    candidate = _read(paths, id_)
    if isinstance(candidate, LabelOutcome):
        return candidate
    with TemporaryDirectory(prefix=f"{id_}-", dir=paths.scratch, ignore_cleanup_errors=True) as scratch:
        result = source.label(candidate.frame, Path(scratch))
        if isinstance(result, LabelFailure) and result.evidence is not None:
            keep_evidence(Path(scratch), paths.failed_labels, id_)
    if isinstance(result, LabelFailure):
        return _refuse(paths, candidate, result, None, last_attempt)
    failure = check_label(candidate.frame, result, config.checks, source.fingerprint)
    if failure is not None:
        return _refuse(paths, candidate, failure, result, last_attempt)
    record = LabelRecord(id_, candidate.frame, result, candidate.provenance)
    if is_checked(id_, config.labelling.kpoint_check_every):
        write_label(paths.kpoint_checks, record)  # before the label, so that no kill leaves one without
    write_label(paths.labels, record)
    item_path(paths.candidates, id_).unlink(missing_ok=True)
    return LabelOutcome(id_, ok=True, wall_s=result.wall_s, core_s=result.core_s)


def _read(paths: CampaignPaths, id_: str) -> Candidate | LabelOutcome:
    """Return a candidate, or what to say of one that is gone or damaged."""
    waiting = item_path(paths.candidates, id_)
    try:
        return read_candidate(waiting)
    except FileNotFoundError:
        return LabelOutcome(id_, ok=False, quarantined=True, reason=MISSING)
    except DamagedFileError as error:
        waiting.replace(paths.quarantine / f"{waiting.name}.damaged")
        return LabelOutcome(id_, ok=False, quarantined=True, reason="bad_input", message=str(error))


def _refuse(
    paths: CampaignPaths, candidate: Candidate, failure: LabelFailure, label: Label | None, last_attempt: bool
) -> LabelOutcome:
    final = last_attempt or failure.reason not in RETRIED_ELSEWHERE
    if final:
        _quarantine(paths, candidate, failure.reason, failure.message, label)
    return LabelOutcome(
        candidate.id,
        ok=False,
        quarantined=final,
        reason=failure.reason,
        message=failure.message,
        wall_s=failure.wall_s,
    )


def quarantine_candidate(paths: CampaignPaths, id_: str, reason: str, message: str) -> LabelOutcome:
    """Give up on a candidate that no worker lived to report on."""
    candidate = _read(paths, id_)
    if isinstance(candidate, LabelOutcome):
        return candidate
    _quarantine(paths, candidate, reason, message, None)
    return LabelOutcome(id_, ok=False, quarantined=True, reason=reason, message=message)


def refusal_outcome(paths: CampaignPaths, id_: str) -> LabelOutcome:
    """Return what a worker that was lost afterwards had said of a candidate it refused."""
    refusal = read_refusal(item_path(paths.quarantine, id_))
    return LabelOutcome(id_, ok=False, quarantined=True, reason=refusal.reason, message=refusal.message)


def _quarantine(
    paths: CampaignPaths, candidate: Candidate, reason: str, message: str, label: Label | None
) -> None:
    refusal = Refusal(candidate.id, candidate.frame, reason, message, candidate.provenance, label)
    write_refusal(paths.quarantine, refusal)
    item_path(paths.candidates, candidate.id).unlink(missing_ok=True)
