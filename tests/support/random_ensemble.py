"""A small ensemble with random weights: a potential like any other, though of no material."""

import torch

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble

CONFIG = AniConfig(
    radial_cutoff_ang=4.5,
    angular_cutoff_ang=3.5,
    n_radial=6,
    radial_eta_per_ang2=4.0,
    n_angular_radial=2,
    n_angles=2,
    zeta=8.0,
    angular_eta_per_ang2=2.0,
    hidden=(8, 4),
    n_members=2,
)

STRENGTH = 2.5
"""Factor on initial weights, with which forces are those of a material: some eV/Å in a disordered cell."""


def random_ensemble(*elements, first_seed=0):
    """Return untrained networks over the descriptors of the tiny campaign; other seeds, other weights."""
    spec = DescriptorSpec.from_config(CONFIG, len(elements))
    seeds = range(first_seed, first_seed + CONFIG.n_members)
    return AniEnsemble(
        config=CONFIG,
        elements=elements,
        spec=spec,
        networks=network.initial(spec, CONFIG, seeds).map(lambda weights: STRENGTH * weights),
        shift_ev=torch.linspace(-70.0, -50.0, len(elements), dtype=torch.float64),
        card={"seeds": list(seeds)},
    )
