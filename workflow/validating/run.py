"""Running the suite: property after property, each kept as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ase import Atoms

from validation.evaluation import NoPropertyError, energy
from validation.results import Findings
from validation.subject import Subject
from validation.suite import COLD_CURVES, Property, SuiteName, estimate_s, examine, properties, timing_cells
from workflow.validating.sources import Source
from workflow.validating.store import Store, inputs_fingerprint

_ENOUGH_S = 1.0


@dataclass(frozen=True)
class Examined:
    """The findings of one property by one potential; ``known`` where they had been kept before."""

    source: str
    element: str
    property: str
    findings: Findings
    known: bool = False


def run_suite(
    source: Source,
    element: str,
    suite: SuiteName,
    store: Store | None,
    on_done: Callable[[Examined], None] = lambda _: None,
) -> list[Examined]:
    """Return the findings of every property of a suite, computed or from the store.

    Parameters
    ----------
    on_done
        Is told of every property when its findings are safe.
    """
    subject = Subject(source.calculator, element)
    results = []
    for prop in properties(suite):
        inputs = inputs_fingerprint(source.fingerprint, subject, prop)
        kept = None if store is None else store.get(source.name, element, prop, inputs)
        findings = _examine(source, prop, subject) if kept is None else kept
        if kept is None and store is not None:
            store.put(source.name, element, prop, inputs, findings)
        if prop.name == COLD_CURVES:
            subject = subject.with_crystals(findings)
        results.append(Examined(source.name, element, prop.name, findings, kept is not None))
        on_done(results[-1])
    return results


def _examine(source: Source, prop: Property, subject: Subject) -> Findings:
    if source.elements is not None and subject.element not in source.elements:
        known = ", ".join(sorted(source.elements))
        return Findings(remark=f"{source.name} does not know {subject.element}, only {known}")
    return examine(prop, subject)


def estimates_s(source: Source, element: str, props: Sequence[Property]) -> list[float] | None:
    """Return about what each property takes by this potential, s; ``None`` where it cannot be tried."""
    small, large = timing_cells(element)
    try:
        times = [_seconds(source, cell) for cell in (small, large)]
    except NoPropertyError:
        return None
    return [estimate_s(prop, *times) for prop in props]


def _seconds(source: Source, cell: Atoms) -> float:
    """Return what one evaluation takes, s; where it is quick, the best of three."""
    times: list[float] = []
    while len(times) < 3 and sum(times) < _ENOUGH_S:
        started = time.perf_counter()
        frame = cell.copy()
        frame.positions += 1e-3 * (len(times) + 1)  # else the calculator would remember
        energy(source.calculator, frame)
        times.append(time.perf_counter() - started)
    return min(times)
