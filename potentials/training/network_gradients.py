"""Derivatives of stacked networks: with respect to inputs, and of directional derivatives to weights.

A loss of forces contains dE/dD, so its gradient with respect to the weights W needs second derivatives of
E(D; W). They are had without a double backward pass. Let δ be the derivative of the loss with respect to the
forces. What is wanted is the gradient of f·δ, δ held fixed, and f·δ is the derivative of E along a direction
Ḋ of the descriptors: a sum over atoms of dE/dD·Ḋ, in which Ḋ does not depend on W. So: one forward pass for
values, one backward pass for dE/dD, one forward pass for derivatives along Ḋ, one backward pass over both
forward passes. With z = xW + b, y = φ(z) and their derivatives ż = ẋW, ẏ = φ'(z)ż, that last pass is

    z̄ = φ'(z) ȳ + φ''(z) ż (dE/dy),    W̄ = xᵀ z̄ + ẋᵀ (dE/dz),    x̄ = z̄ Wᵀ

because the adjoints of ẏ and ż are dE/dy and dE/dz, known from the first backward pass. It is exact; the two
backward passes at displaced atoms of Smith et al. (2021) are its finite difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.training.parameters import Layer


@dataclass(frozen=True)
class Passes:
    """What the passes forward and back through one element's networks leave for the last one.

    Attributes
    ----------
    inputs
        Of every layer, (n_members, n_atoms, in); (n_atoms, in) for the first.
    slopes
        φ'(z) of every hidden layer.
    adjoints
        dE/dz of every hidden layer.
    energies
        Shape (n_members, n_atoms).
    gradient
        dE/dx of the first inputs, shape (n_members, n_atoms, n_features).
    """

    inputs: list[Tensor]
    slopes: list[Tensor]
    adjoints: list[Tensor]
    energies: Tensor
    gradient: Tensor


def forward_and_back(layers: list[Layer], inputs: Tensor, celu_alpha: float) -> Passes:
    """Return energies, and their derivatives with respect to ``inputs``, shape (n_atoms, n_features)."""
    n_members = layers[0][0].shape[0]
    x, xs, slopes = inputs.expand(n_members, *inputs.shape), [inputs], []
    for weight, bias in layers[:-1]:
        z = torch.baddbmm(bias, x, weight)
        slope = z.clamp(max=0.0).div_(celu_alpha).exp_()
        x = z.clamp_(min=0.0).add_(slope, alpha=celu_alpha).sub_(celu_alpha)
        xs.append(x)
        slopes.append(slope)
    weight, bias = layers[-1]
    energies = torch.baddbmm(bias, x, weight).squeeze(-1)
    back, adjoints = weight.transpose(1, 2), []
    for (weight, _), slope in zip(layers[-2::-1], slopes[::-1], strict=True):
        adjoints.append(back * slope)
        back = torch.bmm(adjoints[-1], weight.transpose(1, 2))
    return Passes(xs, slopes, adjoints[::-1], energies, back.expand(n_members, *inputs.shape))


def weight_gradient(
    layers: list[Layer],
    passes: Passes,
    cotangent: Tensor,
    direction: Tensor,
    celu_alpha: float,
    out: list[Layer],
) -> None:
    """Write the gradient of Σ cotangent·E + Σ direction·dE/dx with respect to the weights into ``out``.

    Parameters
    ----------
    layers, passes
        The networks, and what `forward_and_back` found.
    cotangent
        Shape (n_members, n_atoms).
    direction
        Ẋ of the first inputs, shape (n_members, n_atoms, n_features).
    celu_alpha
        α of the activation φ(z) = max(z, 0) + α (exp(min(z, 0)/α) - 1).
    out
        Where to write, shaped like ``layers``.
    """
    directions, bends = _along(layers, passes, direction, celu_alpha)
    z_bar = cotangent.unsqueeze(-1)
    for depth in range(len(layers) - 1, -1, -1):
        x, weight = passes.inputs[depth], layers[depth][0]
        grad_weight, grad_bias = out[depth]
        grad_weight.copy_(torch.matmul(x.transpose(-1, -2), z_bar))
        grad_bias.copy_(z_bar.sum(1, keepdim=True))
        if depth == len(layers) - 1:
            grad_weight.add_(directions[depth].sum(1).unsqueeze(-1))
        else:
            grad_weight.add_(torch.bmm(directions[depth].transpose(1, 2), passes.adjoints[depth]))
        if depth > 0:
            z_bar = (
                torch.bmm(z_bar, weight.transpose(1, 2)).mul_(passes.slopes[depth - 1]).add_(bends[depth - 1])
            )


def _along(
    layers: list[Layer], passes: Passes, direction: Tensor, celu_alpha: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Return ẋ of every layer, and φ''(z) ż (dE/dy) of every hidden one."""
    directions, bends = [direction], []
    for (weight, _), slope, adjoint in zip(layers[:-1], passes.slopes, passes.adjoints, strict=True):
        z_dot = torch.bmm(directions[-1], weight)
        directions.append(z_dot * slope)
        bends.append(z_dot.mul_(adjoint).mul_(slope < 1.0).div_(celu_alpha))
    return directions, bends
