"""Energy, forces and stress of the embedded-atom functions of Zhou, Johnson & Wadley (2004).

E = sum_i F(rho_i) + sum_pairs phi(r), where rho_i is the sum of the neighbours' densities f(r); the functions
are those of Phys. Rev. B 69, 144113 (2004). Two departures. The paper's functions have no end: here each
metal's f is brought to zero between 2.1 r_e and sqrt(5) r_e (where the authors' tables end) by a polynomial
with two continuous derivatives. And the pair function is written as phi = f q with q = phi / f of the endless
functions, which turns Johnson's mixing rule into phi_ab = (f_b q_a + f_a q_b) / 2, without the quotient 0 / 0
beyond the end, and ends every pair function where the densities end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from vesin import NeighborList

from qm.eam_parameters import ZhouParameters

SWITCH_START = 2.1
SWITCH_END = float(np.sqrt(5.0))
"""Where the densities begin to leave the paper's functions and where they end, in units of r_e."""

OUTER_START = 1.15
"""Where the outermost part of the embedding function begins, in units of rho_e."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EamResult:
    """What the functions give for one frame.

    Attributes
    ----------
    energies_ev
        Energy of each atom, half of every pair term to each of its atoms, shape (n_atoms,).
    forces_ev_per_ang
        Shape (n_atoms, 3).
    virial_ev
        Derivative of the energy with respect to a homogeneous strain, shape (3, 3), symmetric; divided by the
        volume it is the stress, positive under tension.
    """

    energies_ev: Array
    forces_ev_per_ang: Array
    virial_ev: Array

    @property
    def energy_ev(self) -> float:
        """Energy of the frame."""
        return float(self.energies_ev.sum())


def evaluate(frame: Atoms, metals: Mapping[str, ZhouParameters]) -> EamResult:
    """Return energy, forces and virial of a frame with any cell and any periodic directions.

    ``metals`` holds the coefficients by chemical symbol.

    Raises
    ------
    ValueError
        If an element has no functions or two atoms coincide.
    """
    present, species = _species(frame, metals)
    first, second, vector, distance = _pairs(frame, SWITCH_END * max(p.re for p in present))
    ends = species[np.stack([first, second])]
    density, density_slope, ratio, ratio_slope = _pair_functions(present, ends, distance)

    n_atoms = len(frame)
    rho = _per_atom(first, density[1], n_atoms) + _per_atom(second, density[0], n_atoms)
    table = np.array([astuple(metal) for metal in present], dtype=np.float64)
    embedding, embedding_slope = _embedding(table[species].T, rho)
    pair = 0.5 * (density[1] * ratio[0] + density[0] * ratio[1])
    slope = 0.5 * (
        density_slope[1] * ratio[0]
        + density[1] * ratio_slope[0]
        + density_slope[0] * ratio[1]
        + density[0] * ratio_slope[1]
    )
    slope += embedding_slope[first] * density_slope[1] + embedding_slope[second] * density_slope[0]

    pull = (slope / distance)[:, None] * vector
    half_pair = 0.5 * (_per_atom(first, pair, n_atoms) + _per_atom(second, pair, n_atoms))
    return EamResult(
        energies_ev=embedding + half_pair,
        forces_ev_per_ang=_vectors_per_atom(first, pull, n_atoms) - _vectors_per_atom(second, pull, n_atoms),
        virial_ev=_symmetric(vector.T @ pull),
    )


def _species(
    frame: Atoms, metals: Mapping[str, ZhouParameters]
) -> tuple[list[ZhouParameters], NDArray[np.intp]]:
    """Return the metals present, and for each atom its place among them."""
    numbers, species = np.unique(frame.numbers, return_inverse=True)
    symbols = [chemical_symbols[number] for number in numbers]
    unknown = [symbol for symbol in symbols if symbol not in metals]
    if unknown or not symbols:
        found = ", ".join(unknown) or "no atoms"
        raise ValueError(f"frame contains {found}; the functions are known for {', '.join(metals)}")
    return [metals[symbol] for symbol in symbols], species


def _pairs(frame: Atoms, cutoff_ang: float) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """Return every pair once: its atoms, the vector from the first to the second, and its length."""
    neighbours = NeighborList(cutoff=cutoff_ang, full_list=False, n_threads=1)
    first, second, vector, distance = neighbours.compute(
        frame.positions, frame.cell.array, np.asarray(frame.pbc), "ijDd"
    )
    if distance.size and distance.min() < 1e-6:
        pair = int(distance.argmin())
        raise ValueError(f"atoms {first[pair]} and {second[pair]} are at the same place")
    return first.astype(np.intp), second.astype(np.intp), vector, distance


def _pair_functions(
    metals: list[ZhouParameters], ends: NDArray[np.intp], distance: Array
) -> tuple[Array, Array, Array, Array]:
    """Return f, df/dr, q and dq/dr for the metal at either end of each pair, each of shape (2, n_pairs)."""
    if len(metals) == 1:
        one = _metal_functions(metals[0], distance)
        density, density_slope, ratio, ratio_slope = (np.broadcast_to(row, ends.shape) for row in one)
        return density, density_slope, ratio, ratio_slope
    every = np.array([_metal_functions(metal, distance) for metal in metals])
    chosen = every[ends, :, np.arange(distance.size)]
    density, density_slope, ratio, ratio_slope = np.moveaxis(chosen, -1, 0)
    return density, density_slope, ratio, ratio_slope


def _metal_functions(p: ZhouParameters, distance: Array) -> tuple[Array, Array, Array, Array]:
    """Return the density f, its slope, q = phi / f and its slope for one metal; slopes per Å."""
    x = distance / p.re
    power_lambda, log_slope_lambda = _damping(x - p.lamda)
    power_kappa, log_slope_kappa = _damping(x - p.kappa)
    switch, switch_slope = _switch(x)
    endless = p.fe * np.exp(-p.beta * (x - 1.0)) / power_lambda
    repulsion = p.a / p.fe * np.exp((p.beta - p.alpha) * (x - 1.0)) * power_lambda / power_kappa

    density_slope = endless * (switch_slope - switch * (p.beta + log_slope_lambda))
    ratio_slope = repulsion * (p.beta - p.alpha + log_slope_lambda - log_slope_kappa)
    return endless * switch, density_slope / p.re, repulsion - p.b / p.fe, ratio_slope / p.re


def _damping(y: Array) -> tuple[Array, Array]:
    """Return 1 + y^20 and the slope of its logarithm."""
    square = y * y
    fourth = square * square
    sixteenth = (fourth * fourth) ** 2
    value = 1.0 + sixteenth * fourth
    return value, 20.0 * sixteenth * square * y / value


def _switch(x: Array) -> tuple[Array, Array]:
    """Return a step from one to zero, and its slope: 1 - 10 t^3 + 15 t^4 - 6 t^5 across the end of f."""
    width = SWITCH_END - SWITCH_START
    t = np.clip((x - SWITCH_START) / width, 0.0, 1.0)
    value = 1.0 - t**3 * (10.0 + t * (6.0 * t - 15.0))
    return value, -30.0 * (t * (1.0 - t)) ** 2 / width


def _embedding(columns: Array, rho: Array) -> tuple[Array, Array]:
    """Return F(rho) and dF/drho per atom; ``columns`` holds each atom's coefficients."""
    rhoe, rhos, n, fn0, fn1, fn2, fn3, f0, f2, f3, eta, fo = columns[8:]
    rhon = n * rhoe
    u = rho / rhon - 1.0
    v = rho / rhoe - 1.0
    w = np.maximum(rho, rhon) / rhos
    power = w**eta
    parts = [rho < rhon, rho < OUTER_START * rhoe]
    value = np.select(
        parts,
        [fn0 + u * (fn1 + u * (fn2 + u * fn3)), f0 + v * v * (f2 + v * f3)],
        fo * (1.0 - eta * np.log(w)) * power,
    )
    slope = np.select(
        parts,
        [(fn1 + u * (2.0 * fn2 + u * 3.0 * fn3)) / rhon, v * (2.0 * f2 + v * 3.0 * f3) / rhoe],
        -fo * eta**2 * np.log(w) * power / (w * rhos),
    )
    return value, slope


def _per_atom(index: NDArray[np.intp], values: Array, n_atoms: int) -> Array:
    return np.bincount(index, values, n_atoms).astype(np.float64, copy=False)


def _vectors_per_atom(index: NDArray[np.intp], vectors: Array, n_atoms: int) -> Array:
    return np.stack([_per_atom(index, column, n_atoms) for column in vectors.T], axis=1)


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)
