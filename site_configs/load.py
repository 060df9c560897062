"""Reads a site by its name or from a file of the user's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from site_configs.config import SITE, SiteConfig

_FOLDER = Path(__file__).parent
_PLAIN_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")


class _Loader(yaml.SafeLoader):
    """Reads ``12:00:00`` as text; by YAML 1.1 it would be the number 43200."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in {"int", "float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _PLAIN_INTEGER, list("-+0123456789"))


class SiteError(ValueError):
    """A site's settings are wrong; one line says which."""


def load_site(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> SiteConfig:
    """Return the settings of a site.

    Parameters
    ----------
    name_or_path
        The name of a site known here (see `site_names`) or the path of a YAML file.
    overrides
        Values that replace the file's; a key may be dotted, as in ``{"sampling.workers": 2}``.

    Raises
    ------
    SiteError
        If there is no such site, or a setting is unknown or wrong.
    """
    path = _site_file(name_or_path)
    settings = _read(path)
    for key, value in (overrides or {}).items():
        _replace(settings, key.split("."), value, key)
    try:
        return SITE.validate_python(settings)
    except ValidationError as error:
        raise SiteError(f"{path}: {_explain(error.errors()[0])}") from None


def site_names() -> list[str]:
    """Return the names of the sites known here."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def _site_file(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if text in site_names():
        return _FOLDER / f"{text}.yaml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    known = ", ".join(site_names())
    if path.suffix in {".yaml", ".yml"} or "/" in text:
        raise SiteError(f"{path}: no such file; expected a site's YAML file or one of: {known}")
    raise SiteError(f"unknown site {text!r}; expected one of: {known}, or the path of a YAML file")


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.load(path.read_text(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise SiteError(f"{path}: found {type(settings).__name__}, expected settings such as 'kind: local'")
    return settings


def _replace(settings: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    *parents, last = keys
    for parent in parents:
        settings = settings.setdefault(parent, {})
        if not isinstance(settings, dict):
            raise SiteError(f"{name}: {parent} holds {settings!r}, which has no settings inside")
    settings[last] = value


def _explain(error: ErrorDetails) -> str:
    known = _setting_names()
    steps = [str(step) for step in error["loc"]]
    context = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        return f"kind: found {context['tag']!r}; expected one of {context['expected_tags']}"
    if error["type"] == "union_tag_not_found":
        return "kind: missing; expected one of 'local', 'slurm', 'lsf'"
    steps = steps[1:]  # pydantic puts the kind before the setting
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(steps[-1], known, n=1)
        return f"{'.'.join(steps)}: unknown setting" + (f"; did you mean {near[0]}?" if near else "")
    where = ".".join(step for step in steps if step in known)  # without pydantic's names of variants
    whole = error["type"] == "missing" or isinstance(error["input"], dict)
    found = "" if whole else f"; found {error['input']!r}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{found}".removeprefix(": ")


def _setting_names() -> list[str]:
    definitions = SITE.json_schema()
    models = [definitions, *definitions.get("$defs", {}).values()]
    return [name for model in models for name in model.get("properties", {})]
