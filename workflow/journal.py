"""The ledger, the state folded from it, and whoever watches: kept in step."""

from __future__ import annotations

from typing import Any, Protocol

from workflow.ledger import Event, Ledger
from workflow.state import CampaignState


class Observer(Protocol):
    """Whoever shows the campaign to its user."""

    def note(self, line: str) -> None:
        """Say one thing that happened."""

    def update(self, state: CampaignState) -> None:
        """Take in that the state has changed."""


class Journal:
    """Where the driver writes down what happens."""

    def __init__(self, ledger: Ledger, state: CampaignState, observer: Observer) -> None:
        self._ledger = ledger
        self._observer = observer
        self.state = state

    def record(self, event: str, **fields: Any) -> Event:
        """Write an event to the ledger and take it into the state."""
        written = self._ledger.append(event, **fields)
        self.state.apply(written)
        self._observer.update(self.state)
        return written

    def note(self, line: str) -> None:
        """Tell the user of one thing that happened."""
        self._observer.note(line)

    def sync(self) -> None:
        """Wait until everything recorded is on disk."""
        self._ledger.sync()
