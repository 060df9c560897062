"""What all stages of a campaign share: submitting tasks, recording events, pausing, deciding to end."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from site_configs.config import Role
from workflow.breaker import CircuitBreaker
from workflow.config import CampaignConfig
from workflow.guard import TaskResult
from workflow.ledger import Event, Ledger
from workflow.paths import CampaignPaths
from workflow.pool import Pool
from workflow.settings import changed_keys, load_campaign, refuse_unsafe_changes
from workflow.settings_errors import SettingsError
from workflow.state import CampaignState

logger = logging.getLogger(__name__)

OnResult = Callable[[TaskResult], None]


class Observer(Protocol):
    """Whoever shows the campaign to its user."""

    def note(self, line: str) -> None:
        """Say one thing that happened."""

    def update(self, state: CampaignState) -> None:
        """Take in that the state has changed."""


@dataclass(frozen=True)
class Ending:
    """That the campaign ends, in which state and why."""

    state: str
    reason: str


@dataclass
class _Running:
    role: Role
    kind: str
    on_result: OnResult


class Driver:
    """The campaign's hands: everything that happens goes through here, in one thread."""

    def __init__(
        self,
        paths: CampaignPaths,
        config: CampaignConfig,
        pool: Pool,
        ledger: Ledger,
        state: CampaignState,
        observer: Observer,
    ) -> None:
        self.paths = paths
        self.config = config
        self.pool = pool
        self.state = state
        self.observer = observer
        self.ending: Ending | None = None
        self.interrupted_by: str | None = None
        self._ledger = ledger
        self._breaker = CircuitBreaker(config.breaker.window, config.breaker.max_failures)
        self._running: dict[int, _Running] = {}
        self._next_token = 0
        self._finished: queue.SimpleQueue[tuple[int, TaskResult] | None] = queue.SimpleQueue()

    # Events

    def record(self, event: str, **fields: Any) -> Event:
        """Write an event to the ledger and take it into the state."""
        written = self._ledger.append(event, **fields)
        self.state.apply(written)
        self.observer.update(self.state)
        return written

    def success(self, stage: str) -> None:
        """Tell the circuit breaker of a success."""
        self._breaker.success(stage)

    def failure(self, stage: str, reason: str, remedy: str) -> None:
        """Tell the circuit breaker of a failure; pause the stage if there were too many."""
        trip = self._breaker.failure(stage, reason)
        if trip is not None and stage not in self.state.paused:
            self.record("paused", stage=stage, reason=trip.reason, remedy=remedy)
            self.observer.note(f"{stage} is paused: {trip.reason}. {remedy}")

    def is_paused(self, stage: str) -> bool:
        """Whether nothing new may be started in a stage."""
        return stage in self.state.paused

    def end(self, state: str, reason: str) -> None:
        """Decide that the campaign ends; the first decision stands. Sampling ends at its next check."""
        if self.ending is None:
            self.ending = Ending(state, reason)
            self.observer.note(reason)
            self.paths.stop_sampling.touch()
            if state == "paused":
                self.paths.stop_training.touch()

    def refresh_settings(self) -> None:
        """Read the settings again: safe ones may be edited while the campaign runs, others are ignored."""
        try:
            edited = load_campaign(self.paths.settings)
            changes = changed_keys(self.config, edited)
            refuse_unsafe_changes(changes, self.paths.settings)
        except SettingsError as error:
            for line in str(error).splitlines():
                self.observer.note(f"edited settings ignored: {line}")
            return
        if changes:
            self.config = edited
            self.record("settings", changes=[str(change) for change in changes])
            for change in changes:
                self.observer.note(f"settings: {change}")

    # Tasks

    def submit(
        self,
        role: Role,
        function: Callable[..., Any],
        *args: Any,
        on_result: OnResult,
        timeout_s: float | None = None,
    ) -> None:
        """Start a task; ``on_result`` is called with its result in the driver's thread."""
        token, self._next_token = self._next_token, self._next_token + 1
        self._running[token] = _Running(role, function.__name__, on_result)
        future = self.pool.submit(role, function, str(self.paths.directory), *args, timeout_s=timeout_s)

        def arrived(done: Future[TaskResult]) -> None:
            self._finished.put((token, done.result()))

        future.add_done_callback(arrived)

    @property
    def n_running(self) -> int:
        """Tasks that have been submitted and not come back."""
        return len(self._running)

    def wake(self) -> None:
        """Make `handle_results` return; safe in a signal handler."""
        self._finished.put(None)

    def handle_results(self, wait_s: float) -> None:
        """Wait up to ``wait_s`` for a task to come back, then deal with all that have."""
        try:
            arrived = self._finished.get(timeout=wait_s)
        except queue.Empty:
            return
        while arrived is not None:
            self._handle(*arrived)
            try:
                arrived = self._finished.get_nowait()
            except queue.Empty:
                break
        self._ledger.sync()

    def _handle(self, token: int, result: TaskResult) -> None:
        running = self._running.pop(token)
        self.record(
            "task",
            role=running.role,
            kind=running.kind,
            started=result.started,
            ended=result.ended,
            core_s=result.core_s,
            ok=result.ok,
            outcome="ok" if result.ok else result.error,
        )
        if not result.ok:
            logger.error("%s failed: %s\n%s", running.kind, result.error, result.traceback)
        running.on_result(result)
