"""Builders whose cells are known in advance."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk

from sampling.builder import BuildError


@dataclass(frozen=True)
class ToyCrystals:
    """Small aluminium crystals, each rattled by its own seed."""

    rattle_ang: float = 0.05
    size: int = 2

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        crystal = bulk("Al", a=4.2, cubic=True) * (self.size, self.size, self.size)
        rng = np.random.default_rng(seed)
        crystal.positions += rng.normal(scale=self.rattle_ang, size=crystal.positions.shape)
        return crystal


@dataclass(frozen=True)
class ToyPair:
    """Two atoms, near each other only through the periodic boundary."""

    apart_ang: float

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        positions = [[0.0, 6.0, 6.0], [12.0 - self.apart_ang, 6.0, 6.0]]
        return Atoms("Al2", positions=positions, cell=[12.0] * 3, pbc=True)


@dataclass
class FailingBuilder:
    """Fails a number of times between two cells."""

    failures_between: int
    calls: int = 0

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        self.calls += 1
        if self.calls % (self.failures_between + 1):
            raise BuildError("meant to fail")
        return ToyCrystals().build(seed)
