"""TorchSim must get from us what we get ourselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from potentials.batch import Batch
from potentials.config import PUBLISHED_WIDTHS
from potentials.ensemble import AniEnsemble

ts = pytest.importorskip("torch_sim", reason="TorchSim is not installed: pip install '.[torchsim]'")

from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from potentials.torch_sim_model import TorchSimModel  # noqa: E402

MakeEnsemble = Callable[..., AniEnsemble]
CPU = torch.device("cpu")
SMALL = {"hidden": (20, 12), "n_radial": 16, "n_angular_radial": 4, "n_angles": 4, **PUBLISHED_WIDTHS}


def state_of(frames: list[Atoms], dtype: torch.dtype = torch.float64) -> ts.SimState:
    return ts.io.atoms_to_state(frames, CPU, dtype)


@pytest.fixture
def periodic(frames: dict[str, Atoms]) -> list[Atoms]:
    """Return frames of different sizes and cells, symmetric or not, periodic in three directions."""
    supercell = frames["skewed"].repeat((2, 1, 1))
    return [frames["skewed"], frames["tiny"], frames["left-handed"], supercell, frames["cubic"]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torch_sims_own_validation_passes(
    make_ensemble: MakeEnsemble, device: str, dtype: torch.dtype
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    ensemble = make_ensemble("Si", "Mg", "Fe", "C", "H", dtype=dtype, **SMALL).to(device=device)
    model = TorchSimModel(ensemble)
    model.compute_stress = False
    validate_model_outputs(model, torch.device(device), dtype)
    assert model.compute_stress


def test_a_batch_gives_what_the_ensemble_gives(make_ensemble: MakeEnsemble, periodic: list[Atoms]) -> None:
    ensemble = make_ensemble("Cu", "Al")
    found = TorchSimModel(ensemble, energy_std=True)(state_of(periodic))
    batch = Batch.from_frames(periodic, ensemble.elements, dtype=torch.float64)
    expected = ensemble.evaluate(batch, stress=True)
    energies = expected.member_energies
    torch.testing.assert_close(found["energy"], energies.mean(dim=0), rtol=0, atol=1e-10)
    torch.testing.assert_close(found["energy_std"], energies.std(dim=0, correction=0), rtol=0, atol=1e-10)
    torch.testing.assert_close(found["forces"], expected.forces, rtol=0, atol=1e-10)
    torch.testing.assert_close(found["stress"], expected.stress, rtol=0, atol=1e-10)


def test_nothing_is_computed_that_is_not_asked_for(
    make_ensemble: MakeEnsemble, periodic: list[Atoms]
) -> None:
    model = TorchSimModel(make_ensemble("Cu", "Al", **SMALL), compute_stress=False, compute_forces=False)
    assert set(model(state_of(periodic))) == {"energy"}


def test_wrapped_and_unwrapped_positions_are_the_same(
    make_ensemble: MakeEnsemble, periodic: list[Atoms], rng: np.random.Generator
) -> None:
    """One model sees both in turn: its kept neighbour lists must not show."""
    model = TorchSimModel(make_ensemble("Cu", "Al", **SMALL))
    before = model(state_of(periodic))
    for frame in periodic:
        frame.positions += rng.integers(-2, 3, (len(frame), 3)) @ frame.cell.array
    away = model(state_of(periodic))
    for frame in periodic:
        frame.wrap()
    wrapped = model(state_of(periodic))
    for name, expected in before.items():
        torch.testing.assert_close(away[name], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(wrapped[name], expected, rtol=0, atol=1e-10)


def test_molecules_and_batches_that_change_size(
    make_ensemble: MakeEnsemble, frames: dict[str, Atoms], periodic: list[Atoms]
) -> None:
    ensemble = make_ensemble("Cu", "Al", **SMALL)
    model = TorchSimModel(ensemble)
    cluster = frames["cluster"]
    for group in (periodic, [cluster], periodic[1:], [cluster, cluster[:7]]):
        batch = Batch.from_frames(group, ensemble.elements, dtype=torch.float64)
        expected = ensemble.evaluate(batch).member_energies.mean(dim=0)
        torch.testing.assert_close(model(state_of(group))["energy"], expected, rtol=0, atol=1e-10)


def test_what_does_not_fit_is_named(make_ensemble: MakeEnsemble, periodic: list[Atoms]) -> None:
    model = TorchSimModel(make_ensemble("Al", **SMALL))
    with pytest.raises(ValueError, match="the state contains Cu; the potential knows Al"):
        model(state_of(periodic))
    with pytest.raises(ValueError, match=r"positions are torch\.float32, the ensemble is torch\.float64"):
        model(state_of([bulk("Al")], torch.float32))


def total_energies(state: ts.SimState) -> torch.Tensor:
    kinetic = (0.5 * state.momenta.square().sum(dim=1) / state.masses).double()
    return state.energy + torch.zeros_like(state.energy).index_add_(0, state.system_idx, kinetic)


def test_torch_sims_dynamics_keeps_the_energy(make_ensemble: MakeEnsemble) -> None:
    """Ten half-femtosecond steps and a hundred, of two cells at once, from the same velocities."""
    frames = [bulk("Al", cubic=True).repeat((2, 1, 1)), bulk("Cu", cubic=True)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.05, seed=seed)
    model = TorchSimModel(make_ensemble("Cu", "Al", **SMALL), skin_ang=0.3)
    nve = ts.Integrator.nve if hasattr(ts, "Integrator") else ts.nve

    def run(n_steps: int) -> ts.SimState:
        torch.manual_seed(0)
        options = {"n_steps": n_steps, "temperature": 600.0, "timestep": 0.0005}
        state = state_of(frames)
        if hasattr(state, "rng"):
            state.rng = 0
        return ts.integrate(state, model, integrator=nve, **options)

    early, late = run(10), run(100)
    assert (early.positions - late.positions).abs().max() > 0.1
    torch.testing.assert_close(total_energies(late), total_energies(early), rtol=0, atol=1e-4)


def test_torch_sims_relaxation_finds_the_minimum(make_ensemble: MakeEnsemble) -> None:
    """A stretched pair of a batch falls to where our own forces vanish."""
    frames = [bulk("Al", cubic=True), bulk("Cu", cubic=True)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.1, seed=seed)
    ensemble = make_ensemble("Cu", "Al", **SMALL)
    model = TorchSimModel(ensemble)
    fire = ts.Optimizer.fire if hasattr(ts, "Optimizer") else ts.optimizers.fire
    start = model(state_of(frames))
    converged = ts.generate_force_convergence_fn(force_tol=1e-3, include_cell_forces=False)
    end = ts.optimize(state_of(frames), model, optimizer=fire, convergence_fn=converged, max_steps=500)
    relaxed = end.to_atoms()
    batch = Batch.from_frames(relaxed, ensemble.elements, dtype=torch.float64)
    result = ensemble.evaluate(batch)
    assert start["forces"].norm(dim=1).max() > 0.02
    assert result.forces.norm(dim=1).max() < 1e-3
    assert (result.member_energies.mean(dim=0) < start["energy"]).all()
