"""Survival curves against cases worked out by hand and published numbers."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.survival import median_survival, survival_curve


@dataclass(frozen=True)
class Stretch:
    entry_fs: float
    exit_fs: float
    ended: bool
    reason: str | None = None


def failed(exit_fs, entry_fs=0.0):
    return Stretch(entry_fs, exit_fs, True, "energy_disagreement")


def censored(exit_fs, entry_fs=0.0):
    return Stretch(entry_fs, exit_fs, False)


def completed(exit_fs, entry_fs=0.0):
    return Stretch(entry_fs, exit_fs, True, "completed")


def test_without_censoring_it_is_the_share_still_alive():
    curve = survival_curve([failed(t) for t in (1, 2, 3, 4)])
    assert curve.times_fs.tolist() == [0, 1, 2, 3, 4]
    assert curve.alive == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_censored_trajectories_leave_the_risk_set_without_failing():
    # by hand: at 1 four are at risk, at 3 two: (3/4)(1/2)
    curve = survival_curve([failed(1), censored(2), failed(3), censored(4)])
    assert curve.times_fs.tolist() == [0, 1, 3]
    assert curve.alive == pytest.approx([1, 0.75, 0.375])


def test_remission_times_of_freireich_1963():
    """The 6-MP arm (weeks), with the estimate and median that Klein & Moeschberger print."""
    curve = survival_curve(
        [failed(t) for t in (6, 6, 6, 7, 10, 13, 16, 22, 23)]
        + [censored(t) for t in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)]
    )
    assert curve.times_fs.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    assert curve.alive == pytest.approx([1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=6e-4)
    median = median_survival(
        [failed(6)] * 3
        + [failed(t) for t in (7, 10, 13, 16, 22, 23)]
        + [censored(t) for t in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)]
    )
    assert median.value_fs == 23
    assert median.lower_fs == 13


def test_delayed_entry_counts_only_from_entry():
    # at 2 only the first is at risk with the third; the second enters at 3
    curve = survival_curve([failed(2), failed(5, entry_fs=3), failed(6)])
    assert curve.alive == pytest.approx([1, 1 / 2, 1 / 4, 0])


def test_an_entry_at_the_moment_of_a_failure_is_not_at_risk_for_it():
    curve = survival_curve([failed(2), censored(4), censored(5, entry_fs=2)])
    assert curve.alive == pytest.approx([1, 1 / 2])


def test_cutting_a_trajectory_into_chunks_changes_nothing():
    whole = survival_curve([failed(10), failed(25), completed(40)])
    chunks = survival_curve(
        [failed(10), censored(10), failed(25, 10), censored(20), censored(30, 20), completed(40, 30)]
    )
    assert chunks.times_fs.tolist() == whole.times_fs.tolist()
    assert chunks.alive == pytest.approx(whole.alive)


def test_completed_is_censored_not_failed():
    curve = survival_curve([completed(250), completed(250), failed(100)])
    assert (curve.n_failed, curve.n_censored) == (1, 2)
    assert curve.at(250) == pytest.approx(2 / 3)
    assert curve.at(99) == 1.0


def test_a_start_that_disagrees_at_once_is_a_failure():
    curve = survival_curve([failed(0), failed(0), completed(10), completed(10)])
    assert curve.at(1.0) == pytest.approx(0.5)
    assert median_survival([failed(0), failed(0), completed(10)]).value_fs == pytest.approx(0, abs=1e-3)


def test_a_median_not_reached_is_infinite_with_a_lower_bound():
    median = median_survival([failed(50), completed(250), completed(250), completed(250)])
    assert median.value_fs == float("inf")
    assert median.at_least_fs == 250
    assert median.lower_fs <= 250


def test_nothing_watched_has_no_median():
    assert median_survival([]) is None
    assert median_survival([censored(0)]) is None
    assert survival_curve([]).alive.tolist() == [1.0]


def test_rows_of_the_ledger_are_taken_as_they_are():
    rows = [{"trajectory": "t", "entry_fs": 0, "exit_fs": 3, "ended": True, "reason": "blow_up"}]
    assert median_survival(rows).value_fs == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), min_size=1, max_size=30))
def test_it_is_the_product_over_the_risk_sets(rows):
    stretches = [Stretch(a, a + b, fail, "blow_up" if fail else None) for a, b, fail in rows if b > 0]
    curve = survival_curve(stretches)
    alive, expected = 1.0, [1.0]
    for t in sorted({s.exit_fs for s in stretches if s.ended}):
        risk = [s for s in stretches if s.entry_fs < t <= s.exit_fs]
        alive *= 1 - sum(s.ended and s.exit_fs == t for s in risk) / len(risk)
        expected.append(alive)
    assert curve.alive == pytest.approx(expected)
    assert np.all(curve.lower <= curve.alive + 1e-12)
    assert np.all(curve.upper >= curve.alive - 1e-12)


def test_exponential_lifetimes_are_recovered_under_censoring_and_late_entry():
    rng = np.random.default_rng(7)
    life, entry, cut = rng.exponential(100, 4000), rng.uniform(0, 80, 4000), rng.uniform(50, 300, 4000)
    stretches = [
        Stretch(e, min(t, c), bool(t <= c), "blow_up")
        for t, e, c in zip(life, entry, cut, strict=True)
        if min(t, c) > e
    ]
    stretches += [failed(t) for t in rng.exponential(100, 500)]
    assert median_survival(stretches).value_fs == pytest.approx(100 * np.log(2), rel=0.06)
