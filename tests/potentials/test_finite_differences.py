"""Forces and stress against the energy, in random directions that move every atom, float64.

The networks' activation has a jump in its second derivative, so steps must be small: at 1e-3 Å the best
difference formula is wrong by 1e-4. Most of the cells are narrower than half the cutoff.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from random_cells import energy_without_shift, predict, random_cell

from potentials.ensemble import AniEnsemble

STEP = 2e-6
RELATIVE = 1e-6


def slope(energy: Callable[[float], float]) -> float:
    """Return the derivative at zero by the difference of fourth order."""
    near, far = energy(STEP) - energy(-STEP), energy(2 * STEP) - energy(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


@pytest.fixture(params=["published ANI-Al", "Al", "Al-Cu", "Al-Cu-Ni"])
def ensemble(request: pytest.FixtureRequest, make_ensemble: Callable[..., AniEnsemble]) -> AniEnsemble:
    if request.param == "published ANI-Al":
        found: AniEnsemble = request.getfixturevalue("ani_al")
        return found
    return make_ensemble(*request.param.split("-"))


@pytest.mark.parametrize("seed", range(10))
def test_forces_and_stress_are_slopes_of_the_energy(ensemble: AniEnsemble, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = random_cell(rng, ensemble.elements)
    prediction = predict(ensemble, frame)
    forces = prediction.forces.numpy()
    assert prediction.stress is not None
    stress = prediction.stress[0].numpy()

    direction = rng.normal(size=forces.shape)

    def moved(step: float) -> float:
        other = frame.copy()
        other.positions += step * direction
        return energy_without_shift(ensemble, other)

    missed = slope(moved) + np.sum(forces * direction)
    assert abs(missed) < RELATIVE * np.linalg.norm(forces) + 1e-8
    if len(frame) > 1:
        assert np.linalg.norm(forces) > 0.05

    strain = rng.normal(size=(3, 3))
    strain += strain.T

    def strained(step: float) -> float:
        other = frame.copy()
        other.set_cell(frame.cell.array @ (np.eye(3) + step * strain), scale_atoms=True)
        return energy_without_shift(ensemble, other)

    missed = slope(strained) / frame.get_volume() - np.sum(stress * strain)
    assert abs(missed) < RELATIVE * np.linalg.norm(stress)
