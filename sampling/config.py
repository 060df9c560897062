"""Settings of the sampling: starting cells, temperatures, dynamics, thresholds, gates, selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from ase.data import atomic_numbers
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from sampling.packing import check_packing
from sampling.pair_distances import PairDistance


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= limits[0] <= limits[1] < math.inf:
        raise ValueError(f"expected 0 <= lowest <= highest, found {limits[0]:g} and {limits[1]:g}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Lowest and highest value of a uniform draw."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DisorderConfig(_Settings):
    """Random orthorhombic cells, as the ANI-Al paper draws them (its values are the defaults)."""

    kind: Literal["disorder"] = "disorder"
    """Which builder."""

    side_ang: Range = (10.5, 17.0)
    """Shortest and longest side of the cell, each side drawn uniformly, Å."""

    density_g_per_cm3: Range | dict[str, Range] = (1.80, 4.05)
    """Target density, drawn uniformly, g/cm³; or one range per element, mixed by volume per atom."""

    min_distance_ang: PairDistance = 1.8
    """No two atoms are placed closer than this, images counted, Å; or one distance per pair of elements."""

    composition: dict[str, PositiveFloat] | Literal["random"] = "random"
    """Fractions of the elements (they are normalised), or `random`: uniform over all mixtures, per cell."""

    min_atoms: PositiveInt = 2
    """Fewest atoms in a cell."""

    max_atoms: PositiveInt | None = None
    """Most atoms in a cell; larger draws are repeated."""

    max_attempts_per_atom: PositiveInt = 1000
    """Random places tried for one atom before the whole cell is relaxed from overlapping places instead."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_names()
        if self.max_atoms is not None and self.max_atoms < self.min_atoms:
            raise ValueError(f"max_atoms ({self.max_atoms}) is below min_atoms ({self.min_atoms})")
        if isinstance(self.composition, dict):
            self.check_elements(tuple(self.composition))
        elif isinstance(self.density_g_per_cm3, dict):
            self.check_elements(tuple(self.density_g_per_cm3))
        return self

    def _check_names(self) -> None:
        for name in ("composition", "density_g_per_cm3"):
            setting = getattr(self, name)
            if not isinstance(setting, dict):
                continue
            unknown = [symbol for symbol in setting if symbol not in atomic_numbers]
            if unknown or not setting:
                raise ValueError(f"{name}: expected chemical symbols, found {', '.join(unknown) or 'none'}")

    def check_elements(self, elements: Sequence[str]) -> None:
        """Refuse settings that cannot give a cell of these elements.

        Raises
        ------
        ValueError
            If an element has no density or distance, or that many atoms so far apart do not fit.
        """
        check_packing(self, elements)


BuilderConfig = DisorderConfig
"""Settings of any builder; a discriminated union once there is a second kind."""


class ScheduleConfig(_Settings):
    """Ranges from which each trajectory's temperature schedule is drawn (defaults: the ANI-Al paper's)."""

    start_k: Range = (10.0, 1000.0)
    """T_start, K."""

    end_k: Range = (10.0, 600.0)
    """T_end, K."""

    modulation_k: Range = (0.0, 2000.0)
    """T_mod, the height of the sin² modulation, K."""

    period_ps: Range = (10.0, 50.0)
    """t_0, the period of the sin² modulation, ps."""

    duration_ps: PositiveFloat = 250.0
    """t_max, after which a trajectory has completed, ps."""

    max_strain: float = Field(default=0.0, ge=0.0, le=0.2)
    """Every component of the strain that the cell is slowly put under, and taken out of again, is drawn up to
    this size, of either sign; 0: the cell stays as it was built, as in the paper. A crystal under strain
    shows its elastic constants; one in a cell that stays shows little more than its energy."""

    strain_period_ps: Range = (10.0, 50.0)
    """Period of the strain, which goes as a sine, ps."""

    @model_validator(mode="after")
    def _periods_are_positive(self) -> Self:
        for name in ("period_ps", "strain_period_ps"):
            shortest = getattr(self, name)[0]
            if shortest <= 0:
                raise ValueError(f"{name} must be above 0, found {shortest:g}")
        return self


class DynamicsConfig(_Settings):
    """Langevin dynamics."""

    timestep_fs: PositiveFloat = 1.0
    """Time step, fs."""

    friction_per_ps: NonNegativeFloat = 2.0
    """Langevin friction, 1/ps; 0 conserves energy."""

    settle_ps: NonNegativeFloat = 0.2
    """For so long after a trajectory starts, the friction is `settle_friction_per_ps`, ps; 0 turns it off."""

    settle_friction_per_ps: NonNegativeFloat = 50.0
    """Friction while a random starting cell sheds its first heat, 1/ps."""

    neighbour_skin_ang: NonNegativeFloat = 1.0
    """How much farther than the cutoff neighbour lists reach, so that they serve several steps, Å."""


