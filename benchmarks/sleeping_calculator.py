"""Labels of the embedded-atom functions that take as long as the frame's hash says, asleep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b

from ase import Atoms
from ase.calculators.calculator import all_changes

from qm.eam import ZhouEam


class Sleeping(ZhouEam):
    """Sleeps before each label; the times are spread evenly in their logarithm."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        super().__init__()
        self._shortest_s, self._longest_s = shortest_s, longest_s

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        digest = blake2b(self.atoms.positions.tobytes(), digest_size=8).digest()
        share = int.from_bytes(digest) / 2**64
        time.sleep(self._shortest_s * (self._longest_s / self._shortest_s) ** share)
