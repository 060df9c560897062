"""Settings of labels by GPAW, in its own units where its users think in them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from qm.dft_config import (
    DftConfig,
    refuse_half_a_smearing,
    refuse_other_elements,
    refuse_strange_elements,
)
from qm.pseudopotentials import PseudopotentialConfig

Smearing = Literal["none", "fermi-dirac", "marzari-vanderbilt"]


class SetupConfig(PseudopotentialConfig):
    """One element's PAW setup, such as Al.PBE.gz."""

    what: ClassVar[str] = "setup"


class GpawConfig(DftConfig):
    """Labels from density functional theory by GPAW: projector-augmented waves, with plane waves."""

    kind: Literal["gpaw"]
    """Chooses this label source."""

    setups: dict[str, SetupConfig] = Field(min_length=1)
    """A setup for each element, by chemical symbol, made with the functional."""

    functional: str = Field(pattern=r"^[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*$")
    """The exchange-correlation functional as GPAW names it, such as PBE, RPBE or LDA."""

    cutoff_ev: PositiveFloat
    """Kinetic energy cutoff of the plane waves, eV."""

    smearing: Smearing
    """How occupations are smeared; ``none`` for insulators."""

    smearing_width_ev: PositiveFloat | None = None
    """Width of the smearing, eV."""

    starting_moments_ub: dict[str, float] | None = None
    """Spin-polarised from this start: moment of each atom by element, in Bohr magnetons."""

    energy_threshold_ev_per_electron: PositiveFloat = 1.0e-6
    """Self-consistency is reached when the energy changes by less, eV per valence electron, and by the two
    other thresholds."""

    density_threshold_per_electron: PositiveFloat = 1.0e-5
    """The same for the density: its change, integrated, per valence electron."""

    eigenstates_threshold_ev2_per_electron: PositiveFloat = 1.0e-9
    """The same for the wavefunctions: their residuals, squared, eV² per valence electron."""

    max_scf_steps: PositiveInt = 200
    """Steps to self-consistency in the first try of a label."""

    mixing_beta: float = Field(default=0.05, gt=0.0, le=1.0)
    """Share of the new density in the first try of a label; metals with many atoms want less."""

    command: str = "python3"
    """A Python interpreter that has GPAW, by name or path; with several ranks ``gpaw python``."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_strange_elements("setups", self.setups)
        refuse_other_elements("starting_moments_ub", self.starting_moments_ub or (), self.setups, "setup")
        refuse_half_a_smearing(self.smearing, self.smearing_width_ev, "smearing_width_ev", 0.1)
        return self
