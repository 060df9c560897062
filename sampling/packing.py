"""How densely atoms that keep a distance can be packed, and whether settings ask for more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from sampling.pair_distances import distance_matrix

RANDOM_CLOSE_PACKING = 0.64
"""Packing fraction of equal spheres thrown together at random (Scott & Kilgour 1969: 0.637)."""

U_PER_ANG3_IN_G_PER_CM3 = float(1e24 / (units.kg / 1e3))
"""The density of one atomic mass unit per Å³, g/cm³."""


class PackingSettings(Protocol):
    """The settings that decide how dense cells become."""

    @property
    def side_ang(self) -> tuple[float, float]:
        """Range of sides, Å."""

    @property
    def density_g_per_cm3(self) -> tuple[float, float] | dict[str, tuple[float, float]]:
        """Range of densities, g/cm³."""

    @property
    def min_distance_ang(self) -> float | dict[str, float]:
        """Shortest distances, Å."""

    @property
    def composition(self) -> Mapping[str, float] | str:
        """Fractions of the elements, or random."""


def masses_u(elements: Sequence[str]) -> NDArray[np.float64]:
    """Return the standard atomic masses, u."""
    return np.array([atomic_masses[atomic_numbers[symbol]] for symbol in elements], dtype=np.float64)


def fractions_of(composition: Mapping[str, float], elements: Sequence[str]) -> NDArray[np.float64]:
    """Return normalised fractions in the order of ``elements``; unlisted elements are absent."""
    weights = np.array([composition.get(symbol, 0.0) for symbol in elements], dtype=np.float64)
    return np.asarray(weights / weights.sum())


def volume_per_atom(
    density_g_per_cm3: tuple[float, float] | Mapping[str, tuple[float, float]],
    elements: Sequence[str],
    fractions: NDArray[np.float64],
    where: float,
) -> float:
    """Return the mean volume of an atom, Å³, at the place ``where`` (0 to 1) in the range of densities.

    One range is the density of the mixture. A range per element gives each element a volume, and the
    volumes add up (Vegard's law for volumes), so that mixtures of light and heavy elements are all
    neither crushed nor empty.
    """
    masses = masses_u(elements)
    if not isinstance(density_g_per_cm3, Mapping):
        low, high = density_g_per_cm3
        return float(fractions @ masses) * U_PER_ANG3_IN_G_PER_CM3 / (low + where * (high - low))
    missing = [s for s, x in zip(elements, fractions, strict=True) if x > 0 and s not in density_g_per_cm3]
    if missing:
        raise ValueError(f"density_g_per_cm3 has no range for {', '.join(missing)}")
    volumes = [
        m * U_PER_ANG3_IN_G_PER_CM3 / _at(density_g_per_cm3[s], where) if x > 0 else 0.0
        for s, m, x in zip(elements, masses, fractions, strict=True)
    ]
    return float(fractions @ np.array(volumes))


def _at(limits: tuple[float, float], where: float) -> float:
    return limits[0] + where * (limits[1] - limits[0])


def packing_fraction(fractions: NDArray[np.float64], distances: NDArray[np.float64], volume: float) -> float:
    """Return the part of space filled by spheres as wide as the shortest distances.

    In mixtures the sphere's cubed diameter is the mean over pairs, sum of x_i x_j d_ij³.
    """
    return math.pi / 6 * float(fractions @ distances**3 @ fractions) / volume


def check_packing(settings: PackingSettings, elements: Sequence[str]) -> None:
    """Refuse settings that ask for more than can be packed.

    Raises
    ------
    ValueError
        If the densest cells would exceed random close packing, or an atom would be too close to its own
        image, or an element has no density or distance.
    """
    if _lowest_density(settings) <= 0:
        raise ValueError("density_g_per_cm3 must be above 0")
    distances = distance_matrix(settings.min_distance_ang, elements)
    if settings.side_ang[0] < distances.max():
        raise ValueError(
            f"side_ang begins at {settings.side_ang[0]:g} Å, less than min_distance_ang "
            f"({distances.max():g} Å): an atom would be too close to its own image"
        )
    for fractions in extreme_compositions(settings, elements):
        volume = volume_per_atom(settings.density_g_per_cm3, elements, fractions, where=1.0)
        fraction = packing_fraction(fractions, distances, volume)
        if fraction > RANDOM_CLOSE_PACKING:
            raise ValueError(_too_dense(elements, fractions, distances, volume, fraction))


def _lowest_density(settings: PackingSettings) -> float:
    density = settings.density_g_per_cm3
    ranges = density.values() if isinstance(density, Mapping) else [density]
    return min(low for low, _ in ranges)


def extreme_compositions(settings: PackingSettings, elements: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return the compositions between which all cells lie: the given one, or each element alone."""
    if isinstance(settings.composition, Mapping):
        return [fractions_of(settings.composition, elements)]
    return list(np.eye(len(elements)))


def _too_dense(
    elements: Sequence[str],
    fractions: NDArray[np.float64],
    distances: NDArray[np.float64],
    volume: float,
    fraction: float,
) -> str:
    names = "-".join(s for s, x in zip(elements, fractions, strict=True) if x > 0)
    density = float(fractions @ masses_u(elements)) * U_PER_ANG3_IN_G_PER_CM3 / volume
    present = distances[np.ix_(fractions > 0, fractions > 0)]
    return (
        f"{names} at {density:.3g} g/cm³ with atoms {present.max():g} Å apart fills {fraction:.0%} of space; "
        f"random packing reaches {RANDOM_CLOSE_PACKING:.0%}: lower density_g_per_cm3 or min_distance_ang"
    )
