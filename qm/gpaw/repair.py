"""Ways to self-consistency, each gentler than the one before; none changes the level of theory."""

from __future__ import annotations

from dataclasses import dataclass

from qm.gpaw.config import GpawConfig


@dataclass(frozen=True)
class Way:
    """How GPAW looks for self-consistency, always from the atoms' densities.

    Attributes
    ----------
    beta
        Share of the new density in each step.
    max_steps
        Steps after which it gives up.
    history
        Earlier densities that the mixing learns from.
    damping
        How much more short waves of the density are mixed than long ones.
    bands
        Bands there are, in percent of those that are occupied: empty ones make the occupied ones settle.
    davidson_steps
        Steps towards the wavefunctions in each step of the density.
    """

    beta: float
    max_steps: int
    history: int = 5
    damping: float = 50.0
    bands: int | None = None
    davidson_steps: int = 2

    def __str__(self) -> str:
        words = f"mixing_beta {self.beta:g}, history {self.history}, damping {self.damping:g}"
        bands = "" if self.bands is None else f", bands {self.bands} %"
        return f"{words}{bands}, {self.max_steps} steps"


def ways(config: GpawConfig) -> list[Way]:
    """Return the ways to try, in their order: that of the settings, then gentler ones."""
    beta, steps = config.mixing_beta, config.max_scf_steps
    most = max(300, 2 * steps)
    repairs = [
        Way(beta, most, davidson_steps=3),
        Way(min(beta, 0.03), most, damping=100.0, bands=150, davidson_steps=3),
        Way(min(beta, 0.01), 2 * most, history=8, damping=100.0, bands=200, davidson_steps=4),
    ]
    return [Way(beta, steps), *repairs[: config.max_repairs]]
