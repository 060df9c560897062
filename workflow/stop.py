"""When a campaign ends by itself: survival and budgets."""

from __future__ import annotations

from workflow.config import CampaignConfig
from workflow.state import CampaignState, round_name
from workflow.survival import Median, median_survival


def survival_of_cycle(state: CampaignState, cycle: int) -> Median | None:
    """Return the median survival of a cycle's trajectories under its promoted ensemble."""
    number = state.current.get(cycle)
    return None if number is None else median_survival(state.exposures.get(round_name(number), []))


def converged(state: CampaignState, config: CampaignConfig) -> str | None:
    """Return why the campaign is converged, or ``None``: every cycle's trajectories must live long enough."""
    medians = []
    for cycle in range(config.cycles):
        median = survival_of_cycle(state, cycle)
        if median is None or _n_ended(state, cycle) < config.stop.min_trajectories:
            return None
        medians.append(median.at_least_fs / 1000.0)
    if min(medians) < config.stop.median_survival_ps:
        return None
    return (
        f"converged: the median trajectory survives {min(medians):.3g} ps without disagreement "
        f"(asked for: {config.stop.median_survival_ps:g} ps)"
    )


def _n_ended(state: CampaignState, cycle: int) -> int:
    exposures = state.exposures.get(round_name(state.current[cycle]), [])
    return sum(1 for exposure in exposures if exposure["ended"])


def out_of_budget(state: CampaignState, config: CampaignConfig, n_labels: int) -> str | None:
    """Return which budget is spent, or ``None``; ``n_labels`` counts those not merged yet."""
    stop = config.stop
    if stop.max_labels is not None and n_labels >= stop.max_labels:
        return f"budget spent: {n_labels} of {stop.max_labels} labels"
    n_trained = sum(1 for round_ in state.rounds.values() if round_.ended is not None)
    if stop.max_rounds is not None and n_trained >= stop.max_rounds:
        return f"budget spent: {n_trained} of {stop.max_rounds} rounds"
    hours = state.wall_s / 3600.0
    if stop.max_hours is not None and hours >= stop.max_hours:
        return f"budget spent: {hours:.3g} of {stop.max_hours:g} hours"
    return None
