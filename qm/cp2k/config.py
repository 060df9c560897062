"""Settings of labels by CP2K, in its own units where its users think in them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from qm.dft_config import (
    DftConfig,
    refuse_half_a_smearing,
    refuse_other_elements,
    refuse_strange_elements,
)
from qm.pseudopotentials import PseudopotentialConfig


class EntryConfig(PseudopotentialConfig):
    """One element's pseudopotential, an entry of one of CP2K's files of many."""

    name: str = Field(pattern=r"^\S+$")
    """Name of the entry, such as GTH-PBE-q3."""


class BasisSetConfig(EntryConfig):
    """One element's basis set, an entry of one of CP2K's files of many."""

    what: ClassVar[str] = "basis set"


class Cp2kConfig(DftConfig):
    """Labels from density functional theory by CP2K's Quickstep: Gaussians and a grid for the density."""

    kind: Literal["cp2k"]
    """Chooses this label source."""

    basis_sets: dict[str, BasisSetConfig] = Field(min_length=1)
    """A basis set for each element, by chemical symbol."""

    pseudopotentials: dict[str, EntryConfig]
    """A pseudopotential for each of them."""

    functional: str = Field(pattern=r"^[A-Z0-9_]+(\+[A-Z0-9_]+)*$")
    """The exchange-correlation functional, such as PBE, PBESOL, BLYP or PADE (CP2K's LDA); or functionals of
    Libxc, such as GGA_X_PBE_SOL+GGA_C_PBE_SOL."""

    cutoff_ry: PositiveFloat
    """Cutoff of the finest grid of the density, Ry; some 300 and more."""

    relative_cutoff_ry: PositiveFloat
    """Cutoff, Ry, of the grid for a Gaussian of exponent 1/bohr²; some 50 and more."""

    smearing: Literal["none", "fermi-dirac"]
    """How occupations are smeared; ``none`` for insulators."""

    electronic_temperature_k: PositiveFloat | None = None
    """Temperature of the smeared electrons, K (0.01 Ry are 1,579 K)."""

    starting_moments_ub: dict[str, float] | None = None
    """Spin-polarised from this start: moment of each atom by element, in Bohr magnetons. With smeared
    electrons the cell's moment is free."""

    charge_e: int = 0
    """Charge of a cell, in units of e, whole: electrons missing."""

    scf_threshold: PositiveFloat = 1.0e-7
    """Self-consistency is reached when the density changes by less (CP2K's EPS_SCF)."""

    accuracy: PositiveFloat = 1.0e-12
    """Accuracy of matrix elements, by which CP2K sets its other thresholds (EPS_DEFAULT)."""

    mixing_alpha: float = Field(default=0.4, gt=0.0, le=1.0)
    """Share of the new density in the first try of a label; metals with many atoms want less."""

    command: str = "cp2k"
    """The program, by name or path, such as cp2k.psmp."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_strange_elements("basis_sets", self.basis_sets)
        refuse_other_elements("pseudopotentials", self.pseudopotentials, self.basis_sets, "basis set")
        refuse_other_elements("basis_sets", self.basis_sets, self.pseudopotentials, "pseudopotential")
        refuse_other_elements(
            "starting_moments_ub", self.starting_moments_ub or (), self.basis_sets, "basis set"
        )
        refuse_half_a_smearing(
            self.smearing, self.electronic_temperature_k, "electronic_temperature_k", 3000.0
        )
        if self.smearing == "none" and self.starting_moments_ub is not None:
            raise ValueError(
                "starting_moments_ub needs smearing fermi-dirac, by which the cell's moment is free"
            )
        return self
