"""Elastic constants of cubic and hexagonal crystals, from the stress that any ASE calculator gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_strain
from ase.units import GPa
from numpy.typing import NDArray

from validation.evaluation import NoPropertyError, foreign_code, has_stress, relaxed

STRAIN = 1e-4
"""Small, because trained surfaces are rough: strains of a percent change C12 by a tenth."""

Symmetry = Literal["cubic", "hexagonal"]
Floats = NDArray[np.float64]

_LEVELS = (-1.0, -0.5, 0.5, 1.0)
_MAX_FORCE_EV_PER_ANG = 1e-5
_MAX_SWELLING = 0.05
_XX, _YY, _ZZ, _YZ = range(4)


@dataclass(frozen=True)
class CubicConstants:
    """C11, C12 and C44, GPa; NaN where the calculator fails or gives no stress."""

    c11_gpa: float = math.nan
    c12_gpa: float = math.nan
    c44_gpa: float = math.nan


@dataclass(frozen=True)
class ElasticConstants:
    """Independent elastic constants of a crystal without pressure.

    Attributes
    ----------
    gpa
        C11, C12, C44 and, of hexagonal crystals, C13 and C33, GPa.
    errors_gpa
        Of each: the standard error of the fitted slope, or half of what two equivalent components differ by.
    bulk_modulus_gpa
        From the constants, under a pressure that is the same in all directions (Reuss).
    strain
        Largest strain either way.
    unstable
        Which of Born's conditions of stability are broken; empty for a stable crystal.
    """

    gpa: Mapping[str, float]
    errors_gpa: Mapping[str, float]
    bulk_modulus_gpa: float
    strain: float
    unstable: str


def cubic_constants(calculator: Any, frame: Atoms, strain: float = STRAIN) -> CubicConstants:
    """Return the elastic constants of a cubic crystal as slopes of its stress in strain.

    They are second derivatives of the energy only where the stress is zero: give the crystal at its
    equilibrium. Atoms keep their fractional coordinates, which is right where each is a centre of inversion.

    Parameters
    ----------
    frame
        Any periodic cell of the crystal, its cubic axes along x, y and z.
    strain
        Of the central differences; components ε_xx, and ε_yz = ε_zy.
    """
    try:
        stretch, _ = _slopes(calculator, frame, _XX, (-strain, strain), relax=False)
        shear, _ = _slopes(calculator, frame, _YZ, (-strain, strain), relax=False)
    except NoPropertyError:  # of which a missing stress is one
        return CubicConstants()
    return CubicConstants(float(stretch[_XX]), float(stretch[[_YY, _ZZ]].mean()), float(shear[_YZ]))


def elastic_constants(
    calculator: Any, frame: Atoms, symmetry: Symmetry, strain: float = STRAIN
) -> ElasticConstants:
    """Return the elastic constants by a straight fit of stress against four strains up to ``strain``.

    The cell is first relaxed to no pressure; atoms relax in every strained cell.

    Parameters
    ----------
    frame
        The crystal near its equilibrium; cubic axes, or the hexagonal one, along x, y, z, or z.

    Raises
    ------
    NoPropertyError
        If the calculator gives no stress, or the crystal turns into another one.
    """
    if not has_stress(calculator, frame):
        raise NoPropertyError("the calculator gives no stress")
    rest = relaxed(calculator, frame, max_force_ev_per_ang=_MAX_FORCE_EV_PER_ANG, cell_mask=[True] * 6)
    swelling = rest.get_volume() / frame.get_volume() - 1.0
    if abs(swelling) > _MAX_SWELLING:
        raise NoPropertyError(f"without pressure its volume changes by {100 * swelling:.0f} %")
    strains = tuple(strain * level for level in _LEVELS)
    components = (_XX, _YZ) if symmetry == "cubic" else (_XX, _ZZ, _YZ)
    slopes = {c: _slopes(calculator, rest, c, strains, relax=True) for c in components}
    if symmetry == "cubic":
        gpa, errors = _cubic(slopes)
        return ElasticConstants(
            gpa, errors, (gpa["C11"] + 2.0 * gpa["C12"]) / 3.0, strain, _cubic_instability(gpa)
        )
    gpa, errors = _hexagonal(slopes)
    return ElasticConstants(gpa, errors, _hexagonal_bulk_modulus(gpa), strain, _hexagonal_instability(gpa))


_Slopes = Mapping[int, tuple[Floats, Floats]]


def _cubic(slopes: _Slopes) -> tuple[dict[str, float], dict[str, float]]:
    return _named({"C11": [(_XX, _XX)], "C12": [(_XX, _YY), (_XX, _ZZ)], "C44": [(_YZ, _YZ)]}, slopes)


def _hexagonal(slopes: _Slopes) -> tuple[dict[str, float], dict[str, float]]:
    equivalent = {
        "C11": [(_XX, _XX)],
        "C12": [(_XX, _YY)],
        "C13": [(_XX, _ZZ), (_ZZ, _XX), (_ZZ, _YY)],
        "C33": [(_ZZ, _ZZ)],
        "C44": [(_YZ, _YZ)],
    }
    return _named(equivalent, slopes)


def _named(
    equivalent: Mapping[str, Sequence[tuple[int, int]]], slopes: _Slopes
) -> tuple[dict[str, float], dict[str, float]]:
    values, errors = {}, {}
    for name, pairs in equivalent.items():
        found = np.array([slopes[strain][0][stress] for strain, stress in pairs])
        fit = max(float(slopes[strain][1][stress]) for strain, stress in pairs)
        values[name] = float(found.mean())
        errors[name] = max(fit, 0.5 * float(np.ptp(found)))
    return values, errors


def _hexagonal_bulk_modulus(c: Mapping[str, float]) -> float:
    in_plane = c["C11"] + c["C12"]
    return (c["C33"] * in_plane - 2.0 * c["C13"] ** 2) / (in_plane + 2.0 * c["C33"] - 4.0 * c["C13"])


def _cubic_instability(c: Mapping[str, float]) -> str:
    conditions = {
        "C11 > C12": c["C11"] > c["C12"],
        "C11 + 2 C12 > 0": c["C11"] + 2.0 * c["C12"] > 0.0,
        "C44 > 0": c["C44"] > 0.0,
    }
    return ", ".join(name for name, holds in conditions.items() if not holds)


def _hexagonal_instability(c: Mapping[str, float]) -> str:
    conditions = {
        "C11 > |C12|": c["C11"] > abs(c["C12"]),
        "C33 (C11 + C12) > 2 C13²": c["C33"] * (c["C11"] + c["C12"]) > 2.0 * c["C13"] ** 2,
        "C44 > 0": c["C44"] > 0.0,
    }
    return ", ".join(name for name, holds in conditions.items() if not holds)


def _slopes(
    calculator: Any, frame: Atoms, component: int, strains: Sequence[float], *, relax: bool
) -> tuple[Floats, Floats]:
    """Return ∂σ/∂ε for one Voigt component of the strain and its standard error, each of shape (6,), GPa."""
    stresses = []
    for strain in strains:
        voigt = np.zeros(6)
        voigt[component] = strain
        strained = frame.copy()
        deformation = voigt_6_to_full_3x3_strain(voigt)  # 1 + ε, for all its name
        strained.set_cell(frame.cell.array @ deformation, scale_atoms=True)
        if relax and len(frame) > 1:
            strained = relaxed(calculator, strained, max_force_ev_per_ang=_MAX_FORCE_EV_PER_ANG)
        with foreign_code():
            strained.calc = calculator
            stresses.append(strained.get_stress() / GPa)
    x, y = np.asarray(strains), np.array(stresses)
    if not np.isfinite(y).all():
        raise NoPropertyError("the stress of a strained cell is not finite")
    deviation = x - x.mean()
    slope: Floats = deviation @ y / (deviation @ deviation)
    if len(x) < 3:
        return slope, np.full(6, np.nan)
    rest = y - y.mean(axis=0) - np.outer(deviation, slope)
    error: Floats = np.sqrt((rest**2).sum(axis=0) / (len(x) - 2) / (deviation @ deviation))
    return slope, error
