"""How an ensemble learns."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

EnergyTerm = Literal["frame", "root_atom", "atom"]


class TrainingConfig(BaseModel):
    """How an ensemble learns from labels.

    The loss of a frame of M atoms is ``energy_weight`` ε + ``force_weight``/M Σ|f̂ - f|² + ``stress_weight``
    |σ̂ - σ|², in eV, Å and eV/Å³, with ε the squared error of the energy. Smith et al. (2021) take the total
    energy and ℓ0 = 0.01 Å², in hartree and Å. Both terms are squared energies (times Å²): in eV both grow by
    27.2114², their ratio stays 0.01, and Adam does not notice the common factor. The paper's training is
    ``energy_term: frame``, ``energy_weight: 1``, ``force_weight: 0.01``, ``optimiser: adam``,
    ``schedule: plateau``, ``learning_rate: 1e-3``, ``final_learning_rate: 1e-5``, ``batch_frames: 128`` and
    ``weight_average_epochs: 0``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    energy_term: EnergyTerm = "root_atom"
    """What is squared: the energy of the frame (the paper), or that divided by √M or by M."""
    energy_weight: NonNegativeFloat = 1.0
    """Weight of the energy term."""
    force_weight: NonNegativeFloat = 0.3
    """Weight of the force term, Å²."""
    stress_weight: NonNegativeFloat = 0.0
    """Weight of the stress term, Å⁶; frames without a stress have none."""

    batch_frames: PositiveInt = 8
    """Frames per step."""
    max_epochs: PositiveInt = 100
    """A member that has not stopped before stops after this many passes over the training set."""
    optimiser: Literal["soap", "adam"] = "soap"
    """Adam (the paper), or Adam in the axes of Shampoo, which reaches half the error in the same time."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """The learning rate falls along half a cosine over ``max_epochs``; or is halved on a plateau (paper)."""
    learning_rate: PositiveFloat = 1e-2
    """The first learning rate."""
    final_learning_rate: PositiveFloat = 1e-5
    """The last; on the plateau schedule a member that would fall below it stops."""
    plateau_epochs: PositiveInt = 10
    """Plateau schedule: halve after this many epochs without a better loss on the member's stopping fold."""
    weight_decay: NonNegativeFloat = 0.1
    """Decoupled decay of the weights per unit of learning rate (AdamW)."""
    weight_average_epochs: NonNegativeFloat = 1.0
    """Time constant of the running average of the weights that is tested and kept, epochs; 0: no average."""

    warm_start_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """Starting from an earlier ensemble takes this share of the epochs, and of the first learning rate."""
    max_restarts: int = Field(default=2, ge=0)
    """How often a member that diverges begins again from another seed before it is given up."""
    divergence_factor: PositiveFloat = 30.0
    """A member has diverged when its loss is not finite, or this many times that of predicting no forces."""
    cache_gib: NonNegativeFloat = 2.0
    """Memory for neighbour lists and descriptors, GiB; frames without room have theirs made every time."""

    def after_warm_start(self) -> TrainingConfig:
        """Return the settings of a training that starts from an earlier ensemble."""
        rate = self.warm_start_share * self.learning_rate
        return self.model_copy(
            update={
                "max_epochs": math.ceil(self.warm_start_share * self.max_epochs),
                "learning_rate": rate,
                "final_learning_rate": min(self.final_learning_rate, rate),
            }
        )

    @model_validator(mode="after")
    def _rates_fall(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate {self.final_learning_rate} is above learning_rate {self.learning_rate}"
            )
        if self.energy_weight == self.force_weight == 0.0:
            raise ValueError("energy_weight and force_weight are both 0: nothing to learn")
        return self
