"""Liquid, melting and melt-freeze runs as rows and curves, with the method in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from validation.conditions import Conditions, StatePoint
from validation.evaluation import NoPropertyError
from validation.liquid import Liquid, liquid, melted, state_points
from validation.melt_freeze import MeltFreeze, melt_freeze
from validation.melting import Melting, melting
from validation.results import Curve, ErrorKind, Findings, Quantity
from validation.stiffness import solid
from validation.subject import Subject
from validation.trajectory import Floats

_CRYSTAL = 0.5


# -- liquid --------------------------------------------------------------------------------------------------


def liquid_density_rows(subject: Subject) -> Findings:
    """Return the density at every state point; a curve of it for each pressure with two or more."""
    quantities, found = [], {}
    for point, state in _liquids(subject):
        name = f"liquid at {point}: density"
        if isinstance(state, Liquid):
            found[point] = state
            quantities.append(
                _of_blocks(
                    name, state.density_g_per_cm3, "g/cm³", state.density_error_g_per_cm3, _remark(state)
                )
            )
        else:
            quantities.append(Quantity(name, math.nan, "g/cm³", remark=state))
    curves = []
    for pressure in dict.fromkeys(point.pressure_gpa for point in found):
        liquid_at = {point: state for point, state in found.items() if not state.frozen}
        points = sorted(point for point in liquid_at if point.pressure_gpa == pressure)
        densities = [found[point] for point in points]
        curves.append(
            _curve(
                f"{pressure:g} GPa",
                [point.temperature_k for point in points],
                [state.density_g_per_cm3 for state in densities],
                [state.density_error_g_per_cm3 for state in densities],
            )
        )
    return Findings(
        tuple(quantities),
        tuple(curves),
        "temperature, K",
        "density, g/cm³",
        method=_liquid_method(subject.conditions),
    )


def liquid_structure_rows(subject: Subject) -> Findings:
    """Return the radial distribution function at every state point and its first peak."""
    quantities, curves = [], []
    for point, state in _liquids(subject):
        name = f"liquid at {point}: first peak of g(r)"
        if not isinstance(state, Liquid):
            quantities.append(Quantity(name, math.nan, "Å", remark=state))
            continue
        remark = _remark(state)
        top = int(state.rdf.argmax())
        quantities += [
            Quantity(name, state.peak_ang, "Å", remark=remark),
            _of_blocks(f"{name}, height", state.peak_height, "", float(state.rdf_errors[top]), remark),
            Quantity(f"liquid at {point}: neighbours within its minimum", state.coordination, ""),
        ]
        curves.append(_curve(str(point), state.radii_ang, state.rdf, state.rdf_errors))
    return Findings(
        tuple(quantities), tuple(curves), "r, Å", "g(r)", method=_liquid_method(subject.conditions)
    )


def _liquids(subject: Subject) -> Iterable[tuple[StatePoint, Liquid | str]]:
    """Yield the liquid at each state point, or why there is none."""
    crystal = solid(subject)
    start = melted(subject, crystal)
    for point in state_points(subject.conditions.liquid, crystal):
        try:
            yield point, liquid(subject, start, point)
        except NoPropertyError as error:
            yield point, str(error)


def _remark(state: Liquid) -> str:
    return f"it freezes: {100 * state.crystal:.0f} % of the last frame is crystal" if state.frozen else ""


def _liquid_method(conditions: Conditions) -> str:
    runs = conditions.liquid
    return (
        f"A crystal of {runs.n_repeat}×{runs.n_repeat}×{runs.n_repeat} cubes is melted; at each "
        f"temperature and pressure {runs.n_equilibrate} steps of Langevin dynamics with an isotropic "
        f"barostat are left out, {runs.n_sample} averaged. Errors: standard errors from 8 blocks."
    )


# -- melting -------------------------------------------------------------------------------------------------


def melting_rows(subject: Subject) -> Findings:
    """Return the melting temperature at each pressure; each search begins at what the one before found."""
    crystal = solid(subject)
    asked = subject.conditions.melting
    quantities: list[Quantity] = []
    curves: list[Curve] = []
    scale = 1.0
    for pressure in asked.pressures_gpa:
        guess = crystal.guess_at_k(pressure)
        start = asked.guess_k if asked.guess_k is not None and not quantities else scale * guess
        name = f"melting temperature at {pressure:g} GPa"
        try:
            found = melting(subject, crystal, pressure, start)
        except NoPropertyError as error:
            quantities.append(Quantity(name, math.nan, "K", remark=str(error)))
            continue
        scale = found.temperature_k / guess
        quantities.append(_melting_quantity(name, found, asked.n_seeds))
        curves += [
            _curve(
                f"{pressure:g} GPa, from {run.start_k:.0f} K, {run.ending}",
                run.times_ps,
                run.temperatures_k,
                np.full(len(run.times_ps), np.nan),
            )
            for run in found.runs
            if len(run.times_ps)
        ]
    width = asked.n_lateral
    return Findings(
        tuple(quantities),
        tuple(_thinned(curve) for curve in curves),
        "time, ps",
        "temperature, K",
        method=f"{crystal.lattice.structure} and liquid, {width}×{width}×{asked.n_along} cubes each, side by "
        f"side under constant enthalpy with a piston along the interfaces' normal, {asked.n_steps} "
        "steps, the last 60 % averaged (Morris et al., Phys. Rev. B 49, 3109 (1994)). Errors: "
        "standard errors over the runs, or within them if larger; not that of the cell's size.",
    )


def _melting_quantity(name: str, found: Melting, n_seeds: int) -> Quantity:
    n_good = sum(run.ending == "both" for run in found.runs)
    lost = [f"from {run.start_k:.0f} K {run.ending}" for run in found.runs if run.ending != "both"]
    few = f"only {n_good} of {n_seeds} runs kept both phases" if n_good < n_seeds else ""
    kind: ErrorKind = "seeds" if n_good > 1 else "blocks"
    remark = "; ".join([*lost, *([few] if few else [])])
    return Quantity(name, found.temperature_k, "K", found.error_k, kind, remark)


def _thinned(curve: Curve, n: int = 200) -> Curve:
    """Return means over stretches of a noisy curve."""
    if len(curve.x) <= n:
        return curve
    x, y = ([float(block.mean()) for block in np.array_split(np.array(v), n)] for v in (curve.x, curve.y))
    return _curve(curve.name, x, y, [math.nan] * n)


# -- melt-freeze ---------------------------------------------------------------------------------------------


def melt_freeze_energy_rows(subject: Subject) -> Findings:
    """Return potential energies along the run; those of the reference are moved to the same mean."""
    run = _melt_freeze(subject)
    ours = 1000.0 * (run.energies_ev - run.energies_ev[0])
    curves, quantities = [_over_time(run, "potential", ours)], []
    if run.reference is not None:
        theirs = 1000.0 * run.reference.energies_ev
        theirs += ours.mean() - theirs.mean()
        curves.append(_over_time(run, "reference", theirs))
        quantities.append(_rms("melt-freeze: energy", ours, theirs, "meV/atom"))
    rise = float(ours[int(run.set_k.argmax())] - ours[0])
    quantities.append(Quantity("melt-freeze: energy from cold to hot", rise, "meV/atom"))
    return _along(run, subject, quantities, curves, "potential energy, meV/atom")


def melt_freeze_force_rows(subject: Subject) -> Findings:
    """Return the mean norm of the forces along the run, and how far they are from the reference's."""
    run = _melt_freeze(subject)
    curves = [_over_time(run, "potential", run.forces_ev_per_ang)]
    quantities = [
        Quantity(
            "melt-freeze: mean force at the hottest",
            float(run.forces_ev_per_ang[int(run.set_k.argmax())]),
            "eV/Å",
        )
    ]
    if run.reference is not None:
        curves.append(_over_time(run, "reference", run.reference.forces_ev_per_ang))
        error = math.sqrt(float(np.square(run.reference.force_errors_ev_per_ang).mean()))
        quantities.append(
            Quantity("melt-freeze: RMS difference of force components from the reference", error, "eV/Å")
        )
    return _along(run, subject, quantities, curves, "mean force, eV/Å")


