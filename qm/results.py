"""What a program has found for one frame, or why its output holds no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qm.label import FailureReason


@dataclass(frozen=True)
class Results:
    """Energy, forces and stress as in :class:`qm.label.Label`, of a density that is self-consistent.

    Attributes
    ----------
    energy_ev
        With smeared occupations the free energy E - TS, whose derivative the forces and the stress are.
    forces_ev_per_ang
        Shape (n_atoms, 3).
    stress_ev_per_ang3
        Shape (3, 3), positive under tension.
    """

    energy_ev: float
    forces_ev_per_ang: NDArray[np.float64]
    stress_ev_per_ang3: NDArray[np.float64]


class ResultsError(ValueError):
    """There is no label; one line says why, and the class has the reason."""

    reason: ClassVar[FailureReason] = "bad_output"


class OutputError(ResultsError):
    """The output cannot be read, or ends too early."""


class UnphysicalError(ResultsError):
    """The results are too large to be printed: atoms lie on each other."""

    reason = "unphysical"


class NotConvergedError(ResultsError):
    """The output holds results, but of a density that is not self-consistent."""

    reason = "not_converged"


class OtherLevelError(ResultsError):
    """The calculation was at another level of theory than the settings name."""

    reason = "bad_input"
