"""Numbers of the property suite as people read them."""

from __future__ import annotations

import math

from validation.literature import LiteratureValue
from validation.results import Quantity
from workflow.reporting.texts import duration_text

_DIGITS = {
    "Å": 4,
    "Å³/atom": 3,
    "meV/atom": 1,
    "GPa": 2,
    "eV": 3,
    "J/m²": 3,
    "mJ/m²": 1,
    "THz": 2,
    "K": 1,
    "g/cm³": 4,
}
_OTHERWISE = 3


def number_text(value: float, unit: str) -> str:
    """Return a number with as many digits as make sense in its unit; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    digits = _DIGITS.get(unit, 1 if unit.startswith("meV") else _OTHERWISE)
    return f"{value:.{digits}f}"


def quantity_text(quantity: Quantity) -> str:
    """Return a value with its error, such as ``117.3 ± 0.1``."""
    text = number_text(quantity.value, quantity.unit)
    known = math.isfinite(quantity.value) and math.isfinite(quantity.error)
    return f"{text} ± {number_text(quantity.error, quantity.unit)}" if known else text


def literature_text(value: LiteratureValue) -> str:
    """Return a published value with its kind and source."""
    error = "" if value.error is None else f" ± {value.error:g}"
    note = f", {value.note}" if value.note else ""
    return f"{value.value:g}{error} ({value.method}{note}; {value.source})"


def seconds_text(seconds: float) -> str:
    """Return a duration, such as ``0.8 s`` or ``12 min 5 s``."""
    return f"{seconds:.1f} s" if seconds < 60.0 else duration_text(seconds)
