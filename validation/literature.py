"""Published values of an element's properties, each with how it was obtained and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import yaml

Method = Literal["experiment", "DFT", "assessment", "potential"]


@dataclass(frozen=True)
class LiteratureValue:
    """One published value.

    Attributes
    ----------
    quantity
        Name of the quantity in the suite, such as ``FCC: C11``.
    value, error
        In the unit that the suite has; the published error, if there is one.
    unit
        That unit.
    method
        What kind of source it is.
    source
        Where it stands.
    note
        What one must know to compare with it; empty where nothing.
    """

    quantity: str
    value: float
    unit: str
    method: Method
    source: str
    error: float | None = None
    note: str = ""


@lru_cache(maxsize=8)
def literature(element: str) -> tuple[LiteratureValue, ...]:
    """Return the published values of an element; none where there is no data file of it."""
    return _rows(element, "values")


@lru_cache(maxsize=8)
def published_errors(element: str) -> tuple[LiteratureValue, ...]:
    """Return how far published potentials of an element were from their own label source."""
    return _rows(element, "errors")


def published_value(element: str, quantity: str) -> float | None:
    """Return the first value that the data file lists of a quantity; ``None`` where there is none."""
    return next((value.value for value in literature(element) if value.quantity == quantity), None)


def _rows(element: str, kind: str) -> tuple[LiteratureValue, ...]:
    file = files("validation") / "literature_data" / f"{element}.yaml"
    if not file.is_file():
        return ()
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    sources = data["sources"]
    return tuple(
        LiteratureValue(**{**row, "source": sources[row["source"]], "value": float(row["value"])})
        for row in data.get(kind, ())
    )
