"""Atoms cross the cutoffs: energy and forces go on without a jump, in the compiled and the torch kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from random_cells import energy_without_shift, predict

from potentials.ensemble import AniEnsemble
from potentials.kernels import cpp
from potentials.kernels.select import KernelName


@pytest.fixture(
    params=[
        pytest.param("cpp", marks=pytest.mark.skipif(not cpp.available()[0], reason=cpp.available()[1])),
        "torch",
    ]
)
def kernel(request: pytest.FixtureRequest) -> KernelName:
    name: KernelName = request.param
    return name


@pytest.fixture(params=["published ANI-Al", "Al-Cu"])
def ensemble(
    request: pytest.FixtureRequest, make_ensemble: Callable[..., AniEnsemble], kernel: KernelName
) -> AniEnsemble:
    if request.param == "published ANI-Al":
        return replace(request.getfixturevalue("ani_al"), kernel=kernel)
    return replace(make_ensemble(*request.param.split("-")), kernel=kernel)


def cluster(ensemble: AniEnsemble, distance_ang: float) -> Atoms:
    """Return three atoms and a fourth, which is nearer to the first than to the others."""
    bent = np.radians(100.0)
    places = [[0, 0, 0], [2.8 * np.cos(bent), 2.8 * np.sin(bent), 0], [-1.9, -0.4, 2.1], [distance_ang, 0, 0]]
    return Atoms([ensemble.elements[k % len(ensemble.elements)] for k in (0, 1, 0, 1)], positions=places)


@pytest.mark.parametrize("which", ["radial", "angular"])
def test_jumps_at_a_cutoff_shrink_with_the_step(ensemble: AniEnsemble, which: str) -> None:
    cutoff = getattr(ensemble.config, f"{which}_cutoff_ang")
    jumps = []
    for step in (1e-3, 1e-4, 1e-5):
        inside, outside = (cluster(ensemble, cutoff + sign * step) for sign in (-1, 1))
        energies = [energy_without_shift(ensemble, frame) for frame in (inside, outside)]
        forces = [predict(ensemble, frame).forces for frame in (inside, outside)]
        jumps.append((abs(energies[1] - energies[0]), float((forces[1] - forces[0]).abs().max())))
    assert jumps[0][0] < 2e-3
    assert jumps[0][1] < 2e-2
    for before, after in pairwise(jumps):
        assert after[0] < 0.15 * before[0] + 1e-12
        assert after[1] < 0.15 * before[1] + 1e-10


@pytest.mark.parametrize("which", ["radial", "angular"])
def test_work_along_the_way_through_a_cutoff_is_the_energy(ensemble: AniEnsemble, which: str) -> None:
    """A jump in the energy would be missing in the integral of the force."""
    cutoff = getattr(ensemble.config, f"{which}_cutoff_ang")
    distances = np.linspace(cutoff - 0.05, cutoff + 0.05, 401)
    frames = [cluster(ensemble, float(distance)) for distance in distances]
    forces = predict(ensemble, *frames).forces.reshape(len(frames), -1, 3)[:, -1, 0].numpy()
    energies = [energy_without_shift(ensemble, frame) for frame in (frames[0], frames[-1])]
    work = -np.trapezoid(forces, distances)
    assert np.abs(forces).max() > 1e-6
    assert work == pytest.approx(energies[1] - energies[0], abs=1e-7)


def test_beyond_both_cutoffs_an_atom_is_alone(ensemble: AniEnsemble) -> None:
    far, farther = (
        predict(ensemble, cluster(ensemble, ensemble.cutoff_ang + distance)) for distance in (1e-9, 50.0)
    )
    torch.testing.assert_close(far.member_energies, farther.member_energies, rtol=1e-14, atol=0)
    assert torch.count_nonzero(far.forces[3]) == 0
