"""Ways to self-consistency, each gentler than the one before; none changes the level of theory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qm.cp2k.config import Cp2kConfig


@dataclass(frozen=True)
class Way:
    """How CP2K looks for self-consistency.

    Attributes
    ----------
    alpha
        Share of the new density in each step.
    max_steps
        Steps after which it gives up.
    method
        Broyden's learns from earlier steps; Kerker's only damps long waves, and never leaps.
    from_orbitals
        Whether to start from the orbitals that the way before has left, if it has left any.
    """

    alpha: float
    max_steps: int
    method: Literal["BROYDEN_MIXING", "PULAY_MIXING", "KERKER_MIXING"] = "BROYDEN_MIXING"
    from_orbitals: bool = False

    def __str__(self) -> str:
        words = f"{self.method} {self.alpha:g}, {self.max_steps} steps"
        return f"{words}, from the orbitals so far" if self.from_orbitals else words


def ways(config: Cp2kConfig) -> list[Way]:
    """Return the ways to try, in their order: that of the settings, then gentler ones.

    The first repair goes on from the orbitals so far, for a calculation that was merely slow. The others
    begin anew, because a density that has begun to slosh leads nowhere.
    """
    alpha, steps = config.mixing_alpha, config.max_scf_steps
    most = max(200, 2 * steps)
    repairs = [
        Way(min(alpha, 0.2), most, from_orbitals=True),
        Way(min(alpha, 0.1), most, "PULAY_MIXING"),
        Way(min(alpha, 0.1), 2 * most, "KERKER_MIXING"),
    ]
    return [Way(alpha, steps), *repairs[: config.max_repairs]]
