"""Reads a site by its name or from a file of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from site_configs.config import SiteConfig


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
    raise NotImplementedError


def site_names() -> list[str]:
    """Return the names of the sites known here."""
    raise NotImplementedError
