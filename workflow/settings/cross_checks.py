"""Settings of different stages held against each other: what each allows alone may not fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sampling.packing import extreme_compositions, volume_per_atom
from sampling.pair_distances import distance_matrix
from validation.literature import published_value
from validation.quick_quantities import QUICK_QUANTITIES

if TYPE_CHECKING:
    from workflow.settings.config import CampaignConfig


def problems(config: CampaignConfig) -> Iterator[str]:
    """Yield one line for each pair of settings that do not fit; the first may make others meaningless."""
    for check in _CHECKS:
        yield from check(config)


def _builder(config: CampaignConfig) -> Iterator[str]:
    try:
        config.builder.check_elements(config.elements)
    except ValueError as error:
        yield f"builder: {error}"


def _starting_data(config: CampaignConfig) -> Iterator[str]:
    bootstrap = config.bootstrap
    if bootstrap.n_frames == 0 and bootstrap.import_extxyz is None:
        yield "bootstrap.n_frames = 0 needs bootstrap.import_extxyz: there would be nothing to start from"


def _budgets(config: CampaignConfig) -> Iterator[str]:
    stop, n_frames = config.stop, config.bootstrap.n_frames
    if stop.max_labels is not None and stop.max_labels < n_frames:
        yield f"stop.max_labels = {stop.max_labels} is below bootstrap.n_frames = {n_frames}"
    duration_ps = config.sampling.schedule.duration_ps
    if stop.median_survival_ps > duration_ps:
        yield (
            f"stop.median_survival_ps = {stop.median_survival_ps:g} exceeds sampling.schedule.duration_ps = "
            f"{duration_ps:g}: no trajectory could live that long"
        )


def _pressure(config: CampaignConfig) -> Iterator[str]:
    most, least = config.candidates.max_in_flight, config.synchronisation.min_new_labels
    if most < least:
        yield (
            f"candidates.max_in_flight = {most} is below synchronisation.min_new_labels = {least}: "
            "no training would start"
        )


def _breaker(config: CampaignConfig) -> Iterator[str]:
    breaker = config.breaker
    if breaker.max_failures > breaker.window:
        yield (
            f"breaker.max_failures = {breaker.max_failures} exceeds breaker.window = {breaker.window}: "
            "no stage could ever pause"
        )


def _distances(config: CampaignConfig) -> Iterator[str]:
    """Cells as built must neither stop a trajectory at once nor be refused as candidates."""
    built = _matrix(config, "builder.min_distance_ang")
    contact = _matrix(config, "sampling.thresholds.close_contact_ang")
    if np.any(contact >= built):
        yield (
            f"sampling.thresholds.close_contact_ang = {_largest(contact, contact >= built):g} is not below "
            f"builder.min_distance_ang = {_largest(built, contact >= built):g}: "
            "trajectories would end before they begin"
        )
    gate = _matrix(config, "gates.min_distance_ang")
    if np.any(gate > built):
        yield (
            f"gates.min_distance_ang = {_largest(gate, gate > built):g} is above builder.min_distance_ang = "
            f"{_largest(built, gate > built):g}: cells as built would be refused"
        )
    if np.any(config.checks.min_distance_ang > gate):
        yield (
            f"checks.min_distance_ang = {config.checks.min_distance_ang:g} is above gates.min_distance_ang = "
            f"{gate.min():g}: candidates would be labelled only to be refused"
        )


def _matrix(config: CampaignConfig, name: str) -> NDArray[np.float64]:
    try:
        return distance_matrix(attrgetter(name)(config), config.elements)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _largest(distances: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    return float(distances[where].max())


def _kpoint_checks(config: CampaignConfig) -> Iterator[str]:
    every = config.labelling.kpoint_check_every
    if every and getattr(config.labeller, "k_spacing_per_ang", None) is None:
        yield (
            f"labelling.kpoint_check_every = {every} needs a label source with k-points; "
            f"labeller.kind = {config.labeller.kind} has none"
        )


def _members(config: CampaignConfig) -> Iterator[str]:
    if config.potential.n_members < 2:
        yield f"potential.n_members = {config.potential.n_members}: an ensemble needs two to disagree"


def _cutoffs(config: CampaignConfig) -> Iterator[str]:
    """The potential must see neighbours, in the emptiest cells too."""
    potential = config.potential
    closest_ang = float(_matrix(config, "builder.min_distance_ang").max())
    if potential.angular_cutoff_ang <= closest_ang:
        yield (
            f"potential.angular_cutoff_ang = {potential.angular_cutoff_ang:g} does not exceed "
            f"builder.min_distance_ang = {closest_ang:g}: no angle would be seen"
        )
    spacing_ang = widest_spacing_ang(config)
    if potential.radial_cutoff_ang < spacing_ang:
        yield (
            f"potential.radial_cutoff_ang = {potential.radial_cutoff_ang:g} is below {spacing_ang:.2f}, the "
            "distance of neighbours at the lowest builder.density_g_per_cm3"
        )


def widest_spacing_ang(config: CampaignConfig) -> float:
    """Return the distance of neighbours, Å, where atoms at the builder's lowest density are spread evenly.

    That of the closest packings, (√2 v)^(1/3) for a volume v per atom: the largest that is possible.
    """
    builder, elements = config.builder, config.elements
    volume = max(
        volume_per_atom(builder.density_g_per_cm3, elements, fractions, where=0.0)
        for fractions in extreme_compositions(builder, elements)
    )
    return float((np.sqrt(2.0) * volume) ** (1.0 / 3.0))


def _thresholds(config: CampaignConfig) -> Iterator[str]:
    thresholds = config.sampling.thresholds
    mean, largest = thresholds.max_mean_force_error_ev_per_ang, thresholds.max_force_error_ev_per_ang
    if mean > largest:
        yield (
            f"sampling.thresholds.max_mean_force_error_ev_per_ang = {mean:g} is above "
            f"max_force_error_ev_per_ang = {largest:g}: a mean never exceeds the largest"
        )
    if config.sampling.check_every_steps > config.sampling.chunk_steps:
        yield (
            f"sampling.check_every_steps = {config.sampling.check_every_steps} exceeds "
            f"sampling.chunk_steps = {config.sampling.chunk_steps}"
        )


def _promotion_gate(config: CampaignConfig) -> Iterator[str]:
    validation = config.validation
    if validation.promotion_gate and validation.suite == "none":
        yield "validation.promotion_gate needs validation.suite: quick, which finds what it asks for"
    for condition in validation.promotion_gate:
        name = f"validation.promotion_gate: {condition.quantity!r}"
        if condition.quantity not in QUICK_QUANTITIES:
            near = get_close_matches(condition.quantity, QUICK_QUANTITIES, 1)
            yield f"{name} is no quantity of the quick suite" + (f"; near: {near[0]!r}" if near else "")
        for element in [condition.element] if condition.element else config.elements:
            if element not in config.elements:
                yield f"{name}: {element} is not among the elements {', '.join(config.elements)}"
            elif condition.of == "literature" and published_value(element, condition.quantity) is None:
                yield f"{name}: there is no published value for {element}"


_CHECKS: tuple[Callable[[CampaignConfig], Iterator[str]], ...] = (
    _builder,
    _starting_data,
    _budgets,
    _pressure,
    _breaker,
    _distances,
    _kpoint_checks,
    _members,
    _cutoffs,
    _thresholds,
    _promotion_gate,
)
