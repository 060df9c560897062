"""Ways to self-consistency, each gentler than the one before; none changes the level of theory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qm.espresso.config import EspressoConfig


@dataclass(frozen=True)
class Way:
    """How pw.x looks for self-consistency.

    Attributes
    ----------
    mixing_beta
        Share of the new density in each step.
    mixing_mode
        ``local-TF`` screens by the local density, for cells with empty regions.
    diagonalization
        Davidson's method is fast, conjugate gradients robust.
    max_steps
        Steps after which it gives up.
    from_density
        Whether to start from the density that the way before has left, if it has left one.
    """

    mixing_beta: float
    max_steps: int
    mixing_mode: Literal["plain", "local-TF"] = "plain"
    diagonalization: Literal["david", "cg"] = "david"
    from_density: bool = False

    def __str__(self) -> str:
        words = f"mixing_beta {self.mixing_beta:g} {self.mixing_mode}, {self.diagonalization}"
        return f"{words}, {self.max_steps} steps{', from the density so far' if self.from_density else ''}"


def ways(config: EspressoConfig) -> list[Way]:
    """Return the ways to try, in their order: that of the settings, then gentler ones.

    The first repair goes on from the density so far, for a calculation that was merely slow. The others begin
    anew, because a density that has begun to slosh leads nowhere.
    """
    beta, steps = config.mixing_beta, config.max_scf_steps
    most = max(200, 2 * steps)
    repairs = [
        Way(min(beta, 0.4), most, from_density=True),
        Way(min(beta, 0.3), most, mixing_mode="local-TF"),
        Way(min(beta, 0.1), 2 * most, mixing_mode="local-TF", diagonalization="cg"),
    ]
    return [Way(beta, steps), *repairs[: config.max_repairs]]
