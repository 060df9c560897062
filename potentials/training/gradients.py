"""The loss of every member on a batch, and its gradient with respect to the member's weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from potentials.kernels.pairs import forces_from_pairs
from potentials.training.config import TrainingConfig
from potentials.training.frames import ReadyBatch
from potentials.training.network_gradients import Passes, forward_and_back, weight_gradient
from potentials.training.parameters import ParameterLayout, Scaling

ENERGY_POWER = {"frame": 0, "root_atom": 1, "atom": 2}


@dataclass(frozen=True)
class Residuals:
    """What members predict for a batch, less the labels.

    Attributes
    ----------
    energies
        Shape (n_members, n_frames), float64, eV.
    forces
        Shape (n_members, n_atoms, 3), eV/Å.
    stress
        Shape (n_members, n_frames, 3, 3), eV/Å³; zero where the label has none; ``None`` where
        not asked for.
    """

    energies: Tensor
    forces: Tensor
    stress: Tensor | None

    def frame_losses(self, batch: ReadyBatch, config: TrainingConfig) -> Tensor:
        """Return the loss of every member on every frame, shape (n_members, n_frames), float64."""
        sizes = batch.n_atoms_per_frame
        energy = self.energies**2 / sizes ** ENERGY_POWER[config.energy_term]
        losses = config.energy_weight * energy + config.force_weight * self.squared_forces(batch) / sizes
        if self.stress is not None:
            losses += config.stress_weight * self.stress.double().square().sum(dim=(2, 3))
        return losses

    def squared_forces(self, batch: ReadyBatch) -> Tensor:
        """Return Σ|f̂ - f|² over the atoms of each frame, shape (n_members, n_frames), float64."""
        squares = self.forces.double().square().sum(dim=2)
        return squares.new_zeros(self.energies.shape).index_add_(1, batch.graph.frame_index, squares)


@dataclass(frozen=True)
class Evaluation:
    """Residuals, and the passes that lead to them: per element the atoms and what the networks found."""

    residuals: Residuals
    passes: list[tuple[Tensor | None, Passes]]


def evaluate(
    flat: Tensor, layout: ParameterLayout, scaling: Scaling, batch: ReadyBatch, *, stress: bool = False
) -> Evaluation:
    """Predict a batch with every member of ``flat`` and subtract the labels."""
    atomic, gradient, passes = _networks(flat, layout, scaling, batch)
    energies = atomic.new_zeros(len(flat), batch.graph.n_frames, dtype=torch.float64)
    energies.index_add_(1, batch.graph.frame_index, atomic.double())
    energies = energies * scaling.energy_ev.double().unsqueeze(1)
    energies += scaling.shift_ev @ batch.element_counts.T - batch.energies_ev
    pair_gradients = batch.descriptors.vjp(gradient)
    forces = forces_from_pairs(batch.graph, pair_gradients).sub_(batch.forces)
    deviation = _stress(batch, pair_gradients) - batch.stress if stress else None
    if deviation is not None:
        deviation = deviation * (batch.inverse_volume > 0).view(-1, 1, 1)
    return Evaluation(Residuals(energies, forces, deviation), passes)


def loss_and_gradient(
    flat: Tensor,
    layout: ParameterLayout,
    scaling: Scaling,
    batch: ReadyBatch,
    frame_weights: Tensor,
    config: TrainingConfig,
) -> tuple[Tensor, Tensor, Residuals]:
    """Return the weighted loss of every member and its gradient.

    Parameters
    ----------
    flat
        One row of parameters per member, shape (n_members, n_parameters).
    layout, scaling
        What the rows mean.
    batch
        Labelled frames.
    frame_weights
        Weight of each frame's loss for each member, shape (n_members, n_frames), float64; zero for frames
        that the member must not see.
    config
        Weights of the terms.

    Returns
    -------
    tuple[Tensor, Tensor, Residuals]
        Losses, shape (n_members,), float64; gradients, shaped like ``flat``; and the residuals.
    """
    evaluation = evaluate(flat, layout, scaling, batch, stress=config.stress_weight > 0.0)
    residuals = evaluation.residuals
    loss = (frame_weights * residuals.frame_losses(batch, config)).sum(dim=1)
    cotangent, tangent = _adjoints(residuals, batch, frame_weights, config)
    direction = batch.descriptors.jvp(tangent)
    energy_ev = scaling.energy_ev.view(-1, 1)
    cotangent = (cotangent.to(flat.dtype) * energy_ev)[:, batch.graph.frame_index]
    gradient = torch.empty_like(flat)
    out = layout.layers(gradient)
    for element, (layers, (atoms, passes)) in enumerate(
        zip(layout.layers(flat), evaluation.passes, strict=True)
    ):
        mine = direction if atoms is None else direction.index_select(1, atoms)
        mine = mine * (energy_ev / scaling.width[element]).unsqueeze(1)
        along = cotangent if atoms is None else cotangent.index_select(1, atoms)
        weight_gradient(layers, passes, along, mine, layout.celu_alpha, out[element])
    return loss, gradient, residuals


def _networks(
    flat: Tensor, layout: ParameterLayout, scaling: Scaling, batch: ReadyBatch
) -> tuple[Tensor, Tensor, list[tuple[Tensor | None, Passes]]]:
    """Return atomic energies in units of ``scaling.energy_ev``, dE/dD in eV, and each element's passes."""
    values, species = batch.descriptors.values, batch.graph.species
    energy_ev = scaling.energy_ev.view(-1, 1, 1)
    atomic = values.new_zeros(len(flat), len(values))
    gradient = values.new_zeros(len(flat), *values.shape)
    passes: list[tuple[Tensor | None, Passes]] = []
    for element, layers in enumerate(layout.layers(flat)):
        atoms = None if layout.n_elements == 1 else torch.nonzero(species == element)[:, 0]
        mine = values if atoms is None else values[atoms]
        found = forward_and_back(
            layers, (mine - scaling.centre[element]) / scaling.width[element], layout.celu_alpha
        )
        slope = found.gradient * (energy_ev / scaling.width[element])
        if atoms is None:
            atomic, gradient = found.energies, slope
        else:
            atomic.index_copy_(1, atoms, found.energies)
            gradient.index_copy_(1, atoms, slope)
        passes.append((atoms, found))
    return atomic, gradient, passes


