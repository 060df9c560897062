"""Settings changed on the command line: ``--set key.key=value``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from workflow.settings import strict_yaml
from workflow.settings.errors import SettingsError

_SITE = "site."


def add_set_option(parser: argparse.ArgumentParser, example: str) -> None:
    """Let a command take ``--set`` any number of times, as ``overrides``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help=f"change a setting, such as {example}; may be repeated",
    )


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return those that are for the site, which begin with ``site.``, and the others."""
    for_site = [override for override in overrides if override.startswith(_SITE)]
    return for_site, [override for override in overrides if not override.startswith(_SITE)]


def site_values(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``site.key=value`` texts, by their keys.

    Raises
    ------
    SettingsError
        If one is not of that form.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.removeprefix(_SITE).partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {override}: expected site.key=value")
        values[key.strip()] = strict_yaml.parse(text, f"--set {override}")[0]
    return values
