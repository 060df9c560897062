"""Means of correlated numbers and how far off they may be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

N_BLOCKS = 8


def block_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean from those of 8 blocks; not-a-number for fewer values.

    Blocks must be longer than the correlation for it to be right (Flyvbjerg & Petersen, J. Chem. Phys. 91,
    461 (1989)).
    """
    if len(values) < N_BLOCKS:
        return math.nan
    means = np.array([block.mean() for block in np.array_split(values, N_BLOCKS)])
    return float(means.std(ddof=1) / math.sqrt(N_BLOCKS))
