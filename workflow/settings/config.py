"""The settings of a campaign: one frozen model per stage, composed here and checked against each other."""

from __future__ import annotations

from typing import Literal, Self

from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from potentials.config import PotentialConfig
from potentials.training.config import TrainingConfig
from qm.config import CheckConfig, LabellerConfig
from sampling.config import BuilderConfig, GateConfig, SamplingConfig, SelectorConfig
from workflow.settings.cross_checks import problems

_MODEL = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class BootstrapConfig(BaseModel):
    """The labels made before there is an ensemble."""

    model_config = _MODEL

    n_frames: NonNegativeInt = 400
    """Random cells to build and label before the first training."""

    ready_fraction: float = Field(default=0.95, gt=0.0, le=1.0)
    """The first training starts when this share of the cells has a label or refusal, without the slowest."""

    frames_per_task: PositiveInt = 20
    """Random cells built by one task."""

    import_extxyz: str | None = None
    """An extended XYZ file with energies (eV) and forces (eV/Å) of the same level of theory to start from;
    a relative path counts from where the campaign is launched."""


class LabellingConfig(BaseModel):
    """How candidates are sent to the label source."""

    model_config = _MODEL

    frames_per_task: PositiveInt = 1
    """Candidates labelled one after the other by one task; more than one where a label takes milliseconds."""

    attempts: PositiveInt = 2
    """How often a candidate is tried whose label ended by walltime, memory or a signal, before quarantine."""

    task_timeout_s: PositiveFloat | None = None
    """A labelling task that takes longer is ended and its worker replaced; by default the label source's own
    walltime alone counts."""

    kpoint_check_every: NonNegativeInt = 0
    """About one label in so many, chosen by hash, is calculated again with 0.6 times the spacing of k-points,
    to know the noise of the labels; 0 for none. Each costs about five labels and is no label itself."""


class CandidatesConfig(BaseModel):
    """Back-pressure: how far sampling may run ahead of labelling and training."""

    model_config = _MODEL

    max_in_flight: PositiveInt = 500
    """Sampling waits while this many candidates are unlabelled, or labelled but not yet in a training."""


class SynchronisationConfig(BaseModel):
    """When new labels are merged into the global set and the next training starts."""

    model_config = _MODEL

    min_new_labels: PositiveInt = 100
    """New labels that start the next training of a cycle."""

    validation_fraction: float = Field(default=0.1, gt=0.0, lt=0.5)
    """Share of all labels, chosen by the hash of their ids, that never trains."""

    warm_start: bool = False
    """Start each training from the promoted ensemble instead of from random weights; folds are chosen by
    hash, so held-out errors stay honest."""

    promotion_tolerance: NonNegativeFloat = 0.1
    """A new ensemble takes over unless its errors on the validation labels are larger by more than this
    share. It has learnt from more labels, and so few cannot tell ensembles apart that are nearly as good."""

    compact_segments: PositiveInt = 16
    """Join the newest segments of the data set when that saves this many."""


