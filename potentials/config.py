"""Settings of the potentials."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

PUBLISHED_WIDTHS = {"radial_eta_per_ang2": 43.9, "angular_eta_per_ang2": 6.5, "zeta": 69.4}
"""Shells and angles of the published ANI-Al: half as wide as they are apart."""


class AniConfig(BaseModel):
    """An ensemble of ANI networks; cutoffs, numbers and sizes are those of the published ANI-Al by default.

    That is Smith et al. (2021). The widths of shells and angles are not: each is by default a bell with a
    standard deviation of 1.25 times the distance to the next, so that they overlap. On a few hundred labels
    of aluminium, errors of forces are then a third of those with the published widths
    (`benchmarks/retrain.py` measures it).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["ani"] = "ani"
    """Which potential this is."""
    radial_cutoff_ang: PositiveFloat = 7.0
    """Atoms farther apart than this do not see each other, Å."""
    angular_cutoff_ang: PositiveFloat = 5.0
    """Angles count between neighbours closer than this, Å."""
    n_radial: PositiveInt = 32
    """Number of radial shells."""
    radial_eta_per_ang2: PositiveFloat | None = None
    """Sharpness η of a radial shell, 1/Å²; by default from the distance of the shells."""
    n_angular_radial: PositiveInt = 8
    """Number of shells of the mean distance in an angular term."""
    n_angles: PositiveInt = 8
    """Number of angles in an angular term."""
    zeta: PositiveFloat | None = None
    """Sharpness ζ of an angle; by default from the distance of the angles."""
    angular_eta_per_ang2: PositiveFloat | None = None
    """Sharpness η of a shell in an angular term, 1/Å²; by default from the distance of the shells."""
    first_shell_ang: PositiveFloat = 1.25
    """Distance of the first shell, radial and angular, Å."""
    hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (96, 96, 64)
    """Widths of the hidden layers."""
    celu_alpha: PositiveFloat = 0.1
    """α of the activation CELU."""
    n_members: PositiveInt = 8
    """Number of networks in the ensemble."""

    @model_validator(mode="after")
    def _cutoffs_in_order(self) -> Self:
        if not self.first_shell_ang < self.angular_cutoff_ang <= self.radial_cutoff_ang:
            raise ValueError(
                f"first_shell_ang {self.first_shell_ang:g} < angular_cutoff_ang {self.angular_cutoff_ang:g}"
                f" <= radial_cutoff_ang {self.radial_cutoff_ang:g} does not hold"
            )
        return self


PotentialConfig = AniConfig
