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
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.units import GPa, fs

_AL_STEP_FS, _AL_MASS_U = 2.0, 26.98
_STEP_RANGE_FS = (0.5, 4.0)
_THERMOSTAT_STEPS = 50
_BAROSTAT_STEPS = 500
_HEAVIER = 16.0  # than ASE's barostat, for periods of some 500 steps: slower than sound
_PRESS_STEPS = 15
_PISTON_STEPS = 100


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
            P_mass_factor=_HEAVIER,
            rng=rng,
        )


def pressed_along_z(
    frame: Atoms, element: str, temperature_k: float, pressure: float, stiffness_gpa: float
) -> Inhomogeneous_NPTBerendsen:
    """Return dynamics that bring a frame to a temperature and along z to a pressure, GPa, without swinging.

    They sample no ensemble (Berendsen et al., J. Chem. Phys. 81, 3684 (1984)): they are for the beginning.

    Parameters
    ----------
    stiffness_gpa
        About the bulk modulus; with it the pressure is right after some 100 steps.
    """
    step = time_step(element)
    return Inhomogeneous_NPTBerendsen(
        frame,
        step,
        temperature_K=temperature_k,
        pressure_au=pressure * GPa,
        taut=_THERMOSTAT_STEPS * step,
        taup=_PRESS_STEPS * step,
        compressibility_au=1.0 / (stiffness_gpa * GPa),
        mask=(0, 0, 1),
    )


def piston_along_z(frame: Atoms, element: str, pressure: float, stiffness_gpa: float) -> MelchionnaNPT:
    """Return dynamics of constant enthalpy under a pressure in GPa along z, the other axes fixed.

    Parameters
    ----------
    stiffness_gpa
        About the bulk modulus; with it the cell swings within some 600 steps, longer than sound needs
        through it.
    """
    step = time_step(element)
    Stationary(frame)
    return MelchionnaNPT(
        frame,
        step,
        temperature_K=0.0,  # asked for, not used: there is no thermostat
        externalstress=pressure * GPa,
        pfactor=(_PISTON_STEPS * step) ** 2 * stiffness_gpa * GPa,
        mask=(0, 0, 1),
    )
