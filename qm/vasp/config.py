"""Settings of labels by VASP, in its own units."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from qm.dft_config import DftConfig, refuse_other_elements, refuse_strange_elements
from qm.pseudopotentials import PseudopotentialConfig

Functional = Literal["PBE", "PBEsol", "revPBE", "RPBE", "AM05", "LDA"]
Algorithm = Literal["Normal", "Fast", "VeryFast", "All", "Damped"]

_WRITTEN_BY_US = frozenset(
    {
        "SYSTEM",
        "ISTART",
        "ICHARG",
        "PREC",
        "ENCUT",
        "ENMAX",
        "EDIFF",
        "GGA",
        "ISMEAR",
        "SIGMA",
        "ISPIN",
        "MAGMOM",
        "NELECT",
        "ISYM",
        "IBRION",
        "NSW",
        "ISIF",
        "POTIM",
        "NELM",
        "ALGO",
        "IALGO",
        "AMIX",
        "BMIX",
        "LWAVE",
        "LCHARG",
        "NCORE",
        "NPAR",
        "KPAR",
        "KSPACING",
        "KGAMMA",
        "PSTRESS",
    }
)


class PotcarConfig(PseudopotentialConfig):
    """One element's POTCAR. Its content is licensed: it is read where it lies and never kept elsewhere."""

    what: ClassVar[str] = "POTCAR"

    title: str | None = None
    """Its title, the line TITEL, such as ``PAW_PBE Al 04Jan2001``; noted at the launch where not given."""


class VaspConfig(DftConfig):
    """Labels from density functional theory by VASP."""

    kind: Literal["vasp"]
    """Chooses this label source."""

    pseudopotentials: dict[str, PotcarConfig] = Field(min_length=1)
    """A POTCAR of one element for each element, by chemical symbol."""

    functional: Functional
    """The exchange-correlation functional, VASP's tag GGA. It needs POTCARs of PBE, and LDA those of LDA."""

    cutoff_ev: PositiveFloat
    """Kinetic energy cutoff of the plane waves (ENCUT), eV. Stresses want 1.3 times the POTCARs' ENMAX."""

    smearing: Literal["gaussian", "methfessel-paxton", "fermi-dirac"]
    """How occupations are smeared (ISMEAR 0, 1, -1). The tetrahedron method is not offered: with it forces
    in metals are not the energy's derivative."""

    smearing_width_ev: PositiveFloat
    """Width of the smearing (SIGMA), eV."""

    starting_moments_ub: dict[str, float] | None = None
    """Spin-polarised from this start: moment of each atom by element, in Bohr magnetons."""

    precision: Literal["Accurate", "Normal", "Single"] = "Accurate"
    """VASP's PREC: grids and their cutoffs. Forces want Accurate."""

    incar: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Further tags, such as ``LASPH: true`` or ``IVDW: 12``: they are level of theory."""

    scf_threshold_ev_per_atom: PositiveFloat = 1.0e-7
    """Self-consistency is reached when energy and band energy change by less (EDIFF), eV per atom."""

    algorithm: Algorithm = "Normal"
    """How electrons are relaxed in the first try of a label (ALGO)."""

    ncore: PositiveInt | None = None
    """Cores that work on one band (NCORE); by default VASP's own."""

    kpar: PositiveInt | None = None
    """Groups of cores that work on different k-points (KPAR)."""

    command: str = "vasp_std"
    """The program, by name or path; ``vasp_std``, not ``vasp_gam``, because meshes differ between cells."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_strange_elements("pseudopotentials", self.pseudopotentials)
        refuse_other_elements(
            "starting_moments_ub", self.starting_moments_ub or (), self.pseudopotentials, "pseudopotential"
        )
        ours = [name for name in self.incar if name.strip().upper() in _WRITTEN_BY_US]
        if ours:
            raise ValueError(f"incar: {ours[0]} follows from the other settings; leave it out")
        for name in ("kpar", "ncore"):
            number = getattr(self, name)
            if number is not None and self.ranks % number:
                raise ValueError(f"{name} is {number}; expected a divisor of ranks, {self.ranks}")
        return self
