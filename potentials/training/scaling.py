"""Fits the scales of descriptors and energies on which members learn."""

from __future__ import annotations

import torch
from torch import Tensor

from potentials.training.frames import ReadyFrames
from potentials.training.parameters import Scaling

STATISTICS_FRAMES = 32
LENGTH_ANG = 1.0
WIDTH_FLOOR = 0.1
"""A force times this length is the scale of an energy."""


def fit_scaling(ready: ReadyFrames, learns_from: Tensor, floor: float = WIDTH_FLOOR) -> Scaling:
    """Return scales of a training set.

    Parameters
    ----------
    ready
        All frames.
    learns_from
        Whether a member learns from a frame, shape (n_members, n_frames), bool. Labels of other frames do not
        touch its scales; descriptors need no label, so theirs are those of all frames.
    floor
        Smallest width of a descriptor, in units of the root mean square of the widths of its element.
    """
    centre, width = _descriptor_statistics(ready, floor)
    forces = ready.mean_square_forces
    energy_ev = torch.stack([forces[rows].mean().sqrt() * LENGTH_ANG for rows in learns_from]).clamp(min=1e-3)
    shift_ev = torch.stack([lone_atom_energies(ready, rows) for rows in learns_from])
    return Scaling(centre.to(ready.dtype), width.to(ready.dtype), energy_ev.to(ready.dtype), shift_ev)


def lone_atom_energies(ready: ReadyFrames, frames: Tensor) -> Tensor:
    """Return the energy per element that fits total energies best, shape (n_elements,), float64, eV.

    Least squares of the error per root atom over ``frames`` (bool); where compositions leave it open, the
    smallest numbers.
    """
    counts, energies = ready.element_counts[frames].cpu(), ready.energies_ev[frames].cpu()
    weight = counts.sum(dim=1).rsqrt()
    solution = torch.linalg.lstsq(counts * weight[:, None], (energies * weight)[:, None], driver="gelsd")
    energies_ev: Tensor = solution.solution[:, 0].to(ready.device)
    return energies_ev


def _descriptor_statistics(ready: ReadyFrames, floor: float) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every element's features, (n_elements, n_features), float64."""
    n_elements = ready.element_counts.shape[1]
    sums: list[Tensor] = []
    for start in range(0, len(ready), STATISTICS_FRAMES):
        batch = ready.batch(range(start, min(start + STATISTICS_FRAMES, len(ready))))
        values = batch.descriptors.values.double()
        terms = torch.cat([values.new_ones(len(values), 1), values, values**2], dim=1)
        total = terms.new_zeros(n_elements, terms.shape[1])
        sums.append(total.index_add_(0, batch.graph.species, terms))
    n_atoms, first, second = torch.stack(sums).sum(0).tensor_split([1, 1 + values.shape[1]], dim=1)
    centre = first / n_atoms.clamp(min=1.0)
    width = (second / n_atoms.clamp(min=1.0) - centre**2).clamp(min=0.0).sqrt()
    least = floor * width.square().mean(dim=1, keepdim=True).sqrt()
    return centre, torch.where(least > 0.0, torch.maximum(width, least), 1.0)
