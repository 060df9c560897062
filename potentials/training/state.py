"""Where a training stands after an epoch, and how it is kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from potentials.training.config import TrainingConfig
from potentials.training.optimiser import Moments
from potentials.training.parameters import ParameterLayout

Status = Literal["learning", "finished", "failed"]


@dataclass
class Member:
    """How far one member has come.

    Attributes
    ----------
    seed
        Of its first weights.
    status
        Whether it still learns, has stopped, or was given up.
    n_restarts
        How often it diverged and began again.
    n_epochs
        Passes over the training set since it (last) began.
    learning_rate
        Of the plateau schedule.
    best_loss, n_epochs_since_best
        Lowest loss on its stopping fold, and how long ago that was, counted anew when the rate falls.
    """

    seed: int
    learning_rate: float
    status: Status = "learning"
    n_restarts: int = 0
    n_epochs: int = 0
    best_loss: float = float("inf")
    n_epochs_since_best: int = 0


@dataclass(frozen=True)
class EpochReport:
    """One line of the history of a training; means are over the members that learnt in this epoch.

    Attributes
    ----------
    epoch
        Counted from 1.
    n_learning
        Members that learnt in it.
    learning_rate
        Mean rate at its end.
    training_energy_rmse_mev_per_atom, training_force_rmse_ev_per_ang
        On the frames learnt from, while the weights changed.
    stopping_energy_rmse_mev_per_atom, stopping_force_rmse_ev_per_ang
        Of the averaged weights on each member's stopping fold.
    restarted
        Members that diverged in it and begin again.
    """

    epoch: int
    n_learning: int
    learning_rate: float
    training_energy_rmse_mev_per_atom: float
    training_force_rmse_ev_per_ang: float
    stopping_energy_rmse_mev_per_atom: float
    stopping_force_rmse_ev_per_ang: float
    restarted: tuple[int, ...] = ()


@dataclass
class TrainingState:
    """Everything that an epoch changes; one row of each tensor per member.

    Attributes
    ----------
    flat
        Weights, shape (n_members, n_parameters).
    moments
        Memory of the optimiser.
    best
        Averaged weights at each member's lowest loss on its stopping fold.
    members
        How far each has come.
    history
        One report per epoch.
    """

    flat: Tensor
    moments: Moments
    best: Tensor
    members: list[Member]
    history: list[EpochReport] = field(default_factory=list)

    @classmethod
    def begin(
        cls, flat: Tensor, seeds: Sequence[int], layout: ParameterLayout, config: TrainingConfig
    ) -> TrainingState:
        """Return the state before the first epoch."""
        members = [Member(seed, config.learning_rate) for seed in seeds]
        return cls(flat, Moments.begin(flat, layout, config), flat.clone(), members)

    def having(self, status: Status) -> list[int]:
        """Return the members of this status."""
        return [m for m, member in enumerate(self.members) if member.status == status]

    def restart(self, member: int, seed: int, layout: ParameterLayout, config: TrainingConfig) -> None:
        """Let a member begin again from another seed."""
        row = layout.initial([seed]).to(self.flat)
        self.flat[member] = row[0]
        self.best[member] = row[0]
        self.moments.put(torch.tensor([member]), Moments.begin(row, layout, config))
        n_restarts = self.members[member].n_restarts + 1
        self.members[member] = Member(seed, config.learning_rate, n_restarts=n_restarts)

    def to(self, device: torch.device) -> TrainingState:
        """Return the same state elsewhere."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return TrainingState.restored(tensors, self.text())

    def copy(self) -> TrainingState:
        """Return a state that shares nothing with this one."""
        return deepcopy(self)

    def tensors(self) -> dict[str, Tensor]:
        """Return all arrays by name."""
        return {"flat": self.flat, "best": self.best} | vars(self.moments)

    def text(self) -> str:
        """Return everything else as JSON."""
        members, history = [asdict(m) for m in self.members], [asdict(report) for report in self.history]
        return json.dumps({"members": members, "history": history})

    @classmethod
    def restored(cls, tensors: dict[str, Tensor], text: str) -> TrainingState:
        """Return the state that had these `tensors` and this `text`."""
        moments = Moments(**{item.name: tensors[item.name] for item in fields(Moments)})
        parts = json.loads(text)
        history = [EpochReport(**(row | {"restarted": tuple(row["restarted"])})) for row in parts["history"]]
        members = [Member(**member) for member in parts["members"]]
        return cls(tensors["flat"], moments, tensors["best"], members, history)


def member_seed(seed: int, member: int, restart: int) -> int:
    """Return the seed of a member's first weights."""
    return int(np.random.SeedSequence([seed, member, restart]).generate_state(1, np.uint32)[0])
