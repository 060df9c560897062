"""What the property suite is run on: ensembles, label sources, OpenKIM's models, as ASE calculators."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from ase.calculators.eam import EAM

import potentials
from potentials.calculator import EnsembleCalculator
from potentials.storage import DamagedModelError
from qm.config import AseConfig, EamConfig, LabellerConfig, PotentialLabellerConfig
from qm.fingerprint import fingerprint
from workflow.labellers import make_labeller
from workflow.potential_labeller import ensemble_content, find_ensemble
from workflow.reporting.label_calculator import LabelCalculator
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign

_SETFL_FORMS = {".alloy": "alloy", ".fs": "fs"}
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class SourceError(ValueError):
    """There is no such potential, or it cannot be used here; the message says why."""


@dataclass(frozen=True)
class Source:
    """A potential to look at.

    Attributes
    ----------
    name
        As it is shown.
    kind
        ``model``, ``reference`` or ``comparison``.
    calculator
        ASE's view of it.
    elements
        Chemical symbols it knows; ``None`` where only a trial can tell.
    fingerprint
        Hash of all that it computes with.
    close
        Ends what it holds.
    """

    name: str
    kind: str
    calculator: Any
    elements: frozenset[str] | None
    fingerprint: str
    close: Callable[[], None] = lambda: None


def model_source(path: Path) -> Source:
    """Return the ensemble in a directory, or the best one of the campaign there, in double precision.

    Raises
    ------
    SourceError
        If there is none, or it is damaged.
    """
    try:
        directory = find_ensemble(path)
        ensemble = potentials.load(directory).to(dtype=torch.float64)
    except (ValueError, DamagedModelError) as error:
        raise SourceError(str(error)) from error
    name = directory.name
    if directory.parent.name == "models" and (directory.parents[1] / "ledger.jsonl").is_file():
        name = f"{directory.parents[1].name} {name}"
    return Source(
        name,
        "model",
        EnsembleCalculator(ensemble, forces_std=False),
        frozenset(ensemble.elements),
        fingerprint({"ensemble": ensemble_content(ensemble)}),
    )


def reference_source(text: str) -> Source:
    """Return a label source by what ``--reference`` says.

    That is ``eam``, the YAML file of a campaign, whose label source is meant, or the directory of an
    ensemble or of a campaign, whose best ensemble is meant.

    Raises
    ------
    SourceError
        If it is none of these, or cannot be made here.
    """
    try:
        config = _reference_config(text)
        source = make_labeller(config)
    except ValueError as error:
        raise SourceError(f"reference: {error}") from error
    return Source(
        f"reference: {Path(text).resolve().name if config.kind == 'potential' else config.kind}",
        "reference",
        LabelCalculator(source),
        getattr(source, "elements", None),
        source.fingerprint,
        source.close,
    )


def _reference_config(text: str) -> LabellerConfig:
    path = Path(text)
    if path.suffix in {".yaml", ".yml"}:
        return load_campaign(path).labeller
    if path.is_dir():
        return PotentialLabellerConfig(kind="potential", model=text)
    if text == "eam":
        return EamConfig()
    raise SettingsError(
        f"found {text!r}; expected eam, the YAML file of a campaign, or the directory of an ensemble"
    )


def kim_source(name: str) -> Source:
    """Return a model of OpenKIM by its long name, such as ``EAM_Dynamo_..._1999_Al__MO_651801486679_005``.

    Raises
    ------
    SourceError
        If kimpy or the model is not installed.
    """
    try:
        from ase.calculators.kim import KIM

        calculator = KIM(name)
    except Exception as error:
        raise SourceError(f"{name}: {type(error).__name__}: {error}") from error
    return Source(name.partition("__")[0], "comparison", calculator, None, fingerprint({"openkim": name}))


def comparison_source(text: str) -> Source:
    """Return a potential to compare with, by what ``--compare`` says.

    That is a file of an embedded-atom potential in DYNAMO's setfl format, as LAMMPS and the NIST repository
    have them (``.eam.alloy``, ``.alloy``, ``.eam.fs``, ``.fs``); the dotted name of an ASE calculator, such
    as ``ase.calculators.emt.EMT``; or anything that ``--reference`` takes.

    Raises
    ------
    SourceError
        If it is none of these, or cannot be made here.
    """
    path = Path(text)
    if path.suffix in _SETFL_FORMS:
        return _setfl_source(path, _SETFL_FORMS[path.suffix])
    if not path.exists() and _DOTTED_NAME.fullmatch(text):
        return _calculator_source(text)
    try:
        source = reference_source(text)
    except SourceError as error:
        raise SourceError(str(error).replace("reference:", "comparison:", 1)) from error
    return replace(source, name=source.name.removeprefix("reference: "), kind="comparison")


def _setfl_source(path: Path, form: str) -> Source:
    try:
        calculator = EAM(potential=str(path), form=form)
        content = path.read_bytes()
    except Exception as error:  # a file that is no setfl fails anywhere in ASE's reader
        raise SourceError(
            f"{path}: no potential in setfl format ({type(error).__name__}: {error})"
        ) from error
    return Source(
        path.name.removesuffix(path.suffix).removesuffix(".eam"),
        "comparison",
        calculator,
        frozenset(calculator.elements),
        fingerprint({"setfl": blake2b(content, digest_size=16).hexdigest(), "form": form}),
    )


def _calculator_source(name: str) -> Source:
    try:
        source = make_labeller(AseConfig(kind="ase", calculator=name))
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error
    return Source(name, "comparison", LabelCalculator(source), None, source.fingerprint, source.close)
