"""Temperature as a function of time: a ramp with a sin² modulation, Eq. 2 of Smith et al. 2021 (ANI-Al)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampling.config import ScheduleConfig


@dataclass(frozen=True)
class TemperatureSchedule:
    """T(t) = T_start + (t/t_max)(T_end − T_start) + T_mod sin²(π t/t_0).

    The paper's text prints t_max = 250 fs; beside periods of 10-50 ps, 250 ps must be meant.
    """

    start_k: float
    end_k: float
    modulation_k: float
    period_fs: float
    duration_fs: float

    def temperature_k(self, time_fs: ArrayLike) -> NDArray[np.float64]:
        """Return the temperature at ``time_fs`` (any shape), K; the ramp stays at its end."""
        time = np.asarray(time_fs, dtype=np.float64)
        ramp = np.minimum(time / self.duration_fs, 1.0)
        wave = np.sin(np.pi * time / self.period_fs) ** 2
        return np.asarray(self.start_k + ramp * (self.end_k - self.start_k) + self.modulation_k * wave)


def draw(config: ScheduleConfig, rng: np.random.Generator) -> TemperatureSchedule:
    """Draw one schedule, every parameter uniform within its range."""
    return TemperatureSchedule(
        start_k=float(rng.uniform(*config.start_k)),
        end_k=float(rng.uniform(*config.end_k)),
        modulation_k=float(rng.uniform(*config.modulation_k)),
        period_fs=1000 * float(rng.uniform(*config.period_ps)),
        duration_fs=1000 * config.duration_ps,
    )