def _adjoints(
    residuals: Residuals, batch: ReadyBatch, frame_weights: Tensor, config: TrainingConfig
) -> tuple[Tensor, Tensor]:
    """Return dL/dE of each frame, and the displacement of each pair along which forces lower the loss."""
    sizes = batch.n_atoms_per_frame
    power = ENERGY_POWER[config.energy_term]
    energy = frame_weights * (2.0 * config.energy_weight / sizes**power) * residuals.energies
    per_frame = (frame_weights * (2.0 * config.force_weight / sizes)).to(residuals.forces.dtype)
    delta = residuals.forces * per_frame[:, batch.graph.frame_index].unsqueeze(-1)
    graph = batch.graph
    tangent = delta.index_select(1, graph.centre) - delta.index_select(1, graph.neighbour)
    if residuals.stress is not None:
        scale = (2.0 * config.stress_weight * frame_weights).to(delta.dtype) * batch.inverse_volume
        strain = residuals.stress * scale[..., None, None]
        of_pair = strain[:, graph.frame_index[graph.centre]]
        tangent += torch.einsum("mpij,pj->mpi", of_pair, graph.vector)
    return energy, tangent


def _stress(batch: ReadyBatch, pair_gradients: Tensor) -> Tensor:
    """Return Σ vector ⊗ dE/dvector / V, symmetrised, shape (n_members, n_frames, 3, 3)."""
    outer = batch.graph.vector[:, :, None] * pair_gradients[:, :, None, :]
    frames = batch.graph.frame_index[batch.graph.centre]
    virial = outer.new_zeros(len(outer), batch.graph.n_frames, 3, 3).index_add_(1, frames, outer)
    return 0.5 * (virial + virial.mT) * batch.inverse_volume.view(-1, 1, 1)