def melt_freeze_pressure_rows(subject: Subject) -> Findings:
    """Return the pressure of the potential energy along the run."""
    run = _melt_freeze(subject)
    curves = [_over_time(run, "potential", run.pressures_gpa)]
    hottest = float(run.pressures_gpa[int(run.set_k.argmax())])
    quantities = [Quantity("melt-freeze: virial pressure at the hottest", hottest, "GPa")]
    if run.reference is not None and np.isfinite(run.reference.pressures_gpa).all():
        curves.append(_over_time(run, "reference", run.reference.pressures_gpa))
        quantities.append(
            _rms("melt-freeze: pressure", run.pressures_gpa, run.reference.pressures_gpa, "GPa")
        )
    return _along(run, subject, quantities, curves, "pressure without its kinetic part, GPa")


def melt_freeze_phases_rows(subject: Subject) -> Findings:
    """Return which crystals the run consists of, and where it melts and freezes."""
    run = _melt_freeze(subject)
    hottest = int(run.set_k.argmax())
    up, down = run.crystal[: hottest + 1], run.crystal[hottest:]
    molten = up < _CRYSTAL
    frozen = down > _CRYSTAL
    melts = float(run.set_k[int(molten.argmax())]) if molten.any() else math.nan
    freezes = float(run.set_k[hottest + int(frozen.argmax())]) if frozen.any() and molten.any() else math.nan
    rate = "not at this rate" if molten.any() else "it did not melt"
    quantities = [
        Quantity(
            "melt-freeze: melts on heating at", melts, "K", remark="" if molten.any() else "it does not melt"
        ),
        Quantity(
            "melt-freeze: freezes on cooling at", freezes, "K", remark="" if math.isfinite(freezes) else rate
        ),
        Quantity("melt-freeze: crystal at the end", float(run.crystal[-1]), ""),
        Quantity("melt-freeze: FCC at the end", float(run.fcc[-1]), ""),
    ]
    curves = [_over_time(run, name, values) for name, values in _fractions(run).items()]
    return _along(run, subject, quantities, curves, "fraction of the atoms")


