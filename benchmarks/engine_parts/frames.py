"""Frames of aluminium to measure on."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from sampling.config import DisorderConfig
from sampling.disorder import DisorderBuilder

LATTICE_ANG = 4.05
FCC_REPEATS = {32: (2, 2, 2), 108: (3, 3, 3), 500: (5, 5, 5), 1000: (5, 5, 10), 4000: (10, 10, 10)}
BATCH_ATOMS = (55, 249)


def crystal(n_atoms: int, seed: int = 3) -> Atoms:
    """FCC of about ``n_atoms`` atoms in a cell near to a cube, rattled by 0.1 Å along each axis."""
    side = max(1, round((n_atoms / 4) ** (1 / 3)))
    repeats = FCC_REPEATS.get(n_atoms, (side, side, max(1, round(n_atoms / (4 * side * side)))))
    frame = bulk("Al", a=LATTICE_ANG, cubic=True).repeat(repeats)
    frame.rattle(0.1, seed=seed)
    return frame


def disordered(n_frames: int, density_g_per_cm3: float = 2.7, seed: int = 0) -> list[Atoms]:
    """Random cells as a campaign begins with, of 55 to 249 atoms but of one density."""
    low, high = BATCH_ATOMS
    config = DisorderConfig(
        density_g_per_cm3=(density_g_per_cm3, density_g_per_cm3), min_atoms=low, max_atoms=high
    )
    builder = DisorderBuilder(config, ["Al"])
    return [builder.build(child) for child in np.random.SeedSequence(seed).spawn(n_frames)]


def large_disordered(n_atoms: int, density_g_per_cm3: float = 2.7, seed: int = 0) -> Atoms:
    """One random cell of about ``n_atoms`` atoms."""
    side = (n_atoms * 26.981539 / 0.602214 / density_g_per_cm3) ** (1 / 3)
    config = DisorderConfig(side_ang=(side, side), density_g_per_cm3=(density_g_per_cm3, density_g_per_cm3))
    return DisorderBuilder(config, ["Al"]).build(np.random.SeedSequence(seed))
