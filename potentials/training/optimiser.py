"""One step of every member's weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.training.config import TrainingConfig
from potentials.training.parameters import ParameterLayout

EPSILON = 1e-8
ADAM_BETAS = (0.9, 0.999)
SOAP_BETAS = (0.95, 0.95)
SOAP_REFRESH = 10
WARM_UP_STEPS = 30.0


@dataclass
class Moments:
    """What the optimiser remembers; one row per member.

    Attributes
    ----------
    mean, square
        Running means of the gradient, and of its square (in SOAP's axes), shape (n_members, n_parameters).
    products, axes
        SOAP's running means of G Gᵀ and Gᵀ G of every layer, and the axes that make them nearly diagonal,
        laid end to end, shape (n_members, n_axes); of width 0 for Adam.
    average
        Running average of the weights, shaped like ``mean``.
    steps
        Steps taken by each member, shape (n_members,), float64.
    """

    mean: Tensor
    square: Tensor
    products: Tensor
    axes: Tensor
    average: Tensor
    steps: Tensor

    @classmethod
    def begin(cls, flat: Tensor, layout: ParameterLayout, config: TrainingConfig) -> Moments:
        """Return the state before the first step."""
        zeros = torch.zeros_like(flat)
        n_axes = sum(n * n for shape in layout.blocks for n in shape) if config.optimiser == "soap" else 0
        axes = flat.new_zeros(len(flat), n_axes)
        for pair in _squares(axes, layout) if n_axes else []:
            for square in pair:
                square.diagonal(dim1=1, dim2=2).fill_(1.0)
        steps = flat.new_zeros(len(flat), dtype=torch.float64)
        return cls(zeros, zeros.clone(), torch.zeros_like(axes), axes, flat.clone(), steps)

    def rows(self, rows: Tensor) -> Moments:
        """Return a copy of some members' state."""
        return Moments(**{name: tensor[rows] for name, tensor in vars(self).items()})

    def put(self, rows: Tensor, other: Moments) -> None:
        """Write members' state back."""
        for mine, its in zip(vars(self).values(), vars(other).values(), strict=True):
            mine[rows] = its


@dataclass(frozen=True)
class Optimiser:
    """Adam (Kingma and Ba 2015), or Adam in the axes of Shampoo (SOAP, Vyas et al. 2024).

    SOAP keeps running means of G Gᵀ and Gᵀ G of every layer's gradient G (bias as a last row), and runs Adam
    on the gradient turned into their eigenvectors, which one QR step every so often keeps up to date.
    The first steps are short: the axes are not yet known.
    """

    layout: ParameterLayout
    config: TrainingConfig
    average_steps: float

    def step(self, flat: Tensor, gradient: Tensor, moments: Moments, rates: Tensor) -> None:
        """Change ``flat`` and ``moments`` in place.

        Parameters
        ----------
        flat, gradient
            Shape (n_members, n_parameters).
        moments
            Memory of these members.
        rates
            Learning rate of each, shape (n_members,), float64.
        """
        moments.steps += 1.0
        rate = (rates * (moments.steps / WARM_UP_STEPS).clamp(max=1.0)).to(flat.dtype).view(-1, 1)
        if self.config.weight_decay > 0.0:
            flat.mul_(1.0 - self.config.weight_decay * rate)
        flat.sub_(self._direction(gradient, moments).mul_(rate))
        longest = 1.0 - 1.0 / max(self.average_steps, 1.0)
        keep = torch.clamp(moments.steps / (moments.steps + 9.0), max=longest).to(flat.dtype).view(-1, 1)
        moments.average.lerp_(flat, 1.0 - keep)

    def _direction(self, gradient: Tensor, moments: Moments) -> Tensor:
        if self.config.optimiser == "adam":
            moments.mean.lerp_(gradient, 1.0 - ADAM_BETAS[0])
            return _adam(moments.mean, gradient, moments, ADAM_BETAS)
        axes = list(_squares(moments.axes, self.layout))
        moments.mean.lerp_(gradient, 1.0 - SOAP_BETAS[0])
        turned = self._turn(moments.mean, axes), self._turn(gradient, axes)
        direction = self._turn(
            _adam(*turned, moments, SOAP_BETAS), [(left.mT, right.mT) for left, right in axes]
        )
        self._follow(gradient, moments)
        return direction

    def _turn(self, flat: Tensor, axes: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return Lᵀ G R of every layer."""
        turned = torch.empty_like(flat)
        blocks = zip(self.layout.matrices(flat), self.layout.matrices(turned), axes, strict=True)
        for block, out, (left, right) in blocks:
            out.copy_(left.mT @ block @ right)
        return turned

    def _follow(self, gradient: Tensor, moments: Moments) -> None:
        """Update the products of gradients, and now and then the axes: at first every step."""
        for block, (left, right) in zip(
            self.layout.matrices(gradient), _squares(moments.products, self.layout), strict=True
        ):
            left.lerp_(block @ block.mT, 1.0 - SOAP_BETAS[1])
            right.lerp_(block.mT @ block, 1.0 - SOAP_BETAS[1])
        due = torch.nonzero((moments.steps % SOAP_REFRESH == 0) | (moments.steps <= SOAP_REFRESH))[:, 0]
        if len(due) == 0:
            return
        products, axes = moments.products[due], moments.axes[due]
        for of_product, of_axes in zip(
            _squares(products, self.layout), _squares(axes, self.layout), strict=True
        ):
            for product, square in zip(of_product, of_axes, strict=True):
                square.copy_(torch.linalg.qr(product @ square).Q)
        moments.axes[due] = axes


def _adam(mean: Tensor, gradient: Tensor, moments: Moments, betas: tuple[float, float]) -> Tensor:
    """Return the mean gradient over the root of the mean square, both corrected for their start at zero."""
    moments.square.mul_(betas[1]).addcmul_(gradient, gradient, value=1.0 - betas[1])
    first, second = ((1.0 - beta**moments.steps).to(mean.dtype).view(-1, 1) for beta in betas)
    return (mean / first).div_((moments.square / second).sqrt_().add_(EPSILON))


def _squares(flat: Tensor, layout: ParameterLayout) -> list[tuple[Tensor, Tensor]]:
    """Return views of the squares that belong to the rows and to the columns of every layer."""
    start, squares = 0, []
    for n_rows, n_columns in layout.blocks:
        middle, end = start + n_rows * n_rows, start + n_rows * n_rows + n_columns * n_columns
        left, right = flat[:, start:middle], flat[:, middle:end]
        squares.append((left.view(-1, n_rows, n_rows), right.view(-1, n_columns, n_columns)))
        start = end
    return squares


def cosine_rate(config: TrainingConfig, epochs: float) -> float:
    """Return the learning rate after ``epochs`` of the cosine schedule."""
    progress = min(epochs / config.max_epochs, 1.0)
    fall = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fall
