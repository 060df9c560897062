"""Where a campaign stands, in a few numbers: what ``status`` says and the report's headline shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow.accounting import TimeSpent, busy_by_role, gpu_h_per_label, gpu_time, worker_time
from workflow.kpoint_noise import KpointNoise, kpoint_noise
from workflow.ledger import LEDGER_NAME, Event
from workflow.lock import holder
from workflow.reporting.rounds import n_validation
from workflow.state import CampaignState, load_state
from workflow.stop import survival_of_cycle
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import ids


class NoCampaignError(ValueError):
    """There is no campaign in this directory."""


@dataclass(frozen=True)
class Driver:
    """The process that drives the campaign, or drove it last."""

    host: str
    pid: int
    alive: bool


@dataclass(frozen=True)
class Validation:
    """Errors of the best ensemble on the fixed validation set, whose labels never train."""

    energy_rmse_mev_per_atom: float | None
    force_rmse_ev_per_ang: float | None
    n_labels: int


@dataclass(frozen=True)
class Summary:
    """Where a campaign stands.

    Attributes
    ----------
    state
        bootstrap, running, paused, converged, budget_spent or failed.
    reason
        Why it is paused or has stopped, and what to do; else empty.
    driver
        Who drives it; ``None`` before the first time.
    round
        The newest ensemble that was trained; 0 before the first.
    ensemble
        The best promoted ensemble; empty before the first.
    labels, candidates, quarantined
        Labels made, those not merged yet included; frames waiting for one; candidates refused.
    median_survival_ps
        Of the worst cycle's trajectories under its promoted ensemble; ``None`` before there are any.
    median_survival_is_lower_bound
        Whether more than half outlived all watching.
    validation
        Errors of the best ensemble; ``None`` before the first.
    properties
        What the property suite found of the best ensemble; ``None`` where it has not been run.
    promotion
        Why the newest ensemble was not promoted, or was although the gate refused it; else empty.
    kpoint_noise
        What more k-points change in the labels; ``None`` where none was checked.
    workers_busy_fraction, busy_by_role
        Share of the workers' time spent in tasks, from the campaign's start.
    wall_h, label_core_h
        Hours a driver has run; core-hours that labels have cost.
    worker_time, gpu_time
        Where the hours of the workers, and of the GPUs they held, went (see `workflow.accounting`).
    gpu_h_per_label
        GPU-hours held per label accepted, idle ones included; ``None`` without GPUs or labels.
    """

    state: str
    reason: str
    driver: Driver | None
    round: int
    ensemble: str
    labels: int
    candidates: int
    quarantined: int
    median_survival_ps: float | None
    median_survival_is_lower_bound: bool
    validation: Validation | None
    properties: Event | None
    promotion: str
    kpoint_noise: KpointNoise | None
    workers_busy_fraction: float
    busy_by_role: dict[str, float]
    wall_h: float
    label_core_h: float
    worker_time: TimeSpent
    gpu_time: TimeSpent
    gpu_h_per_label: float | None

    @property
    def driver_alive(self) -> bool:
        """Whether anybody drives it now."""
        return self.driver is not None and self.driver.alive

    @property
    def can_go_on(self) -> bool:
        """Whether it has not ended and nobody drives it."""
        return self.state not in {"converged", "budget_spent", "failed"} and not self.driver_alive

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON's kinds of values."""
        return {**asdict(self), "driver_alive": self.driver_alive}


def summarise(directory: Path, state: CampaignState | None = None) -> Summary:
    """Return where the campaign in ``directory`` stands; reads its ledger unless given the ``state``.

    Raises
    ------
    NoCampaignError
        If there is no campaign.
    LedgerDamagedError
        If its ledger cannot be read.
    """
    if state is None:
        if not (directory / LEDGER_NAME).exists():
            raise NoCampaignError(f"{directory}: no campaign here (there is no {LEDGER_NAME})")
        state = load_state(directory)
    paths = CampaignPaths(directory)
    best = state.best_round()
    survival, is_bound = worst_survival(state)
    return Summary(
        state=state.phase,
        reason=_reason(state),
        driver=_driver(directory, state),
        round=state.round,
        ensemble=best.name if best else "",
        labels=state.n_labels + len(ids(paths.labels)),
        candidates=len(ids(paths.candidates)),
        quarantined=len(ids(paths.quarantine)),
        median_survival_ps=survival,
        median_survival_is_lower_bound=is_bound,
        validation=_validation(best.validation if best else None),
        properties=state.properties.get(best.number) if best else None,
        promotion=_promotion(state),
        kpoint_noise=kpoint_noise(state.kpoint_checks),
        workers_busy_fraction=state.workers_busy_fraction,
        busy_by_role=busy_by_role(state),
        wall_h=state.wall_s / 3600.0,
        label_core_h=state.label_core_s / 3600.0,
        worker_time=worker_time(state),
        gpu_time=gpu_time(state),
        gpu_h_per_label=gpu_h_per_label(state),
    )


def worst_survival(state: CampaignState) -> tuple[float | None, bool]:
    """Return the worst cycle's median survival, ps, and whether it is only a lower bound."""
    medians = [median for cycle in state.current if (median := survival_of_cycle(state, cycle)) is not None]
    if not medians:
        return None, False
    worst = min(medians, key=lambda median: median.at_least_fs)
    return worst.at_least_fs / 1000.0, worst.value_fs > worst.at_least_fs


def _reason(state: CampaignState) -> str:
    if state.stopped is not None:
        return str(state.stopped["reason"])
    return " ".join(f"{e['stage']}: {e['reason']}. {e['remedy']}" for e in state.paused.values())


def _promotion(state: CampaignState) -> str:
    newest = state.rounds.get(state.round)
    if newest is None or (newest.promoted and not newest.unmet):
        return ""
    return f"{newest.name} {'promoted' if newest.promoted else 'not promoted'}: {newest.why}"


def _driver(directory: Path, state: CampaignState) -> Driver | None:
    held = holder(directory)
    if held is not None:
        return Driver(held.host, held.pid, held.alive)
    if not state.sessions:
        return None
    return Driver(state.sessions[-1].host, state.sessions[-1].pid, alive=False)


def _validation(errors: dict[str, Any] | None) -> Validation | None:
    if not errors:
        return None
    return Validation(
        errors.get("energy_rmse_mev_per_atom"), errors.get("force_rmse_ev_per_ang"), n_validation(errors)
    )
