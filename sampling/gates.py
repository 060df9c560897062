"""Which frames are worth a label at all."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from sampling.config import GateConfig
from sampling.packing import U_PER_ANG3_IN_G_PER_CM3
from sampling.pair_distances import distance_matrix


def reject_reason(frame: Atoms, config: GateConfig) -> str | None:
    """Say in one word why a frame is not worth a label: ``None`` if it is.

    Reasons: ``too_few_atoms``, ``too_many_atoms``, ``not_finite``, ``too_close``, ``too_dense``.
    """
    if len(frame) < config.min_atoms:
        return "too_few_atoms"
    if config.max_atoms is not None and len(frame) > config.max_atoms:
        return "too_many_atoms"
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        return "not_finite"
    if _too_close(frame, config):
        return "too_close"
    if config.max_density_g_per_cm3 is not None and density_g_per_cm3(frame) > config.max_density_g_per_cm3:
        return "too_dense"
    return None


def density_g_per_cm3(frame: Atoms) -> float:
    """Return the density of a frame periodic in three directions, g/cm³; 0 for any other."""
    if not frame.pbc.all():
        return 0.0
    return float(frame.get_masses().sum() * U_PER_ANG3_IN_G_PER_CM3 / frame.get_volume())


def _too_close(frame: Atoms, config: GateConfig) -> bool:
    elements = sorted(set(frame.get_chemical_symbols()))
    limits = distance_matrix(config.min_distance_ang, elements)
    species = np.array([elements.index(symbol) for symbol in frame.get_chemical_symbols()])
    i, j, distances = neighbor_list("ijd", frame, float(limits.max()))
    return bool(np.any(distances < limits[species[i], species[j]]))
