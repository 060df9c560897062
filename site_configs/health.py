"""When a part of the pool counts as lost."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, PositiveInt, model_validator

from site_configs.roles import STRICT


class HealthConfig(BaseModel):
    """When a part of the pool counts as lost. Longer times suit busy machines, shorter ones quick repair."""

    model_config = STRICT

    heartbeat_period_s: PositiveInt = 1
    """Time between two signs of life of a manager; a lost worker is noticed within it, s."""
    silence_s: PositiveInt = 15
    """A part that gave no sign of life for this long is lost, s."""
    start_s: PositiveInt = 90
    """Time a manager may take from its start to its first sign of life, s."""
    idle_s: PositiveInt = 30
    """A worker that leaves a task waiting for this long is stuck, s."""
    scheduler_s: PositiveInt = 60
    """Time between two questions to the scheduler after blocks that are queued or run, s."""
    close_s: PositiveInt = 10
    """Time for an orderly end before everything is killed, s."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.silence_s < 2 * self.heartbeat_period_s:
            raise ValueError(
                f"silence_s is {self.silence_s}; expected at least twice"
                f" heartbeat_period_s = {self.heartbeat_period_s}"
            )
        return self
