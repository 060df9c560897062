"""Running the suite: property after property, each kept as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from validation.conditions import Conditions
from validation.evaluation import NoPropertyError
from validation.results import Findings
from validation.subject import Subject
from validation.suite import COLD_CURVES, Property, SuiteName, estimate_s, examine, properties, timing_cells
from workflow.validating.dynamics import (
    TOO_SLOW,
    Dynamics,
    atom_step_s,
    dynamic_subject,
    seconds,
    too_slow,
)
from workflow.validating.sources import Source
from workflow.validating.store import Store, inputs_fingerprint

_DEFAULT = Conditions()


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
    dynamics: Dynamics | None = None,
) -> list[Examined]:
    """Return the findings of every property of a suite, computed or from the store.

    Parameters
    ----------
    on_done
        Is told of every property when its findings are safe.
    dynamics
        What runs of dynamics need; by default they keep nothing and are compared with nothing.
    """
    subject = Subject(source.calculator, element)
    dynamics = dynamics or Dynamics()
    referred = dynamics.reference.fingerprint if dynamics.reference is not None else ""
    results = []
    for prop in properties(suite, dynamics.only):
        if prop.runs:
            subject = replace(subject, conditions=dynamics.conditions.of(element))
        inputs = inputs_fingerprint(source.fingerprint, subject, prop, referred)
        kept = None if store is None else store.get(source.name, element, prop, inputs)
        if kept is None and prop.runs and too_slow(source, element):
            results.append(Examined(source.name, element, prop.name, Findings(remark=TOO_SLOW)))
            on_done(results[-1])
            continue
        at = dynamic_subject(source, subject, dynamics, store) if prop.runs else subject
        findings = _examine(source, prop, at) if kept is None else kept
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


def estimates_s(
    source: Source, element: str, props: Sequence[Property], conditions: Conditions = _DEFAULT
) -> list[float] | None:
    """Return about what each property takes by this potential, s; ``None`` where it cannot be tried."""
    small, large = timing_cells(element)
    try:
        times = [seconds(source.calculator, cell) for cell in (small, large)]
        step_s = atom_step_s(source, element) if any(prop.runs for prop in props) else 0.0
    except NoPropertyError:
        return None
    asked = conditions.of(element)
    return [estimate_s(prop, *times) + step_s * prop.atom_steps(asked) for prop in props]
