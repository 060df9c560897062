"""The property suite's headline by round, for report and status."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from validation.literature import literature
from workflow.ledger import Event
from workflow.validating.numbers import number_text

_UNITS = {
    "lattice constant": "Å",
    "C11": "GPa",
    "C12": "GPa",
    "C44": "GPa",
    "energy above FCC": "meV/atom",
    "vacancy formation energy": "eV",
    "surface energy": "J/m²",
}


def history_table(
    events: Mapping[int, Event], refused: Mapping[int, str] = MappingProxyType({})
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a row per round, and one of published values where there are any.

    Parameters
    ----------
    refused
        What the promotion gate says of rounds that do not meet it.
    """
    names = list(dict.fromkeys(name for event in events.values() for name in event["values"]))
    head = ["", *(f"{name}, {_unit(name)}" for name in names), ""]
    rows = [
        [
            f"round {number}",
            *(_text(name, event["values"].get(name)) for name in names),
            "; ".join(filter(None, (_remark(event), refused.get(number, "")))),
        ]
        for number, event in sorted(events.items())
    ]
    published = [_published(name) for name in names]
    if any(published):
        rows.append(["published", *published, ""])
    return head, rows


def headline_text(event: Event) -> str:
    """Return what the suite found of one round, in a line."""
    if not event["ok"]:
        return f"failed: {event['message']}"
    known = [
        f"{name} {_text(name, value)} {_unit(name)}"
        for name, value in event["values"].items()
        if value is not None
    ]
    return ", ".join(known[:4]) + (f" ({_remark(event)})" if _remark(event) else "") or "nothing found"


def _remark(event: Event) -> str:
    if not event["ok"]:
        return str(event["message"])
    missing = event["n_missing"]
    return f"{missing} of {event['n_quantities']} do not exist" if missing else ""


def _text(name: str, value: float | None) -> str:
    return "–" if value is None else number_text(value, _unit(name))


def _unit(name: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _published(name: str) -> str:
    element, _, quantity = name.partition(" ")
    values = [value for value in literature(element) if value.quantity == quantity]
    return f"{values[0].value:g} ({values[0].method})" if values else ""
