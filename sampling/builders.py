"""Choose a builder by the kind in its settings."""

from __future__ import annotations

from collections.abc import Sequence

from sampling.builder import Builder
from sampling.config import BuilderConfig
from sampling.disorder import DisorderBuilder


def make_builder(config: BuilderConfig, elements: Sequence[str]) -> Builder:
    """Return the builder that ``config`` describes.

    Raises
    ------
    ValueError
        If the settings cannot give a cell of these elements.
    """
    return DisorderBuilder(config, elements)
