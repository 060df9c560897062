"""What sampling hands back: how long each trajectory was trusted, and the frames that ended it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ase import Atoms

EndReason = Literal[
    "energy_disagreement",
    "mean_force_disagreement",
    "max_force_disagreement",
    "close_contact",
    "blow_up",
    "completed",
]


@dataclass(frozen=True)
class Exposure:
    """The part of a trajectory that ran under one ensemble.

    Attributes
    ----------
    trajectory_id, ensemble_id
        Which.
    entry_fs, exit_fs
        Its clock at the first and at the last look under this ensemble.
    ended
        Whether it ended there; if not, it goes on and this exposure is censored.
    reason
        Why it ended; ``None`` if it did not.
    """

    trajectory_id: str
    ensemble_id: str
    entry_fs: float
    exit_fs: float
    ended: bool
    reason: EndReason | None


@dataclass(frozen=True)
class CandidateFrame:
    """A frame on which the ensemble disagrees (or two atoms came too close), waiting for a label.

    Attributes
    ----------
    frame
        Wrapped into its cell.
    trajectory_id, reason, time_fs
        Which trajectory, why and when it ended.
    temperature_k
        What the thermostat was set to.
    seed
        From which the trajectory was made.
    spread
        Spread over the members: ``energy_ev_per_sqrt_atom``, ``force_mean_ev_per_ang``,
        ``force_max_ev_per_ang``.
    expected_error
        The same, calibrated.
    """

    frame: Atoms
    trajectory_id: str
    reason: EndReason
    time_fs: float
    temperature_k: float
    seed: str
    spread: dict[str, float]
    expected_error: dict[str, float]


@dataclass(frozen=True)
class ChunkResult:
    """What came of advancing a group for a while.

    Attributes
    ----------
    exposures
        One for each trajectory that was under way or started.
    candidates
        Frames for labelling.
    steps
        Time steps of the group.
    atom_steps
        Sum over those steps of the atoms that moved.
    wall_s
        Wall time.
    build_failures
        Starting cells that could not be made.
    """

    exposures: list[Exposure] = field(default_factory=list)
    candidates: list[CandidateFrame] = field(default_factory=list)
    steps: int = 0
    atom_steps: int = 0
    wall_s: float = 0.0
    build_failures: int = 0
