"""What every builder offers: a starting cell from a seed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from ase import Atoms


class Builder(Protocol):
    """Makes starting cells. The same seed gives the same cell."""

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        """Return a new cell; its ``info`` holds what was drawn.

        Raises
        ------
        BuildError
            If no cell within the settings could be made in the stated number of attempts.
        """


class BuildError(ValueError):
    """No cell could be made; the message says which setting stands in the way."""
