from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble

MakeEnsemble = Callable[..., AniEnsemble]


@pytest.fixture(scope="session")
def make_ensemble() -> MakeEnsemble:
    """Return a maker of untrained ensembles of published size but few members."""

    def make(
        *elements: str, dtype: torch.dtype = torch.float64, n_members: int = 3, **settings: object
    ) -> AniEnsemble:
        config = AniConfig.model_validate({"n_members": n_members, **settings})
        spec = DescriptorSpec.from_config(config, len(elements))
        return AniEnsemble(
            config=config,
            elements=elements,
            spec=spec,
            networks=network.initial(spec, config, range(n_members)),
            shift_ev=torch.linspace(-70.0, -50.0, len(elements), dtype=torch.float64),
        ).to(dtype=dtype)

    return make


@pytest.fixture
def frames() -> dict[str, Atoms]:
    """Return frames of aluminium and copper of every kind of cell, by name."""
    cubic = bulk("Al", cubic=True)
    skewed = cubic.copy()
    skewed.set_cell(cubic.cell.array @ [[1.0, 0.4, -0.1], [0.0, 1.0, 0.3], [0.1, 0.0, 0.9]], scale_atoms=True)
    left_handed = cubic.copy()
    left_handed.set_cell(cubic.cell.array[[1, 0, 2]])
    slab = bulk("Al", cubic=True).repeat((1, 1, 2))
    slab.pbc = (True, True, False)
    wire = slab.copy()
    wire.pbc = (False, True, False)
    cluster = bulk("Al", cubic=True).repeat(2)
    cluster.pbc = False
    cluster.cell = None
    tiny = bulk("Al")
    found = {
        "cubic": cubic,
        "skewed": skewed,
        "left-handed": left_handed,
        "slab": slab,
        "wire": wire,
        "cluster": cluster,
        "tiny": tiny,
    }
    for seed, frame in enumerate(found.values()):
        frame.rattle(0.15, seed=seed)
        frame.symbols[::3] = "Cu"
    return found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20210223)
