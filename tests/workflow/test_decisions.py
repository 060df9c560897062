"""Small decisions of the campaign: pausing a stage, promoting an ensemble, ending."""

import pytest
from tiny_campaign import tiny_config

from workflow.breaker import CircuitBreaker
from workflow.stages.training import is_good_enough
from workflow.state import CampaignState, Round
from workflow.stop import StopRule
from workflow.tasks.train import TrainingSummary


def test_the_breaker_trips_at_too_many_failures_among_the_last():
    breaker = CircuitBreaker(window=4, max_failures=3)
    for _ in range(5):  # one in two fails, for ever
        assert breaker.failure("labelling", "walltime") is None
        breaker.success("labelling")
    assert breaker.failure("labelling", "walltime") is None
    trip = breaker.failure("labelling", "killed")
    assert trip is not None
    assert trip.reason == "3 of the last 4 results failed: 2 × walltime; 1 × killed"


def test_the_breaker_keeps_stages_apart_and_begins_again_after_a_trip():
    breaker = CircuitBreaker(window=4, max_failures=2)
    assert breaker.failure("labelling", "a") is None
    assert breaker.failure("training", "b") is None
    assert breaker.failure("labelling", "a") is not None
    assert breaker.failure("labelling", "a") is None


def errors(energy, force):
    return {"n_labels": 4, "energy_rmse_mev_per_atom": energy, "force_rmse_ev_per_ang": force}


@pytest.mark.parametrize(
    ("new", "old", "promoted"),
    [
        (errors(2.0, 0.2), None, True),  # the first
        (errors(2.0, 0.2), errors(2.0, 0.2), True),
        (errors(1.0, 0.3), errors(2.0, 0.2), True),  # energy halved, force half as much again
        (errors(1.0, 0.5), errors(2.0, 0.2), False),
        (errors(float("nan"), 0.2), errors(2.0, 0.2), False),
        (errors(2.0, 0.2), errors(float("nan"), 0.2), True),
        (errors(float("nan"), 0.2), errors(float("nan"), 0.2), False),
    ],
)
def test_an_ensemble_is_promoted_unless_it_is_worse(new, old, promoted):
    summary = TrainingSummary(2, 0, 1, n_validation=4, validation=new, previous_validation=old)
    assert is_good_enough(summary, 0.0)[0] is promoted


def test_an_ensemble_may_be_worse_within_the_tolerance():
    """The score is the geometric mean of both errors."""
    for factor, promoted in ((1.19, True), (1.23, False)):
        summary = TrainingSummary(
            2, 0, 1, n_validation=4, validation=errors(factor, 0.05), previous_validation=errors(1.0, 0.05)
        )
        assert is_good_enough(summary, 0.1)[0] is promoted


def test_without_validation_labels_the_newer_ensemble_is_taken():
    summary = TrainingSummary(2, 0, 1, validation={"n_labels": 0}, previous_validation={"n_labels": 0})
    assert is_good_enough(summary, 0.0) == (True, "no validation labels to compare on")


def state_with(exit_times_fs, reason, cycles=1):
    state = CampaignState()
    for cycle in range(cycles):
        number = cycle + 1
        state.rounds[number] = Round(number, cycle, 1, 0.0, ended=1.0, promoted=True)
        state.current[cycle] = number
        state.exposures[f"round-{number:04d}"] = [
            {"entry_fs": 0.0, "exit_fs": time_fs, "ended": True, "reason": reason}
            for time_fs in exit_times_fs
        ]
    return state


def test_it_converges_once_half_live_long_enough_and_enough_were_watched():
    config = tiny_config()  # 0.05 ps, four trajectories
    assert StopRule().ending(state_with([10, 20, 50, 50, 50], "energy_disagreement"), config, 0)
    assert StopRule().ending(state_with([10, 20, 30, 40, 50], "energy_disagreement"), config, 0) is None
    assert StopRule().ending(state_with([50, 50, 50], "completed"), config, 0) is None
    state, why = StopRule().ending(state_with([50] * 4, "completed"), config, 0)
    assert state == "converged"
    assert "0.05 ps" in why


def test_every_cycle_must_have_converged():
    config = tiny_config(cycles=2, stop__max_rounds=9)
    state = state_with([50] * 4, "completed", cycles=2)
    assert StopRule().ending(state, config, 0) is not None
    state.exposures["round-0002"][0:3] = [
        {"entry_fs": 0.0, "exit_fs": 5.0, "ended": True, "reason": "blow_up"}
    ] * 3
    assert StopRule().ending(state, config, 0) is None
    del state.current[1]
    assert StopRule().ending(state, config, 0) is None
