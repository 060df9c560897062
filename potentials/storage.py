"""Ensembles on disk: a directory with ``model.safetensors`` and a readable ``card.json``, never a pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.durable import write_directory
from potentials.ensemble import AniEnsemble
from potentials.network import MemberNetworks

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"
CARD = "card.json"
OWN_ENTRIES = frozenset(
    {
        "format_version",
        "kind",
        "elements",
        "config",
        "descriptors",
        "dtype",
        "shift_ev",
        "units",
        "code_version",
    }
)
UNITS = {
    "energy": "eV",
    "force": "eV/Å",
    "stress": "eV/Å³, positive under tension",
    "length": "Å",
    "total_energy": "sum over atoms of network output (linear last layer) and shift_ev of the element",
}


class DamagedModelError(ValueError):
    """A stored ensemble is missing, incomplete or of another format."""


def save(ensemble: AniEnsemble, directory: Path) -> None:
    """Write ``ensemble`` to ``directory``, which appears complete or not at all.

    An ensemble already there is replaced. What ``ensemble.card`` holds is written into ``card.json``.

    Raises
    ------
    ValueError
        If the card is not JSON or holds an entry that is written here.
    """
    files = {CARD: _card(ensemble).encode(), WEIGHTS: tensors_to_bytes(_tensors(ensemble))}
    write_directory(directory, files, replace=True)


def load(directory: Path) -> AniEnsemble:
    """Read the ensemble that `save` wrote; it is on the CPU, in the floating-point type it was saved in.

    Raises
    ------
    DamagedModelError
        If a file is missing or damaged, was written by a newer format, or card and weights are for different
        elements.
    """
    directory = Path(directory)
    card = _read_card(directory / CARD)
    tensors = _read_tensors(directory / WEIGHTS)
    try:
        config = AniConfig.model_validate(card["config"])
        spec = _spec(card["descriptors"])
        networks = _networks(tensors, spec, config)
        return AniEnsemble(
            config=config,
            elements=_elements(card, spec, tensors),
            spec=spec,
            networks=networks,
            shift_ev=tensors["shift_ev"],
            card={name: value for name, value in card.items() if name not in OWN_ENTRIES},
        )
    except KeyError as error:
        raise DamagedModelError(f"{directory}: entry {error} is missing") from None
    except (ValidationError, TypeError) as error:
        raise DamagedModelError(f"{directory / CARD}: not a card of this version: {error}") from None


def _card(ensemble: AniEnsemble) -> str:
    clash = sorted(OWN_ENTRIES & set(ensemble.card))
    if clash:
        raise ValueError(f"the card holds {', '.join(clash)}, which saving writes itself")
    entries: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": ensemble.config.kind,
        "elements": list(ensemble.elements),
        "units": UNITS,
        "dtype": str(ensemble.dtype).removeprefix("torch."),
        "shift_ev": ensemble.shift_ev.tolist(),
        "config": ensemble.config.model_dump(mode="json"),
        "descriptors": dataclasses.asdict(ensemble.spec),
        "code_version": _code_version(),
        **ensemble.card,
    }
    try:
        return json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"the card cannot be written as JSON: {error}") from None


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedModelError(f"{path}: cannot be read: {error}") from None
    if (
        not isinstance(card, dict)
        or card.get("format_version") != FORMAT_VERSION
        or card.get("kind") != "ani"
    ):
        raise DamagedModelError(f"{path}: expected an ensemble of kind ani, format version {FORMAT_VERSION}")
    return card


def _tensors(ensemble: AniEnsemble) -> dict[str, Tensor]:
    networks = ensemble.networks
    named = {"shift_ev": ensemble.shift_ev}
    for kind, elements in (("weight", networks.weights), ("bias", networks.biases)):
        for element, layers in enumerate(elements):
            named |= {f"element.{element}.layer.{k}.{kind}": tensor for k, tensor in enumerate(layers)}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return tensors_from_bytes(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DamagedModelError(f"{path}: cannot be read: {error}") from None


def _networks(tensors: Mapping[str, Tensor], spec: DescriptorSpec, config: AniConfig) -> MemberNetworks:
    shapes = list(pairwise((spec.n_features, *config.hidden, 1)))

    def layers(element: int, kind: str) -> tuple[Tensor, ...]:
        return tuple(layer(f"element.{element}.layer.{k}.{kind}", *shape) for k, shape in enumerate(shapes))

    def layer(name: str, n_in: int, n_out: int) -> Tensor:
        expected = (config.n_members, 1 if name.endswith("bias") else n_in, n_out)
        if tensors[name].shape != expected:
            found = tuple(tensors[name].shape)
            raise DamagedModelError(f"{WEIGHTS}: {name} has shape {found}; the card says {expected}")
        return tensors[name]

    return MemberNetworks(
        weights=tuple(layers(element, "weight") for element in range(spec.n_elements)),
        biases=tuple(layers(element, "bias") for element in range(spec.n_elements)),
        celu_alpha=config.celu_alpha,
    )


def _elements(
    card: Mapping[str, Any], spec: DescriptorSpec, tensors: Mapping[str, Tensor]
) -> tuple[str, ...]:
    """Return the card's elements, which must be as many as descriptors, networks and shifts are for."""
    elements = tuple(card["elements"])
    n_networks = len({name.split(".")[1] for name in tensors if name.startswith("element.")})
    if not len(elements) == spec.n_elements == n_networks == tensors["shift_ev"].shape[-1]:
        raise DamagedModelError(
            f"{CARD} names {', '.join(elements)}; its descriptors are for {spec.n_elements} elements, "
            f"{WEIGHTS} holds networks of {n_networks} and shifts of {tensors['shift_ev'].shape[-1]}"
        )
    return elements


def _spec(entries: Mapping[str, Any]) -> DescriptorSpec:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entries.items()}
    return DescriptorSpec(**values)


def _code_version() -> str:
    try:
        return version("smelter")
    except PackageNotFoundError:
        return "not installed"
