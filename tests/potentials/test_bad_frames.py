"""Frames that make no sense: a clear line of error or finite numbers, by the ensemble and through ASE."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials import storage
from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.kernels.select import KernelName

MakeEnsemble = Callable[..., AniEnsemble]
NAN = float("nan")


def by_ensemble(ensemble: AniEnsemble, frame: Atoms) -> None:
    batch = Batch.from_frames([bulk("Al"), frame], ensemble.elements, dtype=ensemble.dtype)
    ensemble.evaluate(batch, stress=True, member_forces=True)


def by_calculator(ensemble: AniEnsemble, frame: Atoms) -> None:
    frame = frame.copy()
    frame.calc = ensemble.calculator()
    frame.get_forces()


def aluminium(**changes: object) -> Atoms:
    frame = bulk("Al", cubic=True)
    for name, value in changes.items():
        if name == "position":
            frame.positions[2, 1] = value
        else:
            setattr(frame, name, value)
    return frame


BAD = {
    "no atoms": (Atoms(cell=[4, 4, 4], pbc=True), r"frame \d has no atoms"),
    "unknown element": (bulk("Cu"), "frames contain Cu; the potential knows Al"),
    "no element": (Atoms("X"), "frames contain X; the potential knows Al"),
    "position that is no number": (aluminium(position=NAN), r"frame \d: atom 2 is at .*nan.*finite"),
    "infinite position": (aluminium(position=np.inf), r"frame \d: atom 2 is at .*inf.*finite"),
    "position out of reach": (aluminium(position=3e9), r"frame \d: atom 2 is at .*wrap it into the cell"),
    "no cell": (aluminium(cell=np.zeros((3, 3))), "zero or linearly dependent"),
    "singular cell": (aluminium(cell=[[4, 0, 0], [0, 4, 0], [4, 4, 0]]), "zero or linearly dependent"),
    "thin cell": (aluminium(cell=[4, 4, 0.01]), r"is 0\.01 Å thin; expected at least 0\.05 Å"),
    "absurdly skewed cell": (aluminium(cell=[[4, 0, 0], [900, 4, 0], [0, 0, 4]]), r"is 0\.018 Å thin"),
    "cell that is no number": (aluminium(cell=[4, NAN, 4]), "expected finite cell vectors"),
}


@pytest.mark.parametrize("use", [by_ensemble, by_calculator])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_evaluated_is_one_clear_line(
    make_ensemble: MakeEnsemble,
    name: str,
    dtype: torch.dtype,
    use: Callable[[AniEnsemble, Atoms], None],
) -> None:
    frame, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        use(make_ensemble("Al", dtype=dtype), frame)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_calculator_recovers_from_a_bad_frame(make_ensemble: MakeEnsemble) -> None:
    frame = aluminium()
    frame.calc = make_ensemble("Al").calculator()
    before = frame.get_potential_energy()
    place = frame.positions[2, 1]
    frame.positions[2, 1] = NAN
    with pytest.raises(ValueError, match="atom 2"):
        frame.get_potential_energy()
    frame.positions[2, 1] = place
    assert frame.get_potential_energy() == before


def test_a_batch_without_frames_or_atoms_is_refused(make_ensemble: MakeEnsemble) -> None:
    ensemble = make_ensemble("Al")
    with pytest.raises(ValueError, match="a batch needs at least one frame"):
        Batch.from_frames([], ensemble.elements)
    whole = Batch.from_frames([aluminium()], ensemble.elements, dtype=ensemble.dtype)
    nothing = Batch(**{name: tensor[:0] for name, tensor in vars(whole).items()})
    with pytest.raises(ValueError, match="the batch has no atoms"):
        ensemble.evaluate(nothing)


@pytest.mark.parametrize("index", [-1, 1])
def test_an_element_index_out_of_range_is_refused(make_ensemble: MakeEnsemble, index: int) -> None:
    ensemble = make_ensemble("Al")
    batch = Batch.from_frames([aluminium()], ensemble.elements, dtype=ensemble.dtype)
    with pytest.raises(ValueError, match=f"element index {index} in the batch; the ensemble knows Al"):
        ensemble.evaluate(replace(batch, species=torch.full_like(batch.species, index)))


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coincident_atoms_have_finite_energies_forces_and_stress(
    ani_al: AniEnsemble, dtype: torch.dtype, kernel: KernelName
) -> None:
    """On each other in the cell, through its boundary, all in one place, and almost."""
    ensemble = replace(ani_al.to(dtype=dtype), kernel=kernel)
    together, through, heap, near = (aluminium() for _ in range(4))
    together.positions[1] = together.positions[0]
    through.positions[1] = through.positions[0] + through.cell[0]
    heap.positions[:] = 0.0
    near.positions[1] = near.positions[0] + 1e-7
    for frame in (together, through, heap, near):
        frame.calc = ensemble.calculator()
        assert np.isfinite(frame.get_potential_energy())
        assert np.isfinite(frame.get_forces()).all()
        assert np.isfinite(frame.get_stress()).all()


def test_float32_takes_atoms_far_from_the_cell_as_far_as_it_can_count(ani_al: AniEnsemble) -> None:
    """A thousand cells away a coordinate is still good to 2e-4 Å; ten thousand away it is refused."""
    frame = aluminium()
    frame.rattle(0.1, seed=1)
    near, far, farther = (frame.copy() for _ in range(3))
    far.positions[1] += 1000 * far.cell[0]
    farther.positions[1] += 10_000 * far.cell[0]
    for copy in (near, far, farther):
        copy.calc = ani_al.to(dtype=torch.float32).calculator()
    assert far.get_potential_energy() == pytest.approx(near.get_potential_energy(), abs=2e-3)
    np.testing.assert_allclose(far.get_forces(), near.get_forces(), atol=5e-3)
    with pytest.raises(ValueError, match=r"within 8389 Å of the origin for torch\.float32"):
        farther.get_potential_energy()


def test_a_card_of_other_elements_than_its_weights_is_refused(
    make_ensemble: MakeEnsemble, tmp_path: Path
) -> None:
    storage.save(make_ensemble("Al", "Cu"), tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    for elements in (["Al"], ["Al", "Cu", "Ni"]):
        (tmp_path / "card.json").write_text(json.dumps({**card, "elements": elements}))
        names = ", ".join(elements)
        with pytest.raises(storage.DamagedModelError, match=f"names {names}; .* networks of 2 and shifts"):
            storage.load(tmp_path)
