"""What the property suite must find before an ensemble is promoted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from validation.literature import published_value
from workflow.settings.config import PromotionCondition
from workflow.state import Round
from workflow.validating.numbers import number_text


@dataclass(frozen=True)
class FoundQuantity:
    """A quantity of the suite; ``value`` is ``None`` where there is none, and ``remark`` says why."""

    value: float | None
    unit: str
    remark: str = ""


Found = Mapping[tuple[str, str], FoundQuantity]
"""By element and name of the quantity."""


def found_quantities(validation: Mapping[str, Any]) -> dict[tuple[str, str], FoundQuantity]:
    """Return the quantities of a round's ``validation.json``."""
    return {
        (str(result["element"]), str(row["name"])): FoundQuantity(row["value"], row["unit"], row["remark"])
        for result in validation["results"]
        for row in result["quantities"]
    }


def unmet_conditions(
    conditions: Sequence[PromotionCondition], elements: Sequence[str], found: Found, previous: Found
) -> list[str]:
    """Return, in one line each, the conditions that an ensemble does not meet.

    A quantity that does not exist meets no condition. One of which the promoted ensemble has no value is not
    held against that.

    Parameters
    ----------
    found, previous
        What the suite has of this ensemble, and of the promoted one.
    """
    return [
        problem
        for condition in conditions
        for element in ([condition.element] if condition.element else elements)
        if (problem := _problem(condition, element, found, previous))
    ]


def _problem(condition: PromotionCondition, element: str, found: Found, previous: Found) -> str:
    name = f"{element} {condition.quantity}"
    quantity = found.get((element, condition.quantity))
    if quantity is None or quantity.value is None:
        why = f": {quantity.remark}" if quantity is not None and quantity.remark else ""
        return f"{name} does not exist{why}"
    is_now = f"{name} is {_text(quantity.value, quantity.unit)}"
    if condition.lower is not None and quantity.value < condition.lower:
        return f"{is_now}, below {condition.lower:g}"
    if condition.upper is not None and quantity.value > condition.upper:
        return f"{is_now}, above {condition.upper:g}"
    against = _against(condition, element, previous)
    if condition.within is None or against is None or abs(quantity.value - against) <= condition.within:
        return ""
    of = "the published" if condition.of == "literature" else "the promoted ensemble's"
    return f"{is_now}, more than {condition.within:g} from {of} {_text(against, quantity.unit)}"


def _against(condition: PromotionCondition, element: str, previous: Found) -> float | None:
    if condition.of == "literature":
        return published_value(element, condition.quantity)
    before = previous.get((element, condition.quantity))
    return None if before is None else before.value


def refusals_in_a_row(rounds: Iterable[Round], cycle: int) -> int:
    """Return how many ensembles of a cycle the gate has refused since one was promoted."""
    ended = sorted((r for r in rounds if r.cycle == cycle and r.ended is not None), key=lambda r: -r.number)
    refusals = 0
    for round_ in ended:
        if round_.promoted:
            break
        refusals += bool(round_.unmet)
    return refusals


def _text(value: float, unit: str) -> str:
    return f"{number_text(value, unit)} {unit}".rstrip()
