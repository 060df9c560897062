"""Settings of the label source and of the checks that every label passes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from qm.cp2k.config import Cp2kConfig
from qm.eam_parameters import ParameterSet
from qm.espresso.config import EspressoConfig
from qm.gpaw.config import GpawConfig
from qm.vasp.config import VaspConfig

_MODEL = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EamConfig(BaseModel):
    """Labels from the analytic embedded-atom functions of Zhou, Johnson & Wadley."""

    model_config = _MODEL

    kind: Literal["eam"] = "eam"
    """Chooses this label source."""

    parameters: ParameterSet = "2001"
    """Which published set of coefficients: that of 2001 (Acta Mater. 49, 4005) or 2004 (PRB 69, 144113).

    They differ for the fcc metals. Aluminium: a0 4.082 Å, B 97 GPa, HCP 9.0 and BCC 57 meV/atom above FCC
    with 2001; 4.050 Å, 76 GPa, 1.1 and 34 meV/atom with 2004.
    """


class AseConfig(BaseModel):
    """Labels from any ASE calculator."""

    model_config = _MODEL

    kind: Literal["ase"]
    """Chooses this label source."""

    calculator: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    """Where the calculator is: dotted name of a class or function, such as ``ase.calculators.emt.EMT``."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments it is made with; all of them count as level of theory."""

    elements: tuple[str, ...] | None = None
    """Chemical symbols it can label; by default every element is tried."""

    walltime_s: PositiveFloat = 3600.0
    """A label that takes longer than this, in seconds, is ended and counts as failed."""

    start_s: PositiveFloat = 120.0
    """Time the calculator may take to be imported and made, in seconds."""

    max_memory_gib: PositiveFloat | None = None
    """Memory the calculator may allocate, GiB; beyond it the label fails (default: no limit)."""

    cores: PositiveInt = 1
    """Cores one label occupies, for the accounts."""

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, elements: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if elements is not None:
            unknown = [symbol for symbol in elements if atomic_numbers.get(symbol, 0) == 0]
            if unknown or not elements:
                raise ValueError(f"elements must be chemical symbols such as Al, not {unknown or elements}")
        return elements


class PotentialLabellerConfig(BaseModel):
    """Labels from an ensemble of ours: the mean of its members, in double precision."""

    model_config = _MODEL

    kind: Literal["potential"]
    """Chooses this label source."""

    model: str = Field(min_length=1)
    """Directory of an ensemble (with ``card.json``), or of a campaign, whose best ensemble at the launch is
    taken; a relative path counts from where the campaign is launched."""


LabellerConfig = Annotated[
    EamConfig | AseConfig | PotentialLabellerConfig | EspressoConfig | Cp2kConfig | GpawConfig | VaspConfig,
    Field(discriminator="kind"),
]


class CheckConfig(BaseModel):
    """What a label must satisfy to enter the data set; refused ones go to quarantine with the reason."""

    model_config = _MODEL

    max_force_ev_per_ang: PositiveFloat = 100.0
    """Largest force on any atom, eV/Å."""

    max_net_force_ev_per_ang: PositiveFloat = 0.05
    """Largest sum of the forces over the square root of the number of atoms, eV/Å."""

    min_distance_ang: PositiveFloat = 0.8
    """Smallest distance between two atoms or an atom and its own image, Å."""

    max_abs_energy_ev_per_atom: PositiveFloat | None = None
    """Largest magnitude of the energy per atom, eV; no limit by default (it depends on the code)."""

    max_stress_ev_per_ang3: PositiveFloat = 10.0
    """Largest magnitude of any stress component, eV/Å³ (1 eV/Å³ is 160 GPa)."""
