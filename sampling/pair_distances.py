"""Shortest allowed distances: one number, or one per pair of elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from pydantic import AfterValidator, PositiveFloat

DEFAULT = "default"


def pair_key(first: str, second: str) -> str:
    """Return the name of a pair of elements, the same for both orders: ``Al-Cu``."""
    return "-".join(sorted((first, second)))


def _checked(setting: float | dict[str, float]) -> float | dict[str, float]:
    if not isinstance(setting, dict):
        return setting
    pairs: dict[str, float] = {}
    for name, distance in setting.items():
        key = name if name == DEFAULT else _key_of(name)
        if key in pairs:
            raise ValueError(f"the pair {key} is given twice")
        pairs[key] = distance
    return pairs


def _key_of(name: str) -> str:
    symbols = name.split("-")
    if len(symbols) != 2 or any(s not in atomic_numbers for s in symbols):
        raise ValueError(f"expected a pair of elements such as Al-Cu, or {DEFAULT}; found {name!r}")
    return pair_key(*symbols)


PairDistance = Annotated[PositiveFloat | dict[str, PositiveFloat], AfterValidator(_checked)]
"""A distance in Å for all pairs of elements, or a mapping such as {Al-Al: 2.0, default: 1.8}."""


def distance_matrix(setting: float | Mapping[str, float], elements: Sequence[str]) -> NDArray[np.float64]:
    """Return the distance for every pair of ``elements``.

    Returns
    -------
    NDArray[np.float64]
        Symmetric, shape (n_elements, n_elements), Å.

    Raises
    ------
    ValueError
        If a pair is not listed and there is no ``default``.
    """
    if not isinstance(setting, Mapping):
        return np.full((len(elements), len(elements)), float(setting))
    rows = [[setting.get(pair_key(a, b), setting.get(DEFAULT, math.nan)) for b in elements] for a in elements]
    matrix = np.array(rows, dtype=np.float64).reshape(len(elements), len(elements))
    missing = [pair_key(elements[i], elements[j]) for i, j in np.argwhere(np.isnan(matrix)) if i <= j]
    if missing:
        raise ValueError(f"no distance for {', '.join(missing)}: list the pair or give a {DEFAULT}")
    return matrix