def _fractions(run: MeltFreeze) -> dict[str, Iterable[float]]:
    return {"FCC": run.fcc, "HCP": run.hcp, "BCC": run.bcc, "none of them": 1.0 - run.crystal}


def _melt_freeze(subject: Subject) -> MeltFreeze:
    return melt_freeze(subject, solid(subject))


def _along(
    run: MeltFreeze, subject: Subject, quantities: list[Quantity], curves: list[Curve], label: str
) -> Findings:
    asked = subject.conditions.melt_freeze
    return Findings(
        tuple(quantities),
        tuple(curves),
        "time, ps",
        label,
        method=f"From {asked.low_k:g} K to {run.set_k.max():.0f} K in {asked.n_heat} steps and back in "
        f"{asked.n_cool}, without pressure, {asked.n_repeat}×{asked.n_repeat}×{asked.n_repeat} cubes; "
        "crystals by adaptive common-neighbour analysis after 25 steps downhill.",
    )


def _over_time(run: MeltFreeze, name: str, values: Iterable[float]) -> Curve:
    return _curve(name, run.times_ps, values, np.full(len(run.times_ps), np.nan))


def _rms(what: str, ours: Floats, theirs: Floats, unit: str) -> Quantity:
    apart = math.sqrt(float(np.square(ours - theirs).mean()))
    return Quantity(f"{what}, RMS difference from the reference", apart, unit)


# -- rows and curves -----------------------------------------------------------------------------------------


def _of_blocks(name: str, value: float, unit: str, error: float, remark: str = "") -> Quantity:
    return Quantity(name, value, unit, error, "blocks" if math.isfinite(error) else "", remark)


def _curve(name: str, x: Iterable[float], y: Iterable[float], spread: Iterable[float]) -> Curve:
    return Curve(
        name, tuple(float(v) for v in x), tuple(float(v) for v in y), tuple(float(v) for v in spread)
    )
