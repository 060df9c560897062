"""A circuit breaker per stage: repeated failures pause the stage instead of burning the allocation."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Trip:
    """Why a stage pauses."""

    stage: str
    reason: str


class CircuitBreaker:
    """Trips when ``max_failures`` of a stage's last ``window`` results are failures."""

    def __init__(self, window: int, max_failures: int) -> None:
        self._max_failures = max_failures
        self._window = window
        self._results: dict[str, deque[str | None]] = {}

    def success(self, stage: str) -> None:
        """Take in a success."""
        self._of(stage).append(None)

    def failure(self, stage: str, reason: str) -> Trip | None:
        """Take in a failure; return a trip if the stage is to pause."""
        results = self._of(stage)
        results.append(reason)
        failures = Counter(result for result in results if result is not None)
        if failures.total() < self._max_failures:
            return None
        results.clear()
        commonest = "; ".join(f"{n} × {why}" for why, n in failures.most_common(3))
        return Trip(stage, f"{failures.total()} of the last {self._window} results failed: {commonest}")

    def _of(self, stage: str) -> deque[str | None]:
        return self._results.setdefault(stage, deque(maxlen=self._window))
