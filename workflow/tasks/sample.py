"""Task: advance one group of trajectories by one chunk; frames worth a label become candidates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from potentials.disagreement import Calibration
from qm.fingerprint import label_id
from sampling.builders import make_builder
from sampling.gates import reject_reason
from sampling.results import CandidateFrame, ChunkResult
from sampling.search import advance
from sampling.selection import make_selector
from sampling.slot_group import SlotGroup, new_group
from workflow.execution.running import refuse_if_taken_away
from workflow.settings.config import CampaignConfig
from workflow.state import round_name
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, Provenance, write_candidate
from workflow.tasks.context import SAMPLING_STREAM, campaign, labeller, seed_sequence
from workflow.tasks.models import ensemble

logger = logging.getLogger(__name__)

_MORE_THAN_A_CHUNK_STARTS = 1_000_000


@dataclass
class ChunkSummary:
    """What one chunk of one group did; small enough to send, and also on disk beside the group's state."""

    cycle: int
    group: int
    chunk: int
    ensemble: str
    steps: int = 0
    atom_steps: int = 0
    wall_s: float = 0.0
    exposures: list[dict[str, Any]] = field(default_factory=list)
    candidates: dict[str, str] = field(default_factory=dict)
    """Ids of the candidates written, each with the reason its trajectory stopped."""
    rejected: dict[str, int] = field(default_factory=dict)


def sample_chunk(directory: str, cycle: int, group: int, chunk: int, round_number: int) -> ChunkSummary:
    """Advance a group from the end of chunk ``chunk - 1`` to the end of ``chunk`` with a round's ensemble.

    The group's state is written last: where it exists the chunk is done, and what it found is read back, so
    that a chunk run twice counts once.
    """
    paths, config = campaign(directory)
    already = read_summary(paths, cycle, group, chunk)
    if already is not None:
        return already
    potential = ensemble(paths.model(round_number))
    before = _group_before(paths, config, cycle, group, chunk)
    after, result = advance(
        before,
        potential,
        ensemble_id=round_name(round_number),
        calibration=Calibration(**potential.card["calibration"]),
        builder=make_builder(config.builder, config.elements),
        config=config.sampling,
        n_steps=config.sampling.chunk_steps,
        stop_at=_file_appears(paths.stop_sampling),
    )
    refuse_if_taken_away()
    summary = _summarise(paths, config, cycle, group, chunk, round_number, result)
    refuse_if_taken_away()
    write_json_atomic(paths.chunk_summary(cycle, group, chunk), asdict(summary))
    after.save(paths.chunk(cycle, group, chunk))
    _forget(paths, cycle, group, chunk - 2)
    return summary


def read_summary(paths: CampaignPaths, cycle: int, group: int, chunk: int) -> ChunkSummary | None:
    """Return what a chunk found, or ``None`` if it is not done, or what it found cannot be read."""
    if not paths.chunk(cycle, group, chunk).exists():
        return None
    try:
        return ChunkSummary(**read_json(paths.chunk_summary(cycle, group, chunk)))
    except (FileNotFoundError, DamagedFileError):
        return None


def _group_before(
    paths: CampaignPaths, config: CampaignConfig, cycle: int, group: int, chunk: int
) -> SlotGroup:
    """Return the state to go on from; where it cannot be read, a group with new trajectories."""
    seed = seed_sequence(config, SAMPLING_STREAM, cycle, group)
    fresh = new_group(f"c{cycle}-g{group:04d}", seed, config.sampling.n_slots)
    if chunk == 1:
        return fresh
    try:
        return SlotGroup.load(paths.chunk(cycle, group, chunk - 1))
    except (FileNotFoundError, ValueError) as error:
        logger.warning("trajectories of group %s are lost, beginning new ones: %s", fresh.id, error)
        return replace(fresh, next_trajectory=chunk * _MORE_THAN_A_CHUNK_STARTS)


def _file_appears(path: Path) -> Callable[[], bool]:
    return path.exists


def _summarise(
    paths: CampaignPaths,
    config: CampaignConfig,
    cycle: int,
    group: int,
    chunk: int,
    round_number: int,
    result: ChunkResult,
) -> ChunkSummary:
    summary = ChunkSummary(
        cycle,
        group,
        chunk,
        round_name(round_number),
        steps=result.steps,
        atom_steps=result.atom_steps,
        wall_s=result.wall_s,
        exposures=[asdict(exposure) for exposure in result.exposures],
    )
    rejected: Counter[str] = Counter()
    passed: list[CandidateFrame] = []
    for found in result.candidates:
        reason = reject_reason(found.frame, config.gates)
        if reason is None:
            passed.append(found)
        else:
            rejected[reason] += 1
    kept = make_selector(config.selector).select([found.frame for found in passed])
    rejected.update(kept.dropped)
    fingerprint = labeller(paths, config).fingerprint
    for index in kept.kept:
        found = passed[index]
        candidate = Candidate(
            label_id(found.frame, fingerprint), found.frame, _provenance(found, cycle, round_number)
        )
        write_candidate(paths.candidates, candidate)
        summary.candidates[candidate.id] = found.reason
    summary.rejected = dict(rejected)
    return summary


def _provenance(found: CandidateFrame, cycle: int, round_number: int) -> Provenance:
    return Provenance(
        source="trajectory",
        round=round_number,
        cycle=cycle,
        ensemble=round_name(round_number),
        trajectory=found.trajectory_id,
        reason=found.reason,
        time_fs=found.time_fs,
        temperature_k=found.temperature_k,
        **{f"spread_{name}": value for name, value in found.spread.items()},
        seed=found.seed,
    )


def _forget(paths: CampaignPaths, cycle: int, group: int, chunk: int) -> None:
    """Remove the state of a chunk that nothing will start from again; the one before the last is kept."""
    if chunk > 0:
        paths.chunk(cycle, group, chunk).unlink(missing_ok=True)
        paths.chunk_summary(cycle, group, chunk).unlink(missing_ok=True)
