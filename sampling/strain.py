"""Slow strain of a trajectory's cell, so that what forms in it is seen stretched, compressed and sheared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampling.config import ScheduleConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StrainSchedule:
    """Deformation F(t) = 1 + ε sin(2π t/t_s), with a symmetric ε; none at the start.

    Attributes
    ----------
    voigt
        ε as xx, yy, zz, yz, xz, xy (components of the tensor, not doubled).
    period_fs
        t_s.
    """

    voigt: tuple[float, float, float, float, float, float]
    period_fs: float

    @property
    def is_none(self) -> bool:
        """Whether the cell never changes."""
        return not any(self.voigt)

    def deformation(self, time_fs: float) -> Floats:
        """Return F(t), symmetric, shape (3, 3); a row vector r becomes r F."""
        xx, yy, zz, yz, xz, xy = self.voigt
        strain = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return np.asarray(np.eye(3) + strain * np.sin(2 * np.pi * time_fs / self.period_fs))

    def between(self, start_fs: float, end_fs: float) -> Floats:
        """Return what takes row vectors from one time to another, shape (3, 3)."""
        return np.asarray(np.linalg.solve(self.deformation(start_fs), self.deformation(end_fs)))


NO_STRAIN = StrainSchedule((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0)
"""For a cell that stays as it was built."""


def draw_strain(config: ScheduleConfig, rng: np.random.Generator) -> StrainSchedule:
    """Draw one schedule; components and period are uniform within their ranges."""
    if config.max_strain == 0.0:
        return NO_STRAIN
    xx, yy, zz, yz, xz, xy = (float(x) for x in rng.uniform(-config.max_strain, config.max_strain, 6))
    return StrainSchedule((xx, yy, zz, yz, xz, xy), 1000 * float(rng.uniform(*config.strain_period_ps)))
