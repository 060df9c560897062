"""Task: the property suite on a round's ensemble; what it finds lies beside the ensemble."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from validation.results import Quantity
from validation.suite import SuiteName, properties
from workflow.promotion_gate import FoundQuantity, found_quantities
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic
from workflow.storage.paths import CampaignPaths
from workflow.tasks.context import campaign
from workflow.validating.outputs import Report, results_json
from workflow.validating.run import Examined, run_suite
from workflow.validating.sources import model_source

VALIDATION = "validation.json"

HEADLINE = (
    "FCC: lattice constant",
    "FCC: C11",
    "FCC: C12",
    "FCC: C44",
    "HCP: energy above FCC",
    "BCC: energy above FCC",
    "FCC: vacancy formation energy",
    "FCC: (111) surface energy",
)
"""What is shown of every round."""


@dataclass
class PropertySummary:
    """What the suite found of a round's ensemble.

    Attributes
    ----------
    values
        The headline: by element and quantity the value, or ``None`` where there is none.
    n_quantities, n_missing
        Numbers that were looked for, and those of them that do not exist for this ensemble.
    """

    round: int
    suite: str
    ok: bool = True
    message: str = ""
    values: dict[str, float | None] = field(default_factory=dict)
    n_quantities: int = 0
    n_missing: int = 0
    wall_s: float = 0.0


def validate_round(directory: str, round_number: int, suite: SuiteName) -> PropertySummary:
    """Compute the properties of a round's ensemble and write ``validation.json`` beside it.

    A round whose file is there and whole is not computed again.
    """
    paths, config = campaign(directory)
    file = paths.model(round_number) / VALIDATION
    try:
        kept = read_json(file)
        if kept["suite"] == suite:
            return PropertySummary(**kept["summary"])
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError):
        pass
    started = time.perf_counter()
    source = model_source(paths.model(round_number))
    results = [
        result for element in config.elements for result in run_suite(source, element, suite, store=None)
    ]
    summary = _summary(round_number, suite, results)
    summary.wall_s = time.perf_counter() - started
    report = Report(
        suite,
        properties(suite),
        config.elements,
        {source.name: source.fingerprint},
        reference=None,
        skipped={},
        results=results,
    )
    write_json_atomic(file, {**results_json(report), "summary": vars(summary)})
    return summary


def quantities_of_round(paths: CampaignPaths, round_number: int) -> dict[tuple[str, str], FoundQuantity]:
    """Return what the suite found of a round's ensemble; nothing where it has not seen it."""
    try:
        return found_quantities(read_json(paths.model(round_number) / VALIDATION))
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError):
        return {}


def _summary(round_number: int, suite: str, results: list[Examined]) -> PropertySummary:
    found: dict[str, Quantity] = {
        f"{result.element} {quantity.name}": quantity
        for result in results
        for quantity in result.findings.quantities
    }
    elements = dict.fromkeys(result.element for result in results)
    names = [f"{element} {name}" for element in elements for name in HEADLINE]
    failed = sum(not result.findings.quantities for result in results)
    missing = failed + sum(math.isnan(quantity.value) for quantity in found.values())
    return PropertySummary(
        round_number,
        suite,
        values={name: _known(found.get(name)) for name in names},
        n_quantities=len(found) + failed,
        n_missing=missing,
    )


def _known(quantity: Quantity | None) -> float | None:
    return None if quantity is None or math.isnan(quantity.value) else quantity.value
