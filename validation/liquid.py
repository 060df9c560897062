"""The liquid at a temperature and a pressure: density and radial distribution, with their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.units import kg
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from scipy.spatial import KDTree

from validation.averages import block_error
from validation.conditions import LiquidRuns, StatePoint
from validation.ensembles import constant_pressure, constant_volume, pressure_gpa, set_velocities
from validation.evaluation import NoPropertyError
from validation.phases import phases, quenched
from validation.stiffness import Solid
from validation.subject import Subject
from validation.trajectory import Course, Floats, follow

_EVERY = 20
_BIN_ANG = 0.05
_FARTHEST_ANG = 10.0
_EXPANSION = 1.12  # of the volume, when a metal melts and is heated on
_MELT_AT = 2.5  # times the guessed melting temperature
_FROZEN = 0.5
_SMOOTH_BINS = 9
_GRAM_PER_CM3 = kg / 1e3 / 1e24  # of u/Å³


@dataclass(frozen=True)
class Liquid:
    """Averages of the liquid at one state point.

    Attributes
    ----------
    temperature_k, pressure_gpa
        Their means; they should be those that were asked for.
    density_g_per_cm3, density_error_g_per_cm3
        Mean and its standard error, from blocks.
    radii_ang, rdf, rdf_errors
        Radial distribution function g(r) at the middles of shells, shape (n_shells,), with standard errors.
    peak_ang, peak_height
        Its first peak, by a parabola.
    coordination
        Atoms nearer than its first minimum.
    crystal
        Fraction of the last frame that has frozen.
    """

    temperature_k: float
    pressure_gpa: float
    density_g_per_cm3: float
    density_error_g_per_cm3: float
    radii_ang: Floats
    rdf: Floats
    rdf_errors: Floats
    peak_ang: float
    peak_height: float
    coordination: float
    crystal: float

    @property
    def frozen(self) -> bool:
        """Whether it is no liquid any more."""
        return self.crystal > _FROZEN


def state_points(runs: LiquidRuns, crystal: Solid) -> tuple[StatePoint, ...]:
    """Return the state points that are asked for, else four above the guessed melting temperature."""
    if runs.points:
        return runs.points
    return tuple(StatePoint(round(factor * crystal.melting_guess_k, -1)) for factor in (1.15, 1.25, 1.4, 1.6))


def melted(subject: Subject, crystal: Solid) -> Atoms:
    """Return a hot liquid in a cubic cell, with momenta.

    Raises
    ------
    NoPropertyError
        If the crystal does not melt, the calculator fails or the potential explodes.
    """
    runs, element = subject.conditions.liquid, subject.element
    hot_k = _MELT_AT * crystal.melting_guess_k

    def start() -> Atoms:
        cube = crystal.block()
        a = (crystal.lattice.volume_ang3 * len(cube) * _EXPANSION) ** (1.0 / 3.0)
        cube.set_cell([a, a, a], scale_atoms=True)  # an orthorhombic crystal is strained: it melts anyway
        frame = cube.repeat(runs.n_repeat)
        set_velocities(frame, hot_k, np.random.default_rng(1))
        return frame

    course = Course(
        f"liquid melted at {hot_k:.0f} K, {runs.n_repeat} cubes, {runs.n_melt} steps",
        runs.n_melt,
        _EVERY,
        lambda frame, rng: constant_volume(frame, element, hot_k, rng),
        lambda frame, _: (frame.get_temperature(),),
        hot_k,
    )
    frame, _ = follow(course, start, subject.calculator, subject.notebook, seed=1)
    left = _crystal_fraction(frame, subject)
    if left > _FROZEN:
        raise NoPropertyError(
            f"{100 * left:.0f} % is still crystal after {runs.n_melt} steps at {hot_k:.0f} K"
        )
    return frame


def liquid(subject: Subject, start: Atoms, point: StatePoint) -> Liquid:
    """Return averages over a run at constant temperature and pressure from a hot liquid.

    Raises
    ------
    NoPropertyError
        If the calculator fails or gives no stress, or the potential explodes.
    """
    runs, element = subject.conditions.liquid, subject.element
    length = start.cell.lengths()[0]
    edges = np.arange(0.0, min(_FARTHEST_ANG, 0.45 * length), _BIN_ANG)

    def begin() -> Atoms:
        frame = start.copy()
        set_velocities(frame, point.temperature_k, np.random.default_rng(2))
        return frame

    def measure(frame: Atoms, step: int) -> list[float]:
        shells = rdf(frame, edges) if step > runs.n_equilibrate else np.zeros(len(edges) - 1)
        return [frame.get_temperature(), pressure_gpa(frame), frame.get_volume(), *shells]

    course = Course(
        f"liquid at {point}, {runs.n_repeat} cubes, {runs.n_melt}+{runs.n_equilibrate} steps",
        runs.n_equilibrate + runs.n_sample,
        _EVERY,
        lambda frame, rng: constant_pressure(frame, element, point.temperature_k, point.pressure_gpa, rng),
        measure,
        max(point.temperature_k, _MELT_AT * 300.0),
    )
    frame, rows = follow(course, begin, subject.calculator, subject.notebook, seed=2)
    rows = rows[runs.n_equilibrate // _EVERY :]
    mass = float(frame.get_masses().sum())
    densities = mass / rows[:, 2] / _GRAM_PER_CM3
    shells = rows[:, 3:]
    mean = shells.mean(axis=0)
    radii = 0.5 * (edges[1:] + edges[:-1])
    peak, height, coordination = _first_shell(radii, mean, len(frame) / float(rows[:, 2].mean()))
    return Liquid(
        float(rows[:, 0].mean()),
        float(rows[:, 1].mean()),
        float(densities.mean()),
        block_error(densities),
        radii,
        mean,
        np.array([block_error(column) for column in shells.T]),
        peak,
        height,
        coordination,
        _crystal_fraction(frame, subject),
    )


def rdf(frame: Atoms, edges: NDArray[np.float64]) -> Floats:
    """Return g(r) of a frame in a cell with right angles, shape (n_edges - 1,).

    Parameters
    ----------
    edges
        Of the shells, Å, ascending; the last at most half of the shortest side.
    """
    sides = frame.cell.lengths()
    tree = KDTree(np.mod(frame.positions / sides, 1.0) % 1.0 * sides * (1.0 - 1e-12), boxsize=sides)
    within = np.asarray(tree.count_neighbors(tree, edges), dtype=np.float64)
    shells = 4.0 / 3.0 * math.pi * np.diff(edges**3) * len(frame) ** 2 / frame.get_volume()
    pairs = np.diff(within)
    if edges[0] == 0.0:
        pairs[0] = within[1] - len(frame)  # a tree counts each atom as its own neighbour
    return np.asarray(pairs / shells)


def _first_shell(radii: Floats, g: Floats, density_per_ang3: float) -> tuple[float, float, float]:
    """Return place and height of the first peak, and how many atoms are nearer than the minimum behind it."""
    top = int(g.argmax())
    if not 0 < top < len(g) - 1:
        return math.nan, math.nan, math.nan
    a, b, c = np.polyfit(radii[top - 1 : top + 2] - radii[top], g[top - 1 : top + 2], 2)
    behind = savgol_filter(g, _SMOOTH_BINS, 2)[top : top + int(0.8 * radii[top] / _BIN_ANG)]
    end = top + int(behind.argmin()) + 1
    shells = 4.0 * math.pi * radii[:end] ** 2 * _BIN_ANG * density_per_ang3
    return float(radii[top] - 0.5 * b / a), float(c - 0.25 * b**2 / a), float((shells * g[:end]).sum())


def _crystal_fraction(frame: Atoms, subject: Subject) -> float:
    return phases(quenched(frame, subject.calculator)).crystal
