"""How long trajectories survive without disagreement: the product-limit estimator with delayed entry.

A trajectory that reaches the end of its schedule, or is cut by a walltime or by a newer ensemble, has not
failed: it is censored. One that goes on under a newer ensemble enters that ensemble's risk set late, at the
time it has already lived.

References
----------
E. L. Kaplan and P. Meier, J. Am. Stat. Assoc. 53, 457 (1958): the estimator.
J. P. Klein and M. L. Moeschberger, Survival Analysis (2003), sections 4.2 to 4.6: variance (Greenwood), left
truncation, median and its confidence limits (Brookmeyer and Crowley, log-log transformed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_NORMAL_QUANTILE_95 = 1.959964
_INSTANT_FS = 1e-6
"""A failure at the very moment of entry counts as this much later, so that it was at risk."""


class Exposure(Protocol):
    """A stretch of a trajectory under one ensemble."""

    @property
    def entry_fs(self) -> float:
        """The trajectory's own time when the stretch began, fs."""

    @property
    def exit_fs(self) -> float:
        """The trajectory's own time when it ended, fs."""

    @property
    def ended(self) -> bool:
        """Whether the trajectory ended with this stretch."""

    @property
    def reason(self) -> str | None:
        """Why; ``completed`` is no failure."""


@dataclass(frozen=True)
class Survival:
    """A step function: the share of trajectories that live longer than each time.

    Attributes
    ----------
    times_fs
        Times at which trajectories failed, ascending; the first is 0, where all live. Shape (n,).
    alive
        Share that lives longer than each time; the first is 1. Shape (n,).
    lower, upper
        Limits of its 95 % confidence, pointwise. Shape (n,).
    followed_fs
        The longest time at which any trajectory was watched.
    n_failed, n_censored
        Stretches that ended in failure, and all others.
    """

    times_fs: NDArray[np.float64]
    alive: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    followed_fs: float
    n_failed: int
    n_censored: int

    def at(self, time_fs: float) -> float:
        """Return the share that lives longer than ``time_fs``."""
        return float(self.alive[np.searchsorted(self.times_fs, time_fs, side="right") - 1])


@dataclass(frozen=True)
class Median:
    """The time that half the trajectories survive.

    Attributes
    ----------
    value_fs
        The first time at which no more than half live; infinite where more than half outlive all watching.
    at_least_fs
        ``value_fs``, or how long was watched where that is infinite.
    lower_fs
        Lower limit of its 95 % confidence, but never more than ``at_least_fs``.
    """

    value_fs: float
    at_least_fs: float
    lower_fs: float


def survival_curve(exposures: Iterable[Exposure | Mapping[str, Any]]) -> Survival:
    """Return the Kaplan-Meier estimate with right censoring and delayed entry.

    At a time t the trajectories at risk are those with entry < t <= exit. Stretches of no length that did not
    fail say nothing and are left out. Mappings with the attributes' names, as the ledger has them, are taken
    as well.
    """
    entry, exit_, failed = _arrays(exposures)
    times, n_failed = np.unique(exit_[failed], return_counts=True)
    at_risk = np.searchsorted(np.sort(entry), times) - np.searchsorted(np.sort(exit_), times)
    alive = np.cumprod(1.0 - n_failed / at_risk).astype(np.float64)
    with np.errstate(divide="ignore"):
        greenwood = np.cumsum(n_failed / (at_risk * (at_risk - n_failed))).astype(np.float64)
    lower, upper = _log_log_limits(alive, greenwood)
    return Survival(
        times_fs=np.concatenate([[0.0], times]),
        alive=np.concatenate([[1.0], alive]),
        lower=np.concatenate([[1.0], lower]),
        upper=np.concatenate([[1.0], upper]),
        followed_fs=float(exit_.max(initial=0.0)),
        n_failed=int(failed.sum()),
        n_censored=int((~failed).sum()),
    )


def median_survival(exposures: Iterable[Exposure | Mapping[str, Any]]) -> Median | None:
    """Return the median survival, or ``None`` where nothing was watched."""
    curve = survival_curve(exposures)
    if curve.n_failed + curve.n_censored == 0:
        return None
    value = _first_at_or_below_half(curve.times_fs, curve.alive)
    at_least = min(value, curve.followed_fs)
    return Median(value, at_least, min(at_least, _first_at_or_below_half(curve.times_fs, curve.lower)))


def _first_at_or_below_half(times: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    below = np.flatnonzero(share <= 0.5 + 1e-12)
    return float(times[below[0]]) if len(below) else float("inf")


def _log_log_limits(
    alive: NDArray[np.float64], greenwood: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lower, upper = np.zeros_like(alive), np.zeros_like(alive)
    inside = (alive > 0.0) & (alive < 1.0)
    log_alive = np.log(alive[inside])
    width = _NORMAL_QUANTILE_95 * np.sqrt(greenwood[inside]) / np.abs(log_alive)
    lower[inside] = np.exp(log_alive * np.exp(width))
    upper[inside] = np.exp(log_alive * np.exp(-width))
    return lower, upper


def _arrays(
    exposures: Iterable[Exposure | Mapping[str, Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    table = np.array([_row(exposure) for exposure in exposures], dtype=float).reshape(-1, 3)
    entry, exit_, failed = table[:, 0], table[:, 1], table[:, 2].astype(bool)
    exit_ = np.where(failed, np.maximum(exit_, entry + _INSTANT_FS), exit_)
    watched = exit_ > entry
    return entry[watched], exit_[watched], failed[watched]


def _row(exposure: Exposure | Mapping[str, Any]) -> tuple[float, float, bool]:
    if isinstance(exposure, Mapping):
        entry, exit_ = exposure["entry_fs"], exposure["exit_fs"]
        ended, reason = exposure["ended"], exposure["reason"]
    else:
        entry, exit_, ended, reason = exposure.entry_fs, exposure.exit_fs, exposure.ended, exposure.reason
    return float(entry), float(exit_), bool(ended) and reason != "completed"
