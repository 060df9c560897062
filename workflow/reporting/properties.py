"""Crystals nobody told the campaign about, by its ensemble and, where labels are cheap, by their source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import potentials
from potentials.calculator import EnsembleCalculator
from validation.crystal_cells import STRUCTURES
from validation.crystals import ColdCurve, Crystal, alloy_table, cold_curve, crystal_table, lowest
from workflow.labellers import k_spacing_per_ang, make_labeller
from workflow.reporting.label_calculator import LabelCalculator
from workflow.settings.config import CampaignConfig
from workflow.state import CampaignState
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic
from workflow.storage.paths import CampaignPaths

PROPERTIES_NAME = "crystals.json"
CHEAP_LABEL_S = 0.5
"""The label source's own crystals take some 700 labels; they are computed only where a label costs less."""

_VOLUMES = np.linspace(0.78, 1.42, 33)


@dataclass(frozen=True)
class Curves:
    """Cold curves of one crystal by the ensemble and, where labels are cheap, by the label source."""

    structure: str
    ensemble: ColdCurve
    source: ColdCurve | None


@dataclass(frozen=True)
class Crystals:
    """The crystals of one element, or the compounds of two (these without curves)."""

    system: str
    ensemble: list[Crystal]
    source: list[Crystal]
    curves: list[Curves]


@dataclass(frozen=True)
class Properties:
    """All crystals of a campaign by one of its ensembles."""

    ensemble: str
    systems: list[Crystals]


def crystal_properties(directory: Path, config: CampaignConfig, state: CampaignState) -> Properties | None:
    """Return the crystals by the best ensemble; ``None`` before the first.

    They are kept in ``crystals.json`` and computed again only for another ensemble.
    """
    best = state.best_round()
    if best is None or not CampaignPaths(directory).model(best.number).is_dir():
        return None
    kept = directory / PROPERTIES_NAME
    known = _read(kept)
    if known is not None and known.ensemble == best.name:
        return known
    ensemble = potentials.load(CampaignPaths(directory).model(best.number)).to(dtype=torch.float64)
    by_ensemble = EnsembleCalculator(ensemble, forces_std=False)
    by_source = _source(config, state)
    found = Properties(best.name, _systems(config.elements, by_ensemble, by_source))
    write_json_atomic(kept, _plain(asdict(found)))
    return found


def _source(config: CampaignConfig, state: CampaignState) -> LabelCalculator | None:
    if k_spacing_per_ang(config.labeller) is not None:
        return None  # hundreds of calculations: `workflow.validate --reference` is for that
    if not state.n_labelled or state.label_core_s / state.n_labelled > CHEAP_LABEL_S:
        return None
    try:
        return LabelCalculator(make_labeller(config.labeller))
    except ValueError:  # not installed here; the labels were made elsewhere
        return None


def _systems(elements: tuple[str, ...], by_ensemble: Any, by_source: Any) -> list[Crystals]:
    systems = [_element(element, by_ensemble, by_source) for element in elements]
    if len(elements) == 2:
        pair = (elements[0], elements[1])
        ensemble = alloy_table(by_ensemble, pair, [lowest(system.ensemble) for system in systems])
        source = (
            alloy_table(by_source, pair, [lowest(system.source) for system in systems])
            if by_source is not None
            else []
        )
        systems.append(Crystals("-".join(elements), ensemble, source, []))
    return systems


def _element(element: str, by_ensemble: Any, by_source: Any) -> Crystals:
    ensemble = crystal_table(by_ensemble, element)
    source = crystal_table(by_source, element) if by_source is not None else []
    curves = []
    for i, structure in enumerate(STRUCTURES):
        rows = [row for row in (source[i] if source else ensemble[i], ensemble[i]) if row.found]
        if not rows:
            continue
        volumes, ratio = rows[0].volume_ang3 * _VOLUMES, rows[0].c_over_a
        curves.append(
            Curves(
                structure.name,
                cold_curve(by_ensemble, structure, (element,), volumes, ratio),
                cold_curve(by_source, structure, (element,), volumes, ratio) if source else None,
            )
        )
    return Crystals(element, ensemble, source, curves)


# -- JSON, in which a number that does not exist is null -----------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _read(path: Path) -> Properties | None:
    """Return what is kept, or ``None`` if there is nothing usable: it can always be computed again."""
    try:
        found = read_json(path)
        return Properties(found["ensemble"], [_crystals(system) for system in found["systems"]])
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError):
        return None


def _crystals(system: Mapping[str, Any]) -> Crystals:
    return Crystals(
        system["system"],
        [_crystal(row) for row in system["ensemble"]],
        [_crystal(row) for row in system["source"]],
        [
            Curves(
                c["structure"], _curve(c["ensemble"]), None if c["source"] is None else _curve(c["source"])
            )
            for c in system["curves"]
        ],
    )


def _crystal(row: Mapping[str, Any]) -> Crystal:
    unknown = {f.name: math.nan for f in fields(Crystal) if isinstance(f.default, float)}
    known: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
    return Crystal(**{**unknown, **known})


def _curve(curve: Mapping[str, Any]) -> ColdCurve:
    return ColdCurve(**{key: _array(values) for key, values in curve.items()})


def _array(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
