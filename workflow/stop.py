"""When a campaign ends by itself: survival and budgets."""

from __future__ import annotations

import time

from workflow.settings.config import CampaignConfig
from workflow.state import CampaignState, round_name
from workflow.survival import Median, median_survival


class StopRule:
    """Decides when a campaign ends by itself."""

    def __init__(self) -> None:
        self._judged: dict[int, int] = {}
        """The promoted rounds at the last look at survival: it is costly, and labels do not change it."""
        self._look_again_at = 0
        """It is looked at again with so many more stretches of trajectories: one in a hundred."""

    def ending(self, state: CampaignState, config: CampaignConfig, n_labels: int) -> tuple[str, str] | None:
        """Return the state in which the campaign ends and why, or ``None``.

        ``n_labels`` counts those that are not merged yet.
        """
        n_stretches = sum(len(_exposures(state, cycle)) for cycle in state.current)
        if state.current != self._judged or n_stretches >= self._look_again_at:
            self._judged = dict(state.current)
            self._look_again_at = n_stretches + max(1, n_stretches // 100)
            why = converged(state, config)
            if why is not None:
                return "converged", why
        why = out_of_budget(state, config, n_labels)
        return None if why is None else ("budget_spent", why)


def survival_of_cycle(state: CampaignState, cycle: int) -> Median | None:
    """Return the median survival of a cycle's trajectories under its promoted ensemble."""
    return median_survival(_exposures(state, cycle)) if cycle in state.current else None


def converged(state: CampaignState, config: CampaignConfig) -> str | None:
    """Return why the campaign is converged, or ``None``: every cycle's trajectories must live long enough."""
    medians = []
    for cycle in range(config.cycles):
        if cycle not in state.current or _n_ended(state, cycle) < config.stop.min_trajectories:
            return None
        median = survival_of_cycle(state, cycle)
        if median is None:
            return None
        medians.append(median.at_least_fs / 1000.0)
    if min(medians) < config.stop.median_survival_ps:
        return None
    return (
        f"the median trajectory survives {min(medians):.3g} ps without disagreement "
        f"(asked for: {config.stop.median_survival_ps:g} ps)"
    )


def out_of_budget(state: CampaignState, config: CampaignConfig, n_labels: int) -> str | None:
    """Return which budget is spent, or ``None``; ``n_labels`` counts those not merged yet."""
    stop = config.stop
    if stop.max_labels is not None and n_labels >= stop.max_labels:
        return f"{n_labels} of {stop.max_labels} labels"
    n_trained = sum(1 for round_ in state.rounds.values() if round_.ended is not None)
    if stop.max_rounds is not None and n_trained >= stop.max_rounds:
        return f"{n_trained} of {stop.max_rounds} rounds"
    hours = (state.wall_s + time.time() - state.last_event) / 3600.0
    if stop.max_hours is not None and hours >= stop.max_hours:
        return f"{hours:.3g} of {stop.max_hours:g} hours"
    return None


def _n_ended(state: CampaignState, cycle: int) -> int:
    return sum(1 for exposure in _exposures(state, cycle) if exposure["ended"])


def _exposures(state: CampaignState, cycle: int) -> list[dict[str, object]]:
    return state.exposures.get(round_name(state.current[cycle]), [])
