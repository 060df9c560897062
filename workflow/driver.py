"""What all stages of a campaign share: submitting tasks, recording events, pausing, deciding to end."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from site_configs.roles import Role
from workflow.breaker import CircuitBreaker
from workflow.execution.deadline import FOR_EVER, Deadline
from workflow.execution.guard import TaskResult
from workflow.execution.pool import Pool
from workflow.journal import Journal
from workflow.ledger import Event
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.settings.load import changed_keys, load_campaign, refuse_unsafe_changes, save_resolved
from workflow.state import CampaignState
from workflow.storage.paths import CampaignPaths

logger = logging.getLogger(__name__)

OnResult = Callable[[TaskResult], None]


@dataclass(frozen=True)
class Ending:
    """That the campaign ends, in which state and why.

    ``by`` is the signal that interrupted it, ``"walltime"``, or empty.
    """

    state: str
    reason: str
    by: str = ""

    def __str__(self) -> str:
        """Return one line for the user, such as ``budget spent: 2 of 2 rounds``."""
        return f"{self.state.replace('_', ' ')}: {self.reason}"


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
        journal: Journal,
        deadline: Deadline = FOR_EVER,
    ) -> None:
        self.paths = paths
        self.config = config
        self.pool = pool
        self.deadline = deadline
        self.ending: Ending | None = None
        self.interrupted_by: str | None = None
        self._journal = journal
        self._breaker = CircuitBreaker(config.breaker.window, config.breaker.max_failures)
        self._settings_read_ns = paths.settings.stat().st_mtime_ns
        self._running: dict[int, _Running] = {}
        self._next_token = 0
        self._finished: queue.SimpleQueue[tuple[int, TaskResult] | None] = queue.SimpleQueue()

    # Events

    @property
    def state(self) -> CampaignState:
        """What has happened so far."""
        return self._journal.state

    def record(self, event: str, **fields: Any) -> Event:
        """Write an event to the ledger and take it into the state."""
        return self._journal.record(event, **fields)

    def note(self, line: str) -> None:
        """Tell the user of one thing that happened."""
        self._journal.note(line)

    def success(self, stage: str) -> None:
        """Tell the circuit breaker of a success."""
        self._breaker.success(stage)

    def failure(self, stage: str, reason: str, remedy: str) -> None:
        """Tell the circuit breaker of a failure; pause the stage if there were too many."""
        trip = self._breaker.failure(stage, reason)
        if trip is not None and not self.is_paused(stage):
            self.record("paused", stage=stage, reason=trip.reason, remedy=remedy)
            self.note(f"{stage} is paused: {trip.reason}. {remedy}")

    def is_paused(self, stage: str) -> bool:
        """Whether nothing new may be started in a stage."""
        return stage in self.state.paused

    def has_time_for(self, function: Callable[..., Any]) -> bool:
        """Whether a task of this kind can end before the allocation does, going by the longest so far."""
        return self.deadline.allows(self.state.longest_s.get(function.__name__, 0.0))

    def end(self, state: str, reason: str, by: str = "") -> None:
        """Decide how the campaign ends: sampling ends at its next check and, if it pauses, training too.

        What was decided first stands, but for a pause: then more is left to do.
        """
        if self.ending is None or state == "paused":
            self.ending = Ending(state, reason, by)
            self.note(str(self.ending))
            self.paths.stop_sampling.touch()
            if state == "paused":
                self.paths.stop_training.touch()

    def refresh_settings(self) -> None:
        """Read settings that were edited: safe changes are taken, all others said and ignored."""
        try:
            edited_ns = self.paths.settings.stat().st_mtime_ns
        except FileNotFoundError:  # some editors take a file away before they put the new one there
            return
        if edited_ns == self._settings_read_ns:
            return
        self._settings_read_ns = edited_ns
        try:
            edited = load_campaign(self.paths.settings)
            changes = changed_keys(self.config, edited)
            refuse_unsafe_changes(changes, self.paths.settings)
        except SettingsError as error:
            for line in str(error).splitlines():
                self.note(f"edited settings ignored: {line}")
            return
        if changes:
            self._adopt(edited)
            self.record("settings", changes=[str(change) for change in changes])
            for change in changes:
                self.note(f"settings: {change}")

    def _adopt(self, edited: CampaignConfig) -> None:
        if edited.breaker != self.config.breaker:
            self._breaker = CircuitBreaker(edited.breaker.window, edited.breaker.max_failures)
        self.config = edited
        save_resolved(edited, self.paths.settings_in_force)

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

    def interrupt(self, by: str) -> None:
        """Ask the campaign to end; safe in a signal handler."""
        self.interrupted_by = by
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
        self._journal.sync()

    def _handle(self, token: int, result: TaskResult) -> None:
        running = self._running.pop(token)
        self.record(
            "task",
            role=running.role,
            kind=running.kind,
            host=result.host,
            started=result.started,
            ended=result.ended,
            core_s=result.core_s,
            lost_s=result.lost_s,
            ok=result.ok,
            outcome="ok" if result.ok else result.error,
        )
        if not result.ok:
            logger.error("%s failed: %s\n%s", running.kind, result.error, result.traceback)
        running.on_result(result)