class PromotionCondition(BaseModel):
    """What one quantity of the quick suite must be."""

    model_config = _MODEL

    quantity: str
    """Its name, such as ``FCC: C11`` (see `validation/quick_quantities.py`)."""

    element: str | None = None
    """Of which element; by default of every one."""

    lower: float | None = None
    """The smallest value allowed, in the quantity's unit."""

    upper: float | None = None
    """The largest."""

    within: PositiveFloat | None = None
    """The largest difference from ``of``."""

    of: Literal["previous", "literature"] | None = None
    """From what: the value of the promoted ensemble, or the first published value of the data file."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.lower is None and self.upper is None and self.within is None:
            raise ValueError(f"{self.quantity}: expected lower, upper or within, found none of them")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"{self.quantity}: lower {self.lower:g} is above upper {self.upper:g}")
        if (self.within is None) != (self.of is None):
            raise ValueError(f"{self.quantity}: within and of (previous or literature) need each other")
        return self


class ValidationConfig(BaseModel):
    """The property suite on promoted ensembles."""

    model_config = _MODEL

    suite: Literal["none", "quick"] = "none"
    """What is computed of each promoted ensemble, beside everything else: ``quick`` for crystals, elastic
    constants, the Bain path, a vacancy and surfaces of every element, seconds to a minute on one core."""

    promotion_gate: tuple[PromotionCondition, ...] = ()
    """What the suite must find before an ensemble takes over from another; the first of a cycle is not
    asked. A refused ensemble drives nothing, and the next training decides anew."""

    max_refusals: NonNegativeInt = 3
    """After so many refusals in a row the next ensemble that is good enough on the validation set takes over
    all the same, so that conditions nobody can meet do not end a campaign."""


class StopConfig(BaseModel):
    """When the campaign ends by itself."""

    model_config = _MODEL

    median_survival_ps: PositiveFloat = 250.0
    """Converged when half the trajectories survive this long without disagreement."""

    min_trajectories: PositiveInt = 20
    """Trajectories that must have ended under the current ensemble before its survival is believed. With
    `sampling.label_completed`, no more than `synchronisation.min_new_labels`, whose labels bring the next."""

    max_labels: PositiveInt | None = None
    """Budget: labels in the data set."""

    max_rounds: PositiveInt | None = None
    """Budget: trainings, over all cycles."""

    max_hours: PositiveFloat | None = None
    """Budget: hours during which a driver ran, over all sessions."""


class BreakerConfig(BaseModel):
    """When repeated failures pause a stage instead of burning the allocation."""

    model_config = _MODEL

    window: PositiveInt = 20
    """How many of a stage's last results are looked at."""

    max_failures: PositiveInt = 10
    """Failures among them that pause the stage."""


class CampaignConfig(BaseModel):
    """One campaign: from elements and a label source to a trusted potential."""

    model_config = _MODEL

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the campaign; its directory is ``campaigns/NAME`` unless another is given."""

    elements: tuple[str, ...] = Field(min_length=1)
    """Chemical symbols the potential is for."""

    labeller: LabellerConfig
    """The label source: this is the level of theory."""

    seed: NonNegativeInt = 1
    """Everything random in the campaign descends from it."""

    cycles: PositiveInt = 1
    """Independent cycles (ensembles with trajectories of their own) that share the global set."""

    builder: BuilderConfig
    """The random starting cells."""

    potential: PotentialConfig = PotentialConfig()
    """The ensemble's form."""

    training: TrainingConfig = TrainingConfig()
    """How it is trained."""

    sampling: SamplingConfig = SamplingConfig()
    """Molecular dynamics and when it stops."""

    gates: GateConfig = GateConfig()
    """What a frame must satisfy to become a candidate."""

    selector: SelectorConfig = SelectorConfig()
    """Which candidates are kept."""

    checks: CheckConfig = CheckConfig()
    """What a label must satisfy to enter the data set."""

    bootstrap: BootstrapConfig = BootstrapConfig()
    """Labels made before there is an ensemble."""

    labelling: LabellingConfig = LabellingConfig()
    """How candidates are sent to the label source."""

    candidates: CandidatesConfig = CandidatesConfig()
    """Back-pressure."""

    synchronisation: SynchronisationConfig = SynchronisationConfig()
    """When new labels are merged and trained on."""

    validation: ValidationConfig = ValidationConfig()
    """Physical properties of promoted ensembles."""

    stop: StopConfig = StopConfig()
    """When the campaign ends."""

    breaker: BreakerConfig = BreakerConfig()
    """When failures pause a stage."""

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [symbol for symbol in elements if atomic_numbers.get(symbol, 0) == 0]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not a chemical symbol")
        if len(set(elements)) != len(elements):
            raise ValueError("an element is listed twice")
        return elements

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        for problem in problems(self):
            raise ValueError(problem)
        return self
