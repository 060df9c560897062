"""Many frames in one batch are each what they would be alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from random_cells import random_cell

from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.kernels.select import KernelName
from potentials.neighbours import NeighbourList
from potentials.protocol import Prediction


@pytest.fixture(params=["published ANI-Al", "Al-Cu"])
def ensemble(request: pytest.FixtureRequest, make_ensemble: Callable[..., AniEnsemble]) -> AniEnsemble:
    if request.param == "published ANI-Al":
        found: AniEnsemble = request.getfixturevalue("ani_al")
        return found
    return make_ensemble(*request.param.split("-"))


def random_frames(ensemble: AniEnsemble, n: int = 64) -> list[Atoms]:
    """Return disordered cells of 1 to some 30 atoms, a quarter of them open in some directions."""
    rng = np.random.default_rng(64)
    frames = [random_cell(rng, ensemble.elements, side_ang=(2.5, 7.5)) for _ in range(n)]
    for frame in frames[::4]:
        frame.pbc = rng.integers(0, 2, 3)
    return frames


def evaluate(
    ensemble: AniEnsemble, frames: Sequence[Atoms], neighbours: NeighbourList | None = None
) -> Prediction:
    batch = Batch.from_frames(frames, ensemble.elements, dtype=ensemble.dtype)
    return ensemble.evaluate(batch, neighbours=neighbours, stress=True, member_forces=True)


def assert_same(found: Prediction, expected: Sequence[Prediction], tolerance: float) -> None:
    assert found.member_forces is not None
    assert found.stress is not None
    both = [
        (found.member_energies, torch.cat([one.member_energies for one in expected], dim=1)),
        (found.forces, torch.cat([one.forces for one in expected])),
        (found.member_forces, torch.cat([one.member_forces for one in expected], dim=1)),
        (found.stress, torch.cat([one.stress for one in expected])),
    ]
    for together, alone in both:
        assert float((together - alone).abs().max()) <= tolerance * max(1.0, float(alone.abs().max()))


@pytest.mark.parametrize(
    ("kernel", "dtype", "tolerance"),
    [("auto", torch.float64, 1e-12), ("auto", torch.float32, 1e-5), ("torch", torch.float64, 1e-12)],
)
def test_sixty_four_random_cells_are_the_same_together_and_alone(
    ensemble: AniEnsemble, kernel: KernelName, dtype: torch.dtype, tolerance: float
) -> None:
    ensemble = replace(ensemble.to(dtype=dtype), kernel=kernel)
    frames = random_frames(ensemble)
    assert len({len(frame) for frame in frames}) > 10
    assert_same(evaluate(ensemble, frames), [evaluate(ensemble, [frame]) for frame in frames], tolerance)


def test_replacing_frames_of_a_kept_batch_leaves_the_others_as_they_were(ensemble: AniEnsemble) -> None:
    """Slots are refilled by frames of other sizes and cells while one neighbour list follows the batch."""
    frames = random_frames(ensemble, 16)
    fresh = random_frames(ensemble, 32)[16:]
    kept = NeighbourList(ensemble.cutoff_ang, skin_ang=1.0)
    before = evaluate(ensemble, frames, kept)
    rebuilt = kept.n_frames_rebuilt
    for slot in (0, 7, 15):
        frames[slot] = fresh[slot]
    after = evaluate(ensemble, frames, kept)
    assert kept.n_frames_rebuilt == rebuilt + 3
    assert_same(after, [evaluate(ensemble, [frame]) for frame in frames], 1e-12)
    untouched = [slot for slot in range(16) if slot not in (0, 7, 15)]
    assert float((after.member_energies - before.member_energies)[:, untouched].abs().max()) < 1e-10
    assert float((after.member_energies - before.member_energies)[:, [0, 7, 15]].abs().min()) > 1e-3
