"""Thermodynamic ensembles with ASE's integrators, in the units of this package.

Constant temperature, with or without constant pressure: `LangevinBAOAB` (Leimkuhler & Matthews, J. Chem.
Phys. 138, 174102 (2013); its isotropic barostat: Quigley & Probert, J. Chem. Phys. 120, 11432 (2004)). Along
one axis only, ASE's one barostat that can is `MelchionnaNPT` (Melchionna, Ciccotti & Holian, Mol. Phys. 78,
533 (1993)); without its thermostat it keeps the enthalpy. ASE's `IsotropicMTKNPT` has no temperature that
can be changed and no single axis.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.melchionna import MelchionnaNPT
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.units import GPa, fs

_AL_STEP_FS, _AL_MASS_U = 2.0, 26.98
_STEP_RANGE_FS = (0.5, 4.0)
_THERMOSTAT_STEPS = 50
_BAROSTAT_STEPS = 500
_PISTON_STEPS = 150


def time_step(element: str) -> float:
    """Return a time step in ASE's units: 2 fs for aluminium, else with the root of the mass."""
    mass = float(atomic_masses[atomic_numbers[element]])
    step_fs = _AL_STEP_FS * math.sqrt(mass / _AL_MASS_U)
    return float(np.clip(step_fs, *_STEP_RANGE_FS) * fs)


def set_velocities(frame: Atoms, temperature_k: float, rng: np.random.Generator) -> None:
    """Draw momenta at a temperature, with none of the whole."""
    thermalize_momenta(frame, temperature_k, rng=rng)
    Stationary(frame)


def pressure_gpa(frame: Atoms) -> float:
    """Return the pressure with its kinetic part, GPa."""
    stress = frame.get_stress(voigt=False, include_ideal_gas=True)
    return float(-np.trace(stress) / 3.0 / GPa)


def constant_volume(
    frame: Atoms, element: str, temperature_k: float, rng: np.random.Generator
) -> LangevinBAOAB:
    """Return dynamics at a temperature in a fixed cell."""
    step = time_step(element)
    return LangevinBAOAB(frame, step, temperature_K=temperature_k, T_tau=_THERMOSTAT_STEPS * step, rng=rng)


def constant_pressure(
    frame: Atoms, element: str, temperature_k: float, pressure: float, rng: np.random.Generator
) -> LangevinBAOAB:
    """Return dynamics at a temperature and a pressure in GPa; the cell keeps its shape."""
    step = time_step(element)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says how heavy it makes the barostat
        return LangevinBAOAB(
            frame,
            step,
            temperature_K=temperature_k,
            externalstress=-pressure * GPa,
            hydrostatic=True,
            T_tau=_THERMOSTAT_STEPS * step,
            P_tau=_BAROSTAT_STEPS * step,
            rng=rng,
        )


def piston_along_z(
    frame: Atoms, element: str, pressure: float, stiffness_gpa: float, temperature_k: float = 0.0
) -> MelchionnaNPT:
    """Return dynamics under a pressure in GPa along z, the other axes fixed.

    Parameters
    ----------
    stiffness_gpa
        About the bulk modulus; with it the cell answers within 150 steps.
    temperature_k
        Of a thermostat; zero: none, and the enthalpy is constant.
    """
    step = time_step(element)
    Stationary(frame)
    return MelchionnaNPT(
        frame,
        step,
        temperature_K=temperature_k,
        externalstress=pressure * GPa,
        ttime=_THERMOSTAT_STEPS * step if temperature_k else None,
        pfactor=(_PISTON_STEPS * step) ** 2 * stiffness_gpa * GPa,
        mask=(0, 0, 1),
    )
