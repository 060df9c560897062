"""What a property's computation found: numbers with units, and curves to draw; also as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

ErrorKind = Literal["", "members", "fit", "blocks", "seeds"]
"""What an error is: the standard deviation over the members of an ensemble, that of a fitted slope, or the
standard error of a mean over blocks of one run of dynamics, or over independent runs."""


@dataclass(frozen=True)
class Quantity:
    """One number.

    Attributes
    ----------
    name
        Of what: unique in a suite, such as ``FCC: C11``. Literature values are found by it.
    value
        Not-a-number where there is none; then ``remark`` says why.
    unit
        Empty for a pure number.
    error, error_kind
        How far it may be off, and what that is; not-a-number where unknown.
    remark
        What is odd about it; empty for a sound number.
    """

    name: str
    value: float
    unit: str
    error: float = math.nan
    error_kind: ErrorKind = ""
    remark: str = ""


@dataclass(frozen=True)
class Curve:
    """One line of a property's picture; ``spread`` is the standard deviation over an ensemble's members.

    The three are of the same length; spreads are not-a-number where there are none.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class Findings:
    """All that a property's computation found.

    Attributes
    ----------
    quantities, curves
        The numbers and the lines.
    x_label, y_label, ticks
        Of the picture; named places on its horizontal axis where that has no scale of its own.
    method
        How it was computed, in a sentence: strains, cells, what was relaxed.
    remark
        Why there is nothing; empty where there is something.
    seconds
        What it took.
    """

    quantities: tuple[Quantity, ...] = ()
    curves: tuple[Curve, ...] = ()
    x_label: str = ""
    y_label: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    method: str = ""
    remark: str = ""
    seconds: float = 0.0


def rms_difference(one: Findings, other: Findings) -> float | None:
    """Return the root mean square of how far two pictures' lines are apart; ``None`` where they share none.

    Lines are compared that have the same name and the same horizontal places.
    """
    others = {curve.name: curve for curve in other.curves}
    squares = [
        (a - b) ** 2
        for curve in one.curves
        if (twin := others.get(curve.name)) is not None and twin.x == curve.x
        for a, b in zip(curve.y, twin.y, strict=True)
        if math.isfinite(a) and math.isfinite(b)
    ]
    return math.sqrt(sum(squares) / len(squares)) if squares else None


def to_plain(findings: Findings) -> dict[str, Any]:
    """Return the findings as JSON has them: a number that does not exist is null."""
    plain: dict[str, Any] = _plain(asdict(findings))
    return plain


def from_plain(data: Mapping[str, Any]) -> Findings:
    """Return the findings that `to_plain` wrote.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the data are something else.
    """
    return Findings(
        quantities=tuple(
            Quantity(**{**row, "value": _number(row["value"]), "error": _number(row["error"])})
            for row in data["quantities"]
        ),
        curves=tuple(
            Curve(c["name"], _numbers(c["x"]), _numbers(c["y"]), _numbers(c["spread"]))
            for c in data["curves"]
        ),
        x_label=str(data["x_label"]),
        y_label=str(data["y_label"]),
        ticks=tuple((float(x), str(name)) for x, name in data["ticks"]),
        method=str(data["method"]),
        remark=str(data["remark"]),
        seconds=float(data["seconds"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: list[float | None]) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)
