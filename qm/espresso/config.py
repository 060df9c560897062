"""Settings of labels by Quantum ESPRESSO (pw.x), in its own units where its users think in them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from qm.dft_config import (
    DftConfig,
    refuse_half_a_smearing,
    refuse_other_elements,
    refuse_strange_elements,
)
from qm.pseudopotentials import PseudopotentialConfig

Smearing = Literal["none", "gaussian", "methfessel-paxton", "marzari-vanderbilt", "fermi-dirac"]

_WRITTEN_BY_US = frozenset(
    {
        "ibrav",
        "celldm",
        "nat",
        "ntyp",
        "ecutwfc",
        "ecutrho",
        "occupations",
        "smearing",
        "degauss",
        "nspin",
        "starting_magnetization",
        "tot_charge",
    }
)


class EspressoConfig(DftConfig):
    """Labels from density functional theory by Quantum ESPRESSO's pw.x."""

    kind: Literal["espresso"]
    """Chooses this label source."""

    pseudopotentials: dict[str, PseudopotentialConfig] = Field(min_length=1)
    """A pseudopotential for each element, by chemical symbol."""

    functional: str = Field(pattern=r"^[A-Za-z0-9+_ -]+$")
    """The exchange-correlation functional that the pseudopotentials are for, such as PBE. It is they that
    choose it; a label made with another is refused."""

    wavefunction_cutoff_ry: PositiveFloat
    """Kinetic energy cutoff of the wavefunctions, Ry."""

    density_cutoff_ry: PositiveFloat | None = None
    """That of the density, Ry: by default four times the other, right for norm-conserving pseudopotentials;
    ultrasoft ones and PAW want eight times and more."""

    smearing: Smearing
    """How occupations are smeared; ``none`` for insulators."""

    smearing_width_ry: PositiveFloat | None = None
    """Width of the smearing, Ry."""

    starting_magnetization: dict[str, float] | None = None
    """Spin-polarised from this start: by element, between -1 (all valence electrons down) and 1 (all up)."""

    system: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Further entries of pw.x's namelist SYSTEM, such as ``vdw_corr: dft-d3``: they are level of theory."""

    scf_threshold_ry_per_atom: PositiveFloat = 1.0e-9
    """Self-consistency is reached when the estimated error of the energy is below this, Ry per atom."""

    mixing_beta: float = Field(default=0.7, gt=0.0, le=1.0)
    """Share of the new density in the first try of a label; metals with many atoms want less."""

    command: str = "pw.x"
    """The program, by name or path, with arguments such as ``-nk 2`` (pools of k-points) if need be."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_strange_elements("pseudopotentials", self.pseudopotentials)
        analytic = [p.path for p in self.pseudopotentials.values() if p.path.lower().endswith(".gth")]
        if analytic:
            raise ValueError(
                f"pseudopotentials: {analytic[0]}: with files that end in .gth pw.x has wrong stresses; "
                "python -m qm.espresso.gth makes a .upf of the same potential"
            )
        refuse_half_a_smearing(self.smearing, self.smearing_width_ry, "smearing_width_ry", 0.02)
        if self.density_cutoff_ry is not None and self.density_cutoff_ry < 4.0 * self.wavefunction_cutoff_ry:
            raise ValueError(
                f"density_cutoff_ry is {self.density_cutoff_ry:g}; expected at least four times "
                f"wavefunction_cutoff_ry, {4.0 * self.wavefunction_cutoff_ry:g}"
            )
        refuse_other_elements(
            "starting_magnetization",
            self.starting_magnetization or (),
            self.pseudopotentials,
            "pseudopotential",
        )
        ours = [name for name in self.system if name.lower().partition("(")[0] in _WRITTEN_BY_US]
        if ours:
            raise ValueError(f"system: {ours[0]} follows from the other settings; leave it out")
        return self
