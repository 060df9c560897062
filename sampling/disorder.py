"""Disordered starting cells: atoms at random places that keep a distance, as in the ANI-Al paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from sampling.builder import BuildError
from sampling.config import DisorderConfig
from sampling.packing import U_PER_ANG3_IN_G_PER_CM3, fractions_of, volume_per_atom
from sampling.pair_distances import distance_matrix
from sampling.placement import place_by_relaxation, place_in_turn
from sampling.seeds import describe_seed

_MAX_DRAWS = 1000


class DisorderBuilder:
    """Random orthorhombic cells of random density.

    Every side and the density are uniform within their ranges; the number of atoms follows. Atoms are placed
    one after the other, each at a uniformly random place that keeps the distance to all before it. Where
    that fails (dense cells), all atoms start at random places and a short-ranged repulsion pushes them apart
    until no distance is too short.
    """

    def __init__(self, config: DisorderConfig, elements: Sequence[str]) -> None:
        unknown = sorted(set(config.composition) - set(elements)) if config.composition != "random" else []
        if unknown:
            raise ValueError(
                f"composition names {', '.join(unknown)}; the elements are {', '.join(elements)}"
            )
        config.check_elements(elements)
        self._config = config
        self._elements = tuple(elements)
        self._distances = distance_matrix(config.min_distance_ang, elements)

    def build(self, seed: np.random.SeedSequence) -> Atoms:
        """Return a new cell, fully determined by ``seed``.

        ``info`` holds ``seed``, ``density_g_per_cm3``, ``attempts`` (random places tried) and ``placement``
        (``sequential`` or ``relaxed``).

        Raises
        ------
        BuildError
            If no size within the settings has an allowed number of atoms, or no arrangement was found.
        """
        rng = np.random.default_rng(seed)
        sides, fractions, n_atoms = self._draw_size(rng)
        species = rng.permutation(_apportion(fractions, n_atoms))
        positions, record = self._place(sides, species, rng)
        atoms = Atoms(
            [self._elements[k] for k in species], positions=positions, cell=np.diag(sides), pbc=True
        )
        density = atoms.get_masses().sum() * U_PER_ANG3_IN_G_PER_CM3 / float(np.prod(sides))
        atoms.info.update(seed=describe_seed(seed), density_g_per_cm3=float(density), **record)
        return atoms

    def _draw_size(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        most = self._config.max_atoms
        for _ in range(_MAX_DRAWS):
            sides = rng.uniform(*self._config.side_ang, size=3)
            fractions = self._draw_fractions(rng)
            volume = volume_per_atom(
                self._config.density_g_per_cm3, self._elements, fractions, where=float(rng.uniform())
            )
            n_atoms = round(float(np.prod(sides)) / volume)
            if n_atoms >= self._config.min_atoms and (most is None or n_atoms <= most):
                return sides, fractions, n_atoms
        limits = f"{self._config.min_atoms} to {most if most is not None else 'any number of'} atoms"
        raise BuildError(f"{_MAX_DRAWS} draws of side_ang and density_g_per_cm3 gave no cell of {limits}")

    def _draw_fractions(self, rng: np.random.Generator) -> NDArray[np.float64]:
        if isinstance(self._config.composition, dict):
            return fractions_of(self._config.composition, self._elements)
        return rng.dirichlet(np.ones(len(self._elements)))

    def _place(
        self, sides: NDArray[np.float64], species: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        distances = self._distances[np.ix_(species, species)]
        positions, attempts = place_in_turn(sides, distances, rng, self._config.max_attempts_per_atom)
        if positions is not None:
            return positions, {"attempts": attempts, "placement": "sequential"}
        positions = place_by_relaxation(sides, distances, rng)
        if positions is not None:
            return positions, {"attempts": attempts, "placement": "relaxed"}
        side = " × ".join(f"{length:.2f}" for length in sides)
        raise BuildError(
            f"{len(species)} atoms in {side} Å could not be kept min_distance_ang apart: "
            "lower it or density_g_per_cm3"
        )


def _apportion(fractions: NDArray[np.float64], n_atoms: int) -> NDArray[np.int64]:
    """Return an element index per atom; numbers are the fractions rounded by largest remainder."""
    exact = fractions * n_atoms
    counts = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: n_atoms - counts.sum()]] += 1
    return np.repeat(np.arange(len(fractions)), counts)
