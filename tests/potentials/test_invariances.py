"""The same atoms described in another way have the same energy, and forces and stress that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray
from random_cells import predict, random_cell
from scipy.spatial.transform import Rotation

from potentials.ensemble import AniEnsemble
from potentials.kernels.select import KernelName

Floats = NDArray[np.float64]
TOLERANCE = 1e-10


@pytest.fixture(params=["published ANI-Al", "Al-Cu"])
def ensemble(request: pytest.FixtureRequest, make_ensemble: Callable[..., AniEnsemble]) -> AniEnsemble:
    if request.param == "published ANI-Al":
        found: AniEnsemble = request.getfixturevalue("ani_al")
        return found
    return make_ensemble(*request.param.split("-"))


@dataclass(frozen=True)
class Disguise:
    """A frame described anew.

    Attributes
    ----------
    frame
        The new description.
    copies
        How many times it holds the old one.
    origin
        Which atom of the old frame each of the new one is.
    rotation
        Turns the old axes into the new ones.
    """

    frame: Atoms
    copies: int
    origin: list[int]
    rotation: Floats


def rotated(frame: Atoms) -> Disguise:
    turn = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
    other = frame.copy()
    other.set_cell(frame.cell.array @ turn.T)
    other.positions = frame.positions @ turn.T
    return Disguise(other, 1, list(range(len(frame))), turn)


def mirrored(frame: Atoms) -> Disguise:
    mirror = np.diag([1.0, 1.0, -1.0])
    other = frame.copy()
    other.set_cell(frame.cell.array @ mirror)
    other.positions = frame.positions @ mirror
    return Disguise(other, 1, list(range(len(frame))), mirror)


def moved_and_renumbered(frame: Atoms) -> Disguise:
    order = list(np.random.default_rng(3).permutation(len(frame)))
    other = frame[order]
    other.positions += [0.7, -20.3, 5.1]
    return Disguise(other, 1, order, np.eye(3))


def by_whole_cells(frame: Atoms) -> Disguise:
    images = np.random.default_rng(4).integers(-300, 300, size=(len(frame), 3))
    other = frame.copy()
    other.positions += images @ frame.cell.array
    return Disguise(other, 1, list(range(len(frame))), np.eye(3))


def other_basis(vectors: list[list[int]]) -> Callable[[Atoms], Disguise]:
    """Return what describes a frame by other vectors, integer sums of the old; several make a supercell."""

    def disguise(frame: Atoms) -> Disguise:
        copies = abs(round(np.linalg.det(vectors)))
        if copies == 1:
            other = frame.copy()
            other.set_cell(vectors @ frame.cell.array)
            return Disguise(other, 1, list(range(len(frame))), np.eye(3))
        other = make_supercell(frame, vectors)
        return Disguise(other, copies, _origin(frame, other), np.eye(3))

    return disguise


def _origin(frame: Atoms, other: Atoms) -> list[int]:
    """Return which atom of ``frame`` lies, by whole cell vectors, where each of ``other`` does."""
    between = (other.positions[:, None] - frame.positions) @ np.linalg.inv(frame.cell.array)
    missed = np.abs(between - np.round(between)).max(axis=2)
    assert missed.min(axis=1).max() < 1e-9
    return [int(atom) for atom in missed.argmin(axis=1)]


DISGUISES = {
    "rotated": rotated,
    "mirrored": mirrored,
    "moved and renumbered": moved_and_renumbered,
    "atoms in other images of the cell": by_whole_cells,
    "2x1x1": other_basis([[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "1x3x2": other_basis([[1, 0, 0], [0, 3, 0], [0, 0, 2]]),
    "skewed supercell": other_basis([[2, 0, 0], [1, 2, 0], [0, -1, 1]]),
    "left-handed basis": other_basis([[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
    "skewed basis": other_basis([[1, 3, -2], [0, 1, 4], [0, 0, 1]]),
    "left-handed skewed basis": other_basis([[1, 0, 0], [2, -1, 0], [-3, 5, 1]]),
}


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("name", DISGUISES)
def test_a_frame_in_disguise(ensemble: AniEnsemble, name: str, kernel: KernelName) -> None:
    ensemble = replace(ensemble, kernel=kernel)
    for seed in range(3):
        frame = random_cell(np.random.default_rng(seed), ensemble.elements)
        disguise = DISGUISES[name](frame)
        before, after = predict(ensemble, frame), predict(ensemble, disguise.frame)
        assert before.stress is not None
        assert after.stress is not None
        turn = torch.from_numpy(disguise.rotation)
        torch.testing.assert_close(
            after.member_energies, disguise.copies * before.member_energies, rtol=1e-12, atol=0
        )
        same(after.forces, before.forces[disguise.origin] @ turn.T)
        same(after.stress[0], turn @ before.stress[0] @ turn.T)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert float((found - expected).abs().max()) < TOLERANCE * max(1.0, float(expected.abs().max()))


def test_a_skewed_left_handed_basis_is_its_reduced_cell(ensemble: AniEnsemble) -> None:
    """The other way round: from the odd cell to the one with the shortest vectors, right-handed."""
    frame = random_cell(np.random.default_rng(8), ensemble.elements)
    odd, reduced = frame.copy(), frame.copy()
    vectors = [[1, 4, 0], [0, -1, 3], [0, 0, 1]] @ frame.cell.array
    odd.set_cell(-np.sign(np.linalg.det(vectors)) * vectors)
    shortest = minkowski_reduce(odd.cell)[0]
    reduced.set_cell(np.sign(np.linalg.det(shortest)) * shortest)
    reduced.wrap()
    assert odd.cell.volume == pytest.approx(reduced.cell.volume)
    assert np.linalg.det(odd.cell.array) < 0 < np.linalg.det(reduced.cell.array)
    before, after = predict(ensemble, odd), predict(ensemble, reduced)
    assert before.stress is not None
    assert after.stress is not None
    torch.testing.assert_close(after.member_energies, before.member_energies, rtol=1e-12, atol=0)
    same(after.forces, before.forces)
    same(after.stress, before.stress)


@pytest.mark.parametrize("periodic", [(0,), (2,), (0, 1), (1, 2), ()])
def test_an_open_direction_is_a_cell_with_much_vacuum(
    ensemble: AniEnsemble, periodic: tuple[int, ...]
) -> None:
    """Wires, films and clusters: in the open directions the cell may be anything, even smaller or absent."""
    rng = np.random.default_rng(5)
    frame = random_cell(rng, ensemble.elements)
    opened = [axis for axis in range(3) if axis not in periodic]
    with_vacuum = frame.copy()
    cell = frame.cell.array.copy()
    for axis in opened:
        normal = np.cross(cell[axis - 2], cell[axis - 1])
        cell[axis] = normal / np.linalg.norm(normal) * 60.0
    with_vacuum.set_cell(cell)
    expected = predict(ensemble, with_vacuum)
    for replaced in (frame.cell.array, 0.0 * frame.cell.array, 0.3 * frame.cell.array):
        film = frame.copy()
        film.pbc = [axis in periodic for axis in range(3)]
        cell = frame.cell.array.copy()
        cell[opened] = replaced[opened]
        film.set_cell(cell)
        found = predict(ensemble, film)
        torch.testing.assert_close(found.member_energies, expected.member_energies, rtol=1e-12, atol=0)
        same(found.forces, expected.forces)
        assert found.stress is not None
        assert torch.count_nonzero(found.stress) == 0
