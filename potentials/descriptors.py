"""ANI descriptors: what they are made of, and what every kernel that computes them offers.

The definition is NeuroChem's, which departs from Smith et al. 2017 (eqs. 3 and 4) by three constants.
With the cutoff function f(r) = (1 + cos(πr/R_c))/2 inside R_c and zero outside:

* radial, shell s, one sum per element of the neighbour j:
  ¼ Σ_j exp(−η(r_ij − R_s)²) f(r_ij);
* angular, shell a and angle z, one sum per unordered pair of elements of the neighbours j and k:
  2 Σ_{j<k} ((1 + cos(θ − θ_z))/2)^ζ exp(−η((r_ij + r_ik)/2 − R_a)²) f(r_ij) f(r_ik),
  with θ = arccos(0.95 cos θ_jik).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from potentials.config import AniConfig

RADIAL_FACTOR = 0.25
ANGULAR_FACTOR = 2.0
COSINE_FACTOR = 0.95
OVERLAP = 0.8
"""Standard deviation of shells and angles over their distance, where settings leave it open."""
SHORTEST_ANG = 1e-3
"""Shorter distances count as this one, so that coincident atoms give finite numbers, Å."""


@dataclass(frozen=True)
class DescriptorSpec:
    """The constants of the descriptors.

    Features are ordered: radial ``[neighbour element][shell]``, then angular
    ``[element pair][shell][angle]``, with element pairs as the upper triangle by rows: 00, 01, .., 11, .. .
    """

    n_elements: int
    radial_cutoff_ang: float
    angular_cutoff_ang: float
    radial_shifts_ang: tuple[float, ...]
    radial_eta_per_ang2: float
    angular_shifts_ang: tuple[float, ...]
    angular_eta_per_ang2: float
    angle_shifts_rad: tuple[float, ...]
    zeta: float

    @property
    def n_element_pairs(self) -> int:
        """Number of unordered pairs of elements."""
        return self.n_elements * (self.n_elements + 1) // 2

    @property
    def n_radial_features(self) -> int:
        """Number of radial features; they come first."""
        return self.n_elements * len(self.radial_shifts_ang)

    @property
    def n_angular_features(self) -> int:
        """Number of angular features; they follow the radial ones."""
        return self.n_element_pairs * len(self.angular_shifts_ang) * len(self.angle_shifts_rad)

    @property
    def n_features(self) -> int:
        """Number of features of one atom."""
        return self.n_radial_features + self.n_angular_features

    @classmethod
    def from_config(cls, config: AniConfig, n_elements: int) -> DescriptorSpec:
        """Place the shells and angles evenly, as published for ANI-Al.

        Shells lie at first + k (cutoff − first)/n for k < n; angles at (k + ½)π/n. Where the settings leave
        it open, their standard deviation is `OVERLAP` times their distance: exp(−η x²) has (2η)^(−1/2), and
        ((1 + cos x)/2)^ζ, which is about exp(−ζ x²/4), has (2/ζ)^(1/2).
        """
        radial_step = (config.radial_cutoff_ang - config.first_shell_ang) / config.n_radial
        angular_step = (config.angular_cutoff_ang - config.first_shell_ang) / config.n_angular_radial
        angle_step = math.pi / config.n_angles
        return cls(
            n_elements=n_elements,
            radial_cutoff_ang=config.radial_cutoff_ang,
            angular_cutoff_ang=config.angular_cutoff_ang,
            radial_shifts_ang=tuple(config.first_shell_ang + k * radial_step for k in range(config.n_radial)),
            radial_eta_per_ang2=config.radial_eta_per_ang2 or 0.5 / (OVERLAP * radial_step) ** 2,
            angular_shifts_ang=tuple(
                config.first_shell_ang + k * angular_step for k in range(config.n_angular_radial)
            ),
            angular_eta_per_ang2=config.angular_eta_per_ang2 or 0.5 / (OVERLAP * angular_step) ** 2,
            angle_shifts_rad=tuple((k + 0.5) * angle_step for k in range(config.n_angles)),
            zeta=config.zeta or max(1.0, 2.0 / (OVERLAP * angle_step) ** 2),
        )


@dataclass(frozen=True)
class PairGraph:
    """Who sees whom in a batch; every pair is listed from both ends.

    It may hold pairs beyond the cutoff (a skin): kernels skip them.

    Attributes
    ----------
    species
        Element index of each atom, shape (n_atoms,), int64.
    first_pair
        Pairs of centre i are first_pair[i] to first_pair[i + 1], shape (n_atoms + 1,), int64.
    centre, neighbour
        The two atoms of each pair, shape (n_pairs,), int64; centres ascend.
    vector
        From the centre to the neighbour's image, shape (n_pairs, 3), Å.
    frame_index
        The frame each atom belongs to, shape (n_atoms,), int64.
    n_frames
        Number of frames.
    """

    species: Tensor
    first_pair: Tensor
    centre: Tensor
    neighbour: Tensor
    vector: Tensor
    frame_index: Tensor
    n_frames: int

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all frames together."""
        return int(self.species.shape[0])

    @property
    def n_pairs(self) -> int:
        """Number of pairs, each counted from both ends."""
        return int(self.neighbour.shape[0])


class Descriptors(Protocol):
    """The descriptors of one graph, and products with their Jacobian J = ∂values/∂vector."""

    @property
    def values(self) -> Tensor:
        """Shape (n_atoms, n_features)."""

    def vjp(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ·cotangent: from shape (n_cot, n_atoms, n_features) to (n_cot, n_pairs, 3)."""

    def jvp(self, tangent: Tensor) -> Tensor:
        """Return J·tangent: from shape (n_tan, n_pairs, 3) to (n_tan, n_atoms, n_features)."""


class DescriptorKernel(Protocol):
    """Computes descriptors for one `DescriptorSpec`."""

    @property
    def name(self) -> str:
        """A short name: torch, cpp or triton."""

    def __call__(self, graph: PairGraph) -> Descriptors:
        """Evaluate the descriptors of every atom of ``graph``."""
