"""Read, override, save and compare the settings of a campaign."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from potentials.durable import replace_file
from workflow.settings import strict_yaml
from workflow.settings.errors import Path as KeyPath
from workflow.settings.errors import SettingsError, dotted, explain

if TYPE_CHECKING:
    from workflow.settings.config import CampaignConfig

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(model: type[Settings], path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read ``model`` from the YAML file at ``path``.

    Types are taken as written: ``"3"`` is not a number and ``true`` is not 1.

    Parameters
    ----------
    overrides
        ``key.key=value`` each, applied in order; the value is read as YAML.

    Raises
    ------
    SettingsError
        One line per problem: file and line, key, what was found, what was expected.
    """
    data, lines = strict_yaml.read(path)
    if not isinstance(data, dict):
        found = "an empty file" if data is None else f"a {type(data).__name__}"
        raise SettingsError(f"{path}: found {found}; expected settings, one 'key: value' per line")
    origin: dict[KeyPath, str] = {key: f"{path}:{line}" for key, line in lines.items()}
    for override in overrides:
        keys = apply_override(data, override)
        origin[keys] = f"--set {override}"

    def place(keys: KeyPath) -> str:
        while keys and keys not in origin:
            keys = keys[:-1]
        return origin.get(keys, str(path))

    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise explain(error, model, data, place) from None


def apply_override(data: dict[str, Any], override: str) -> KeyPath:
    """Change ``data`` as ``key.key=value`` says, and return the keys.

    Raises
    ------
    SettingsError
        If it has not that form, or leads into something that has no keys.
    """
    name, equals, text = override.partition("=")
    steps = name.strip().split(".")
    if not equals or not all(steps):
        raise SettingsError(f"--set {override}: expected key.key=value, such as --set stop.max_rounds=3")
    value, _ = strict_yaml.parse(text, f"--set {override}")
    target: Any = data
    keys: list[str | int] = []
    for i, step in enumerate(steps):
        key = _key(target, step, override, dotted(tuple(keys)))
        keys.append(key)
        if i == len(steps) - 1:
            target[key] = value
        else:
            if isinstance(target, dict) and target.get(step) is None:
                target[step] = {}
            target = target[key]
    return tuple(keys)


def _key(target: Any, step: str, override: str, name: str) -> str | int:
    if isinstance(target, dict):
        return step
    if isinstance(target, list):
        if step.isdecimal() and int(step) < len(target):
            return int(step)
        raise SettingsError(
            f"--set {override}: {name} is a list of {len(target)}; expected an index, not {step}"
        )
    raise SettingsError(f"--set {override}: {name} is {target!r}, which has no settings inside")


def load_campaign(path: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read the settings of a campaign; see :func:`load_settings`."""
    from workflow.settings.config import CampaignConfig

    return load_settings(CampaignConfig, path, overrides)


def resolved(config: BaseModel) -> dict[str, Any]:
    """Return every setting, defaults included, as plain mappings, lists and scalars."""
    return config.model_dump(mode="json")


def settings_hash(config: BaseModel) -> str:
    """Return 32 hexadecimal digits that change when any setting does."""
    text = json.dumps(resolved(config), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def save_resolved(config: BaseModel, path: Path) -> None:
    """Write every setting, defaults included, as YAML that :func:`load_settings` reads; all or nothing."""
    head = f"# Every setting of this campaign as resolved, hash {settings_hash(config)}\n"
    replace_file(path, (head + strict_yaml.dump(resolved(config))).encode())


# -- what may change -----------------------------------------------------------------------------------------

SAFE_TO_CHANGE: tuple[str, ...] = (
    "stop",  # goal and budgets
    "validation",  # the property suite
    "breaker",
    "candidates",  # back-pressure
    "labelling",  # widths, attempts, timeouts
    "labeller.walltime_s",
    "labeller.start_s",
    *(f"labeller.{name}" for name in ("command", "launcher", "ranks", "threads", "environment", "scratch")),
    *(f"labeller.{name}" for name in ("max_memory_gib", "max_scf_steps", "mixing_beta", "max_repairs")),
    *(f"labeller.{name}" for name in ("mixing_alpha", "algorithm", "ncore", "kpar")),
    "checks",  # limits of what may enter
    "gates",
    "selector",
    "potential",  # every ensemble is trained from the labels
    "training",
    "synchronisation.min_new_labels",
    "synchronisation.promotion_tolerance",
    "synchronisation.compact_segments",
    "sampling.thresholds",
    "sampling.chunk_steps",
    "sampling.check_every_steps",
    "sampling.max_candidates_per_chunk",
    "sampling.max_build_failures",
    "builder.max_attempts_per_atom",
)
"""Settings, each with all below it, that may change in a campaign that has begun; all others are refused."""


@dataclass(frozen=True)
class Change:
    """One setting that differs; ``None`` where it is absent."""

    key: str
    old: Any
    new: Any
    safe: bool

    def __str__(self) -> str:
        return f"{self.key}: {self.old!r} became {self.new!r}"


def changed_keys(old: BaseModel, new: BaseModel, safe: Sequence[str] = SAFE_TO_CHANGE) -> list[Change]:
    """Return every setting that differs, in the order of the settings."""
    before, after = _flat(resolved(old)), _flat(resolved(new))
    keys = [*before, *(key for key in after if key not in before)]
    return [
        Change(key, before.get(key), after.get(key), _is_below(key, safe))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def refuse_unsafe_changes(changes: Sequence[Change], path: Path) -> None:
    """Raise if a change is not safe.

    Raises
    ------
    SettingsError
        One line per refused change.
    """
    refused = [change for change in changes if not change.safe]
    if refused:
        raise SettingsError(
            "\n".join(
                f"{path}: {change}; it cannot change in a campaign that has begun" for change in refused
            )
        )


def _is_below(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
