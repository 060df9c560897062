"""How many labels one way of choosing needs to be as good as another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["measured", "fewer", "more", "unknown"]


@dataclass(frozen=True)
class Crossing:
    """Where a curve of errors comes down to a given one.

    Attributes
    ----------
    kind
        ``measured``: between two points. ``fewer`` or ``more``: before the first point or after the last.
        ``unknown``: there is no curve.
    n_labels
        Where it crosses; for ``fewer`` and ``more`` the first or last point, which is a bound.
    extrapolated
        For ``more``, where the power law through the points would cross: a guess, no measurement;
        not-a-number where errors do not fall.
    """

    kind: Kind
    n_labels: float
    extrapolated: float = math.nan

    def text(self) -> str:
        """Return such as ``1,020``, ``more than 1,400 (power law: 2,100)``."""
        if self.kind == "unknown":
            return "–"
        bound = {"measured": "", "fewer": "at most ", "more": "more than "}[self.kind]
        guess = "" if math.isnan(self.extrapolated) else f" (power law: {_rounded(self.extrapolated):,})"
        return f"{bound}{round(self.n_labels):,}{guess}"


def crossing(sizes: Sequence[int], errors: Sequence[float], target: float) -> Crossing:
    """Return with how many labels errors come down to ``target``, and stay at or below it.

    Between two points both logarithms go along a straight line.

    Parameters
    ----------
    sizes
        Numbers of labels, ascending.
    errors
        Errors there; points that are not finite are passed over.
    """
    points = [(n, e) for n, e in zip(sizes, errors, strict=True) if n > 0 and math.isfinite(e) and e > 0.0]
    if not points or not math.isfinite(target) or target <= 0.0:
        return Crossing("unknown", math.nan)
    above = [i for i, (_, error) in enumerate(points) if error > target]
    if not above:
        return Crossing("fewer", points[0][0])
    last = above[-1]
    if last == len(points) - 1:
        return Crossing("more", points[-1][0], _power_law(points, target))
    (n1, e1), (n2, e2) = points[last], points[last + 1]
    share = math.log(e1 / target) / math.log(e1 / e2)
    return Crossing("measured", n1 * (n2 / n1) ** share)


def _power_law(points: Sequence[tuple[int, float]], target: float) -> float:
    if len({n for n, _ in points}) < 2:
        return math.nan
    slope, at_one = np.polyfit(np.log([n for n, _ in points]), np.log([e for _, e in points]), 1)
    if slope >= -1e-3:
        return math.nan
    exponent = (math.log(target) - at_one) / slope
    return math.exp(exponent) if exponent < math.log(1e9) else math.nan


def _rounded(value: float) -> int:
    """Return two digits of a number: a guess has no more."""
    return int(float(f"{value:.2g}"))
