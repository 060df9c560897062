"""Ways to self-consistency, each gentler than the one before; none changes the level of theory."""

from __future__ import annotations

from dataclasses import dataclass

from qm.vasp.config import Algorithm, VaspConfig


@dataclass(frozen=True)
class Way:
    """How VASP looks for self-consistency.

    Attributes
    ----------
    algorithm
        ALGO: ``All`` relaxes all bands together, with no density to be mixed.
    max_steps
        NELM, steps after which it gives up, and goes on with what it has.
    mixing
        AMIX and BMIX: share of the new density, and the wave number below which it is damped; VASP's own
        choice where ``None``.
    from_before
        Whether to start from the density and wavefunctions that the way before has left, if it has left any.
    """

    algorithm: Algorithm
    max_steps: int
    mixing: tuple[float, float] | None = None
    from_before: bool = False

    def __str__(self) -> str:
        mixing = "" if self.mixing is None else f", AMIX {self.mixing[0]:g} BMIX {self.mixing[1]:g}"
        before = ", from the density so far" if self.from_before else ""
        return f"ALGO {self.algorithm}{mixing}, {self.max_steps} steps{before}"


def ways(config: VaspConfig) -> list[Way]:
    """Return the ways to try, in their order: that of the settings, then gentler ones.

    The first repair goes on from the density so far, for a calculation that was merely slow. The others begin
    anew, because a density that has begun to slosh leads nowhere.
    """
    steps = config.max_scf_steps
    most = max(200, 2 * steps)
    repairs = [
        Way("Normal", most, (0.2, 1.0), from_before=True),
        Way("Normal", most, (0.1, 0.01)),
        Way("All", 2 * most),
    ]
    return [Way(config.algorithm, steps), *repairs[: config.max_repairs]]
