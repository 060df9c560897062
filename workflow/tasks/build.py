"""Task: build random cells for the bootstrap and leave them as candidates."""

from __future__ import annotations

from dataclasses import dataclass, field

from qm.fingerprint import label_id
from sampling.builder import BuildError
from sampling.builders import make_builder
from sampling.gates import reject_reason
from workflow.storage.spool import Candidate, Provenance, write_candidate
from workflow.tasks.context import BOOTSTRAP_STREAM, campaign, labeller, seed_sequence


@dataclass
class BuildSummary:
    """What came of building: ids of the candidates written, and why others were not."""

    first: int
    n: int
    ids: list[str] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)


def build_candidates(directory: str, first: int, n: int) -> BuildSummary:
    """Build the bootstrap cells ``first`` to ``first + n - 1``; the same numbers give the same cells."""
    paths, config = campaign(directory)
    builder = make_builder(config.builder, config.elements)
    fingerprint = labeller(paths, config).fingerprint
    summary = BuildSummary(first, n)
    for index in range(first, first + n):
        seed = seed_sequence(config, BOOTSTRAP_STREAM, index)
        try:
            frame = builder.build(seed)
        except BuildError:
            summary.rejected["not_built"] = summary.rejected.get("not_built", 0) + 1
            continue
        reason = reject_reason(frame, config.gates)
        if reason is not None:
            summary.rejected[reason] = summary.rejected.get(reason, 0) + 1
            continue
        provenance = Provenance(
            source="bootstrap", reason="bootstrap", seed=str(frame.info.get("seed", index))
        )
        candidate = Candidate(label_id(frame, fingerprint), frame, provenance)
        write_candidate(paths.candidates, candidate)
        summary.ids.append(candidate.id)
    return summary
