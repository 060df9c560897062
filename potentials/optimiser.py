"""One step of every member's weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.training_config import TrainingConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass
class Moments:
    """What Adam remembers, and the running average of the weights; one row per member.

    Attributes
    ----------
    mean, square
        Running means of the gradient and of its square, shape (n_members, n_parameters).
    average
        Running average of the weights, same shape.
    steps
        Steps taken by each member, shape (n_members,), float64.
    """

    mean: Tensor
    square: Tensor
    average: Tensor
    steps: Tensor

    @classmethod
    def begin(cls, flat: Tensor) -> Moments:
        """Return the state before the first step."""
        zeros = torch.zeros_like(flat)
        return cls(zeros, zeros.clone(), flat.clone(), torch.zeros(len(flat), dtype=torch.float64))

    def rows(self, rows: Tensor) -> Moments:
        """Return a copy of some members' state."""
        return Moments(self.mean[rows], self.square[rows], self.average[rows], self.steps[rows])

    def put(self, rows: Tensor, other: Moments) -> None:
        """Write members' state back."""
        for mine, its in zip(vars(self).values(), vars(other).values(), strict=True):
            mine[rows] = its


def step(
    flat: Tensor,
    gradient: Tensor,
    moments: Moments,
    rates: Tensor,
    average_steps: float,
    config: TrainingConfig,
) -> None:
    """Change ``flat`` and ``moments`` in place by one step of AdamW (Loshchilov and Hutter 2019).

    Parameters
    ----------
    flat, gradient
        Shape (n_members, n_parameters).
    moments
        Adam's memory of these members.
    rates
        Learning rate of each member, shape (n_members,).
    average_steps
        Time constant of the average of the weights, in steps; shorter at the beginning.
    config
        Weight decay.
    """
    moments.steps += 1.0
    moments.mean.lerp_(gradient, 1.0 - BETAS[0])
    moments.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1.0 - BETAS[1])
    corrections = [1.0 - beta**moments.steps for beta in BETAS]
    size = (rates / corrections[0]).to(flat.dtype).unsqueeze(1)
    root = moments.square.div(corrections[1].to(flat.dtype).unsqueeze(1)).sqrt_().add_(EPSILON)
    if config.weight_decay > 0.0:
        flat.mul_(1.0 - config.weight_decay * rates.to(flat.dtype).unsqueeze(1))
    flat.sub_(moments.mean.div(root).mul_(size))
    keep = torch.clamp(moments.steps / (moments.steps + 9.0), max=1.0 - 1.0 / max(average_steps, 1.0))
    moments.average.add_((flat - moments.average) * (1.0 - keep).to(flat.dtype).unsqueeze(1))


def cosine_rate(config: TrainingConfig, epochs: float) -> float:
    """Return the learning rate after ``epochs`` of the cosine schedule."""
    progress = min(epochs / config.max_epochs, 1.0)
    fall = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fall