class ThresholdConfig(_Settings):
    """When a trajectory is stopped. Disagreements are stated as the error they stand for.

    For scale: on trajectories of random aluminium cells (58-1,400 K) the raw spread of the published ANI-Al
    ensemble was 4-12 meV/√atom, 0.01-0.03 eV/Å (mean) and 0.01-0.05 eV/Å (largest); on the cells they
    started from, 5-21 meV/√atom, 0.05-0.06 and 0.11-0.19 eV/Å.
    """

    max_energy_error_mev_per_sqrt_atom: PositiveFloat = 40.0
    """Largest expected error of the energy divided by the root of the number of atoms, meV."""

    max_mean_force_error_ev_per_ang: PositiveFloat = 0.15
    """Largest expected force error, mean over the atoms of a frame, eV/Å."""

    max_force_error_ev_per_ang: PositiveFloat = 0.6
    """Largest expected force error of any atom, eV/Å."""

    fresh_cell_factor: float = Field(default=1.0, ge=1.0)
    """Thresholds are this many times larger at a trajectory's start and fall to their values by the end of
    `dynamics.settle_ps`. Atoms placed at random feel forces of many eV/Å; an error that is small beside these
    would end every trajectory before it begins. 1: they are never larger."""

    close_contact_ang: PairDistance = 1.6
    """Stop when two atoms come closer than this, images counted, Å; or one distance per pair of elements."""

    blow_up_force_ev_per_ang: PositiveFloat = 100.0
    """Stop when a force is larger than this after the first step, eV/Å."""

    blow_up_temperature_k: PositiveFloat = 20000.0
    """Stop when the kinetic temperature is this far above the thermostat's, K."""

    blow_up_candidate_fraction: PositiveFloat = 0.5
    """A blown-up trajectory gives its last checked frame if that had this part of a threshold; 1: never."""


class SamplingConfig(_Settings):
    """How trajectories look for frames the ensemble gets wrong."""

    schedule: ScheduleConfig = ScheduleConfig()
    """Temperatures."""

    dynamics: DynamicsConfig = DynamicsConfig()
    """Motion."""

    thresholds: ThresholdConfig = ThresholdConfig()
    """When to stop."""

    n_slots: PositiveInt = 8
    """Trajectories that one sampling task advances together."""

    check_every_steps: PositiveInt = 20
    """Steps between two looks at the disagreement."""

    chunk_steps: PositiveInt = 2000
    """Steps of one sampling task, after which it hands back its state."""

    max_candidates_per_chunk: PositiveInt = 32
    """A sampling task ends early once it has found this many candidates."""

    label_completed: bool = True
    """The last frame of a trajectory that completed is a candidate too. The ensemble trusts it, and its label
    shows whether it may: an error that all members share has no spread, as on a crystal none has seen."""

    max_build_failures: NonNegativeInt = 20
    """Starting cells in a row that may fail to be made before a slot is left empty until the next task."""


class GateConfig(_Settings):
    """Which frames are worth a label at all."""

    min_distance_ang: PairDistance = 1.4
    """Refuse frames with atoms closer than this, images counted, Å; or one distance per pair of elements."""

    max_density_g_per_cm3: PositiveFloat | None = None
    """Refuse denser frames, g/cm³."""

    min_atoms: PositiveInt = 1
    """Refuse smaller frames."""

    max_atoms: PositiveInt | None = None
    """Refuse larger frames."""


class DisagreementSelectorConfig(_Settings):
    """Keep what the newest ensemble still disagrees on, without duplicates."""

    kind: Literal["disagreement"] = "disagreement"
    """Which selector."""

    fingerprint_tolerance: NonNegativeFloat = 0.01
    """Frames of the same formula whose fingerprints differ relatively by less are duplicates; 0 keeps all.

    For scale: frames of one 800 K trajectory differ by 0.02 after 20 fs and 0.04-0.05 after 100 fs, two
    copies of a crystal with every atom displaced by 0.1 Å by 0.025. Fresh disordered cells of one
    size and density differ by 0.04-0.12 (75 atoms) or 0.02-0.05 (300 atoms): stay below that.
    """

    rescore: bool = True
    """Drop candidates on which the newest ensemble agrees."""

    max_candidates: PositiveInt | None = None
    """Keep at most so many, those of the largest disagreement."""


SelectorConfig = DisagreementSelectorConfig
"""Settings of any selector; a discriminated union once there is a second kind."""
