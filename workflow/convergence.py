"""How labels depend on the settings that cost: plane-wave cutoff and spacing of k-points, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar, cast, get_args

import numpy as np
from ase import Atoms

from qm.codes import CODES
from qm.dft_config import DftConfig
from qm.espresso.config import EspressoConfig
from qm.kpoints import mesh
from qm.label import Label, LabelFailure

Cutoff = Literal["wavefunction_cutoff_ry", "cutoff_ry", "cutoff_ev"]
Axis = Cutoff | Literal["k_spacing_per_ang"]
Config = TypeVar("Config", bound=DftConfig)

CUTOFF_FACTORS = (0.67, 0.83, 1.0, 1.25, 1.6)
SPACING_FACTORS = (1.6, 1.25, 1.0, 0.8, 0.6)
"""What is tried by default, as multiples of the campaign's own setting; the last of each is the reference."""


@dataclass(frozen=True)
class Point:
    """One value of one setting, held against the finest that was tried.

    Attributes
    ----------
    energy_error_mev_per_atom
        Root mean square over the frames. For the cutoff without the mean, because a constant per atom shifts
        all labels alike; not-a-number where fewer than two frames can tell.
    force_error_ev_per_ang
        Root mean square over all components of all forces.
    core_s
        Mean cost of a label, core seconds.
    meshes
        The meshes of k-points that the frames had.
    failures
        Reasons of the labels that failed.
    """

    axis: Axis
    value: float
    energy_error_mev_per_atom: float
    force_error_ev_per_ang: float
    core_s: float
    meshes: tuple[str, ...]
    failures: tuple[str, ...]


def cutoff_of(config: DftConfig) -> Cutoff:
    """Return the name of the setting that is a code's cutoff."""
    return cast("Cutoff", next(name for name in get_args(Cutoff) if name in type(config).model_fields))


def with_setting(config: Config, axis: Axis, value: float) -> Config:
    """Return the settings with one of the two changed; the density's cutoff keeps its ratio to the other."""
    changes: dict[str, float] = {axis: value}
    if (
        isinstance(config, EspressoConfig)
        and axis != "k_spacing_per_ang"
        and config.density_cutoff_ry is not None
    ):
        changes["density_cutoff_ry"] = config.density_cutoff_ry / config.wavefunction_cutoff_ry * value
    return config.model_copy(update=changes)


def sweep(
    config: DftConfig,
    frames: Sequence[Atoms],
    axis: Axis,
    values: Sequence[float],
    *,
    workers: int = 1,
    on_label: Callable[[str], None] = lambda _: None,
) -> list[Point]:
    """Label the frames with each value of one setting and hold them against the finest, which comes last.

    Parameters
    ----------
    values
        In any order; for the cutoff the largest is the finest, for the spacing the smallest.
    workers
        Labels made side by side.
    on_label
        Is told of every label in one line.

    Raises
    ------
    ValueError
        If the label source cannot be made.
    """
    ordered = sorted(set(values), reverse=axis == "k_spacing_per_ang")
    with ThreadPoolExecutor(workers) as pool:

        def labelled(value: float) -> list[Label | LabelFailure]:
            source = CODES[type(config)].labeller(with_setting(config, axis, value))

            def one(frame: Atoms) -> Label | LabelFailure:
                with TemporaryDirectory() as scratch:
                    label = source.label(frame, Path(scratch))
                result = f"failed, {label.message}" if isinstance(label, LabelFailure) else "labelled"
                on_label(f"{axis} {value:.4g}, {len(frame)} atoms: {result}, {label.wall_s:.1f} s")
                return label

            return list(pool.map(one, frames))

        found = {value: labelled(value) for value in ordered}
    reference = found[ordered[-1]]
    return [
        _point(axis, value, frames, found[value], reference, with_setting(config, axis, value))
        for value in ordered
    ]


def recommended(
    points: Sequence[Point], max_energy_mev_per_atom: float, max_force_ev_per_ang: float
) -> Point | None:
    """Return the cheapest value from which on every finer one stays within the tolerances.

    ``None`` where that is the reference alone, of which nothing finer can tell whether it is fine enough.
    """
    good = None
    for point in reversed(points[:-1]):
        within = (
            point.force_error_ev_per_ang <= max_force_ev_per_ang
            and not point.energy_error_mev_per_atom > max_energy_mev_per_atom
        )
        if not within or point.failures:
            break
        good = point
    return good


def _point(
    axis: Axis,
    value: float,
    frames: Sequence[Atoms],
    labels: Sequence[Label | LabelFailure],
    reference: Sequence[Label | LabelFailure],
    config: DftConfig,
) -> Point:
    pairs = [
        (label, best)
        for label, best in zip(labels, reference, strict=True)
        if isinstance(label, Label) and isinstance(best, Label)
    ]
    energies = np.array([(a.energy_ev - b.energy_ev) / len(a.forces_ev_per_ang) for a, b in pairs])
    forces = [(a.forces_ev_per_ang - b.forces_ev_per_ang).ravel() for a, b in pairs]
    if axis != "k_spacing_per_ang":
        energies = energies - energies.mean() if len(energies) > 1 else np.full(len(energies), np.nan)
    meshes = {"×".join(map(str, mesh(frame, config.k_spacing_per_ang))) for frame in frames}
    return Point(
        axis=axis,
        value=value,
        energy_error_mev_per_atom=1000.0 * _rms(energies),
        force_error_ev_per_ang=_rms(np.concatenate(forces)) if forces else float("nan"),
        core_s=float(np.mean([label.core_s for label, _ in pairs])) if pairs else float("nan"),
        meshes=tuple(sorted(meshes)),
        failures=tuple(label.reason for label in labels if isinstance(label, LabelFailure)),
    )


def _rms(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")
