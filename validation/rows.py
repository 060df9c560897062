"""Each property's computation as rows and curves, with the method in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from validation.bain_path import BCC, FCC, bain_path
from validation.crystal_cells import STRUCTURES, Structure, typical_volume_ang3
from validation.crystals import Crystal, cold_curve, crystal, lowest
from validation.elastic import STRAIN, Symmetry, elastic_constants
from validation.equation_of_state import WideFit, wide_fit
from validation.evaluation import Energy, NoPropertyError, energy
from validation.phonons import PATH, phonon_bands
from validation.point_defects import PointDefect, dumbbell_100, octahedral, vacancy
from validation.results import Curve, Findings, Quantity
from validation.stacking_faults import N_LAYERS, FaultPath, slip_path, twinning_path
from validation.subject import Subject
from validation.surfaces import FACETS, surface

_ROUGH = 0.25  # share of the bulk modulus
_POOR_FIT_EV = 1e-3
_VOLUMES = np.linspace(0.75, 1.35, 25)


# -- crystals ------------------------------------------------------------------------------------------------


def cold_curves_rows(structures: tuple[Structure, ...], subject: Subject) -> Findings:
    """Return cold curves, equilibria and energies above FCC."""
    element, calculator = subject.element, subject.calculator
    found = [crystal(calculator, structure, (element,)) for structure in structures]
    fcc = _fcc(subject, found)
    zero = fcc if fcc is not None else lowest(found)
    zero_ev = 0.0 if zero is None else zero.ev
    quantities: list[Quantity] = []
    curves = []
    for structure, row in zip(structures, found, strict=True):
        quantities += _crystal_quantities(subject, structure, row, fcc)
        volumes = typical_volume_ang3(element) * structure.relative_volume * _VOLUMES
        curve = cold_curve(calculator, structure, (element,), volumes, row.c_over_a)
        curves.append(_curve(structure.name, volumes, curve.energies_ev - zero_ev, curve.spreads_ev))
    return Findings(
        tuple(quantities),
        tuple(curves),
        "volume per atom, Å³",
        "energy above FCC, eV/atom",
        method="Third-order Birch-Murnaghan fits over ±1 % of volume (dB/dp: ±12 %); c/a relaxed at the "
        "equilibrium.",
    )


def _fcc(subject: Subject, found: Iterable[Crystal]) -> Energy | None:
    """Return the energy per atom of FCC, of these crystals or of those that the subject brings along."""
    mine = next((row.energy for row in found if row.structure == "FCC" and row.found), None)
    if mine is not None or "FCC" not in subject.lattices:
        return mine
    fcc = next(structure for structure in STRUCTURES if structure.name == "FCC")
    return energy(subject.calculator, fcc.cell((subject.element,), subject.lattices["FCC"].volume_ang3))


def _crystal_quantities(
    subject: Subject, structure: Structure, row: Crystal, fcc: Energy | None
) -> list[Quantity]:
    name = structure.name
    volume = Quantity(f"{name}: volume", row.volume_ang3, "Å³/atom", remark=row.remark)
    if not row.found:
        return [volume]

    def at(volume_ang3: float) -> float:
        frame = structure.cell((subject.element,), volume_ang3, row.c_over_a)
        return energy(subject.calculator, frame).ev / len(frame)

    quantities = [volume, Quantity(f"{name}: lattice constant", row.lattice_ang, "Å")]
    if row.c_over_a is not None:
        quantities.append(Quantity(f"{name}: c/a", row.c_over_a, ""))
    if name != "FCC" and fcc is not None:
        above = 1000.0 * (row.energy - fcc)
        lower = "lower than FCC" if above.ev < 0 else ""
        quantities.append(
            _of_members(f"{name}: energy above FCC", above.ev, "meV/atom", above.spread_ev, lower)
        )
    return [*quantities, *_stiffness(name, row, at)]


def _stiffness(name: str, row: Crystal, at: Callable[[float], float]) -> tuple[Quantity, Quantity]:
    """Return bulk modulus and dB/dp; on a rough curve the first depends on how far around one looks."""
    modulus = row.bulk_modulus_gpa
    try:
        wide = wide_fit(at, row.volume_ang3)
        poor = (
            "" if wide.left_ev <= _POOR_FIT_EV else f"no good fit: {1000.0 * wide.left_ev:.1f} meV/atom off"
        )
    except NoPropertyError as error:  # it reaches farther than all else
        wide, poor = WideFit(), str(error)
    rough = abs(modulus - wide.bulk_modulus_gpa) > _ROUGH * abs(wide.bulk_modulus_gpa)
    other = f"rough: {wide.bulk_modulus_gpa:.0f} GPa over ±12 % of volume" if rough else ""
    return (
        Quantity(f"{name}: bulk modulus", modulus, "GPa", remark=other),
        Quantity(f"{name}: dB/dp", wide.slope, "", remark=poor),
    )


def elastic_rows(structure: str, symmetry: Symmetry, strain: float, subject: Subject) -> Findings:
    """Return the elastic constants of one crystal, and whether it is stable."""
    lattice = subject.lattice(structure)
    cell = next(s for s in STRUCTURES if s.name == structure).cell(
        (subject.element,), lattice.volume_ang3, lattice.c_over_a
    )
    found = elastic_constants(subject.calculator, cell, symmetry, strain)
    remark = f"not stable: {found.unstable} does not hold" if found.unstable else ""
    at = "" if strain == STRAIN else f" at ±{100 * strain:g} %"
    quantities = [
        Quantity(f"{structure}: {name}{at}", value, "GPa", found.errors_gpa[name], "fit", remark)
        for name, value in found.gpa.items()
    ]
    bulk = Quantity(
        f"{structure}: bulk modulus from the elastic constants{at}",
        found.bulk_modulus_gpa,
        "GPa",
        remark=remark,
    )
    return Findings(
        (*quantities, bulk),
        method=f"Straight fits of stress against four strains up to ±{100 * strain:g} %, from the cell "
        "without pressure, atoms relaxed. Errors: of the fit.",
    )


# -- paths ---------------------------------------------------------------------------------------------------


def bain_path_rows(subject: Subject) -> Findings:
    """Return the energy from BCC to FCC."""
    path = bain_path(subject.calculator, subject.element, subject.lattice("FCC").volume_ang3)
    at_bcc = int(np.argmin(abs(path.c_over_a - BCC)))
    lowest = path.lowest_c_over_a
    remark = "" if abs(lowest - FCC) < 1e-6 else "FCC is not the lowest"
    return Findings(
        (
            _of_members(
                "Bain path: BCC above FCC", path.bcc_mev, "meV/atom", float(path.spreads_mev[at_bcc])
            ),
            Quantity("Bain path: c/a of the lowest", lowest, "", remark=remark),
        ),
        (_curve("Bain path", path.c_over_a, path.energies_mev, path.spreads_mev),),
        "c/a (1: BCC, √2: FCC)",
        "energy above FCC, meV/atom",
        method="Body-centred tetragonal cells at the volume per atom of FCC.",
    )


def slip_path_rows(subject: Subject) -> Findings:
    """Return the generalised stacking fault up to the intrinsic one."""
    path = slip_path(subject.calculator, subject.element, subject.lattice("FCC").lattice_ang)
    return _fault_findings(
        path,
        [("unstable stacking fault", path.highest(0.0, 1.0)), ("intrinsic stacking fault", path.at(1.0))],
    )


def twinning_path_rows(subject: Subject) -> Findings:
    """Return the path from the intrinsic fault to a twin."""
    path = twinning_path(subject.calculator, subject.element, subject.lattice("FCC").lattice_ang)
    twins, spread = path.at(3.0)
    return _fault_findings(
        path,
        [
            ("unstable twinning fault", path.highest(1.0, 2.0)),
            ("extrinsic stacking fault", path.at(2.0)),
            ("twin boundary", (0.5 * twins, 0.5 * spread)),
        ],
    )


def _fault_findings(path: FaultPath, points: list[tuple[str, tuple[float, float]]]) -> Findings:
    quantities = []
    for name, (value, spread) in points:
        quantities.append(_of_members(f"FCC: {name}", value, "mJ/m²", spread))
        quantities.append(
            _of_members(
                f"FCC: {name}, per atom",
                path.mev_per_atom(value),
                "meV per atom of the plane",
                path.mev_per_atom(spread),
            )
        )
    return Findings(
        tuple(quantities),
        (_curve("fault on {111}<112>", path.displacements, path.energies_mj_per_m2, path.spreads_mj_per_m2),),
        "slip, in a/6 <112>",
        "energy, mJ/m²",
        method=f"{N_LAYERS} layers without surfaces; layers and the cell's height relax along the normal.",
    )


# -- defects and surfaces ------------------------------------------------------------------------------------


def vacancy_rows(subject: Subject) -> Findings:
    """Return the vacancy."""
    return _each(
        [("FCC: vacancy formation energy", "eV", lambda: _defect(subject, vacancy))],
        "3×3×3 cubes less one atom, relaxed at the volume of FCC.",
    )


def interstitials_rows(subject: Subject) -> Findings:
    """Return two interstitials."""
    return _each(
        [
            ("FCC: <100> dumbbell formation energy", "eV", lambda: _defect(subject, dumbbell_100)),
            ("FCC: octahedral interstitial formation energy", "eV", lambda: _defect(subject, octahedral)),
        ],
        "4×4×4 cubes and one atom, relaxed at the volume of FCC.",
    )


def _defect(subject: Subject, defect: Callable[..., PointDefect]) -> tuple[float, float]:
    found = defect(subject.calculator, subject.element, subject.lattice("FCC").lattice_ang)
    return found.formation_ev, found.spread_ev


def surfaces_rows(subject: Subject) -> Findings:
    """Return three surfaces."""

    def of(facet: str) -> Callable[[], tuple[float, float]]:
        def compute() -> tuple[float, float]:
            found = surface(subject.calculator, subject.element, subject.lattice("FCC").lattice_ang, facet)
            return found.energy_j_per_m2, found.spread_j_per_m2

        return compute

    return _each(
        [(f"FCC: ({facet}) surface energy", "J/m²", of(facet)) for facet in FACETS],
        "Slabs more than 20 Å thick with 16 Å of vacuum, relaxed.",
    )


def _each(rows: list[tuple[str, str, Callable[[], tuple[float, float]]]], method: str) -> Findings:
    """Compute several numbers of which some may fail."""
    quantities = []
    for name, unit, compute in rows:
        try:
            value, spread = compute()
        except NoPropertyError as error:
            quantities.append(Quantity(name, math.nan, unit, remark=str(error)))
        else:
            below = "negative" if value < 0 else ""
            quantities.append(_of_members(name, value, unit, spread, below))
    return Findings(tuple(quantities), method=method)


# -- phonons -------------------------------------------------------------------------------------------------


def phonons_rows(subject: Subject) -> Findings:
    """Return the phonon bands of FCC."""
    bands = phonon_bands(subject.calculator, subject.element, subject.lattice("FCC").lattice_ang)
    remark = f"not stable: {bands.lowest_thz:.2f} THz on the path" if bands.unstable else ""
    quantities = [
        Quantity(f"FCC: phonon {point} {branch}", float(bands.at[point][index]), "THz", remark=remark)
        for point in ("X", "L")
        for branch, index in (("transverse", 0), ("longitudinal", 2))
    ]
    return Findings(
        tuple(quantities),
        tuple(
            _curve(f"branch {i + 1}", bands.distances, branch, np.full(len(branch), np.nan))
            for i, branch in enumerate(bands.frequencies_thz.T)
        ),
        "",
        "frequency, THz",
        bands.ticks,
        f"Displacements of 0.01 Å in 4×4×4 cubes, path {PATH.replace('G', 'Γ')}.",
    )


# -- rows and curves -----------------------------------------------------------------------------------------


def _of_members(name: str, value: float, unit: str, spread: float, remark: str = "") -> Quantity:
    return Quantity(name, value, unit, spread, "members" if math.isfinite(spread) else "", remark)


def _curve(name: str, x: Iterable[float], y: Iterable[float], spread: Iterable[float]) -> Curve:
    return Curve(
        name, tuple(float(v) for v in x), tuple(float(v) for v in y), tuple(float(v) for v in spread)
    )
