"""The property suite on promoted ensembles, beside everything else; nothing waits for it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from workflow.driver import Driver
from workflow.execution.guard import TaskResult
from workflow.tasks.validate import PropertySummary, validate_round


class Properties:
    """Runs the suite on each promoted ensemble, one at a time; what fails is written down and left."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._running: int | None = None

    def submit(self) -> None:
        """Start the suite on the first promoted ensemble that has not been through it."""
        driver = self._driver
        suite = driver.config.validation.suite
        if suite == "none" or self._running is not None or not driver.has_time_for(validate_round):
            return
        waiting = [
            number
            for number, round_ in sorted(driver.state.rounds.items())
            if round_.promoted and number not in driver.state.properties
        ]
        if waiting:
            self._running = waiting[0]
            driver.submit(
                "training",
                validate_round,
                waiting[0],
                suite,
                on_result=partial(self._on_result, waiting[0], suite),
            )

    def _on_result(self, number: int, suite: str, result: TaskResult) -> None:
        self._running = None
        record_properties(self._driver, number, suite, result)
        if not result.ok:
            self._driver.note(f"property suite of round {number}: {result.error}")


def record_properties(driver: Driver, number: int, suite: str, result: TaskResult) -> PropertySummary:
    """Write down what the suite found of a round's ensemble, or why it found nothing, and return that."""
    found: PropertySummary = (
        result.value if result.ok else PropertySummary(number, suite, ok=False, message=result.error)
    )
    driver.record("properties", **asdict(found))
    return found
