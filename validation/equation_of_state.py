"""The equilibrium of a crystal from its energy against volume, on a surface that may be rough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase.eos import EquationOfState
from ase.units import GPa
from numpy.typing import NDArray

_PLACE_WINDOW = np.linspace(0.96, 1.04, 9)
_CURVATURE_WINDOW = np.linspace(0.99, 1.01, 9)
_WIDE_WINDOW = np.linspace(0.88, 1.12, 13)
_MOST_WINDOWS = 12


class NoEquilibriumError(ValueError):
    """The curve has no minimum; the message says what it has."""


@dataclass(frozen=True)
class Equilibrium:
    """Where the energy is least, and how it rises.

    Attributes
    ----------
    volume_ang3
        Volume per atom.
    bulk_modulus_gpa
        Over ±1 % of volume.
    """

    volume_ang3: float
    bulk_modulus_gpa: float


@dataclass(frozen=True)
class WideFit:
    """What a fit far around the equilibrium says; not-a-number where there is none.

    Attributes
    ----------
    bulk_modulus_gpa, slope
        Bulk modulus at zero pressure and its derivative by pressure, dB/dp.
    left_ev
        Root mean square of what the fit leaves, eV/atom.
    """

    bulk_modulus_gpa: float = math.nan
    slope: float = math.nan
    left_ev: float = math.nan


def deepest_minimum(volumes: NDArray[np.float64], energies: Sequence[float]) -> tuple[float, str]:
    """Return the volume of the deepest local minimum of a scan, and what is odd about it.

    Raises
    ------
    NoEquilibriumError
        If there is none, or hardly an energy is finite.
    """
    e = np.asarray(energies)
    finite = np.isfinite(e)
    if finite.sum() < 5:
        raise NoEquilibriumError("no finite energies")
    v, e = volumes[finite], e[finite]
    inside = [i for i in range(1, len(e) - 1) if e[i] <= e[i - 1] and e[i] < e[i + 1]]
    if not inside:
        way = "compressed" if e[0] < e[-1] else "expanded"
        raise NoEquilibriumError(f"no minimum from {v[0]:.1f} to {v[-1]:.1f} Å³: falls when {way}")
    best = min(inside, key=lambda i: float(e[i]))
    if e[: best + 1].min() < e[best]:
        return float(v[best]), f"falls below the minimum when compressed to {v[int(np.argmin(e))]:.1f} Å³"
    if e[best:].min() < e[best]:
        return float(v[best]), f"falls below the minimum when expanded to {v[int(np.argmin(e))]:.1f} Å³"
    return float(v[best]), ""


def fit_equilibrium(energy: Callable[[float], float], centre_ang3: float) -> Equilibrium:
    """Return the equilibrium near a volume per atom.

    A fit over ±4 % of volume finds the place on a surface that may be rough, one over ±1 % the curvature.

    Parameters
    ----------
    energy
        From volume per atom, Å³, to energy per atom, eV.

    Raises
    ------
    NoEquilibriumError
        If there is no smooth minimum near.
    """
    place = _fit_in_window(energy, centre_ang3, _PLACE_WINDOW)
    return _fit_in_window(energy, place.volume_ang3, _CURVATURE_WINDOW)


def wide_fit(energy: Callable[[float], float], volume_ang3: float) -> WideFit:
    """Return a Birch-Murnaghan fit over ±12 % of a crystal's volume; NaN where that fails."""
    volumes = volume_ang3 * _WIDE_WINDOW
    energies = np.array([energy(float(v)) for v in volumes])
    fit = EquationOfState(volumes, energies, eos="birchmurnaghan")
    try:
        fit.fit(warn=False)
    except (ValueError, RuntimeError):  # not finite, or no fit found
        return WideFit()
    left = energies - fit.func(volumes, *fit.eos_parameters)
    _, modulus, slope, _ = fit.eos_parameters
    return WideFit(float(modulus) / GPa, float(slope), float(np.sqrt(np.mean(left**2))))


def _fit_in_window(
    energy: Callable[[float], float], centre_ang3: float, window: NDArray[np.float64]
) -> Equilibrium:
    """Fit at the minimum, moving the window until that lies inside.

    Birch-Murnaghan to third order: the energy is a cubic in x = V^(-2/3); at its minimum
    B = (4/9) V^(-7/3) d²E/dx².
    """
    for _ in range(_MOST_WINDOWS):
        volumes = centre_ang3 * window
        energies = np.array([energy(float(v)) for v in volumes])
        if not np.isfinite(energies).all():
            raise NoEquilibriumError(f"no finite energies near {centre_ang3:.1f} Å³")
        scale = centre_ang3 ** (-2.0 / 3.0)
        cubic = np.polynomial.Polynomial.fit(volumes ** (-2.0 / 3.0) / scale, energies, 3).convert()
        x = _minimum_near_one(cubic)
        volume = float((x * scale) ** -1.5) if x is not None else np.nan
        if x is not None and volumes[1] <= volume <= volumes[-2]:
            curvature = float(cubic.deriv(2)(x)) / scale**2
            return Equilibrium(volume, 4.0 / 9.0 * volume ** (-7.0 / 3.0) * curvature / GPa)
        centre_ang3 = float(volumes[int(np.argmin(energies))])
    raise NoEquilibriumError(f"no smooth minimum near {centre_ang3:.1f} Å³")


def _minimum_near_one(cubic: np.polynomial.Polynomial) -> float | None:
    roots = np.asarray(cubic.deriv().roots(), dtype=np.complex128)
    minima = [
        float(root.real)
        for root in roots
        if abs(root.imag) < 1e-12 and cubic.deriv(2)(root.real) > 0 and 0.5 < root.real < 2.0
    ]
    return min(minima, key=lambda x: abs(x - 1.0), default=None)
