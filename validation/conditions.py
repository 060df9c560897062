"""At which temperatures and pressures, and how long, liquids and melting are looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

_EXTRA_STARTS = 1  # of a search for the melting temperature, beside the seeds


@dataclass(frozen=True, order=True)
class StatePoint:
    """A temperature in K and a pressure in GPa."""

    temperature_k: float
    pressure_gpa: float = 0.0

    def __str__(self) -> str:
        return f"{self.temperature_k:g} K, {self.pressure_gpa:g} GPa"


@dataclass(frozen=True)
class LiquidRuns:
    """Runs of the liquid, one for each state point.

    Attributes
    ----------
    points
        Where; none: chosen around the melting temperature as it is guessed from the elastic constants.
    n_repeat
        Cubes of the lattice along each axis; 4 atoms in each for FCC.
    n_melt, n_equilibrate, n_sample
        Steps of dynamics to melt the crystal, to come to the state point, and to take averages.
    """

    points: tuple[StatePoint, ...] = ()
    n_repeat: int = 5
    n_melt: int = 2000
    n_equilibrate: int = 2000
    n_sample: int = 8000


@dataclass(frozen=True)
class MeltingRuns:
    """Runs of coexisting crystal and liquid.

    Attributes
    ----------
    pressures_gpa
        At which the melting temperature is sought.
    guess_k
        Where the search begins at the first pressure; ``None``: guessed from the elastic constants.
    n_lateral, n_along
        Cubes of the crystal along the interfaces and along their normal; the liquid has as many again.
    n_prepare, n_steps
        Steps of each preparation, and of the run whose temperature is taken.
    n_seeds
        Independent runs for the error.
    """

    pressures_gpa: tuple[float, ...] = (0.0,)
    guess_k: float | None = None
    n_lateral: int = 5
    n_along: int = 7
    n_prepare: int = 1500
    n_steps: int = 20_000
    n_seeds: int = 3


@dataclass(frozen=True)
class MeltFreezeRun:
    """One run from a cold crystal to the liquid and back, at zero pressure.

    Attributes
    ----------
    low_k, high_k
        Temperatures at the ends and in the middle; ``None``: 1.6 times the guessed melting temperature.
    n_repeat
        Cubes along each axis.
    n_heat, n_cool
        Steps up and down; crystals need time to form.
    n_frames
        How many frames, evenly spread, are analysed and given to the reference.
    """

    low_k: float = 300.0
    high_k: float | None = None
    n_repeat: int = 4
    n_heat: int = 25_000
    n_cool: int = 100_000
    n_frames: int = 50


@dataclass(frozen=True)
class Conditions:
    """Everything that the runs of dynamics are asked to do."""

    liquid: LiquidRuns = LiquidRuns()
    melting: MeltingRuns = MeltingRuns()
    melt_freeze: MeltFreezeRun = MeltFreezeRun()

    def of(self, element: str) -> Conditions:
        """Return these conditions with those of a known element where nothing was asked for."""
        known = _KNOWN.get(element)
        if known is None:
            return self
        points = self.liquid.points or known.liquid.points
        high = self.melt_freeze.high_k or known.melt_freeze.high_k
        return replace(
            self,
            liquid=replace(self.liquid, points=points),
            melt_freeze=replace(self.melt_freeze, high_k=high),
        )


_KNOWN = {
    "Al": Conditions(
        LiquidRuns(tuple(StatePoint(t) for t in (1000.0, 1123.0, 1273.0, 1473.0))),
        melt_freeze=MeltFreezeRun(high_k=1500.0),
    )
}
"""Where published values of an element stand."""


def liquid_cost(conditions: Conditions) -> float:
    """Return about how many steps of how many atoms the liquid takes: their product."""
    runs = conditions.liquid
    n_points = len(runs.points) or 4
    return 4.0 * runs.n_repeat**3 * (runs.n_melt + n_points * (runs.n_equilibrate + runs.n_sample))


def melting_cost(conditions: Conditions) -> float:
    """Return about how many steps of how many atoms the melting takes: their product."""
    runs = conditions.melting
    n_half = 4.0 * runs.n_lateral**2 * runs.n_along
    each = n_half * (2 * runs.n_prepare + 2 * (runs.n_prepare + 1.06 * runs.n_steps))
    return each * (runs.n_seeds * len(runs.pressures_gpa) + _EXTRA_STARTS)


def melt_freeze_cost(conditions: Conditions) -> float:
    """Return about how many steps of how many atoms the run takes: their product."""
    run = conditions.melt_freeze
    return 4.0 * run.n_repeat**3 * (run.n_heat + run.n_cool + 25 * run.n_frames)


def no_cost(_conditions: Conditions) -> float:
    """Return nothing: another property has made the same runs."""
    return 0.0
