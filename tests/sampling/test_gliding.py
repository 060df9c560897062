"""Steps that do not look at the neighbour lists: the same trajectory, and nothing read on the way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from toy_potentials import ToyMorse

from potentials import ensemble as ensembles
from potentials import network
from potentials.batch import Batch
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble
from potentials.kernels import triton
from potentials.neighbours import NeighbourList
from potentials.protocol import Potential
from sampling.dynamics import Motion, Thermostat, langevin_step, thermal_velocities
from sampling.gliding import glide, make_steps

MASS = 26.98
TIMESTEP_FS = 2.0


def moving(frames: list[Atoms], potential: Potential, temperature_k: float) -> Motion:
    batch = Batch.from_frames(frames, potential.elements, dtype=potential.dtype, device=potential.device)
    rng = np.random.default_rng(1)
    drawn = [thermal_velocities(np.full(len(f), MASS), temperature_k, rng) for f in frames]
    velocities = torch.as_tensor(np.concatenate(drawn)).to(batch.positions)
    return Motion(
        batch=batch,
        velocities=velocities,
        masses=torch.full_like(velocities[:, :1], MASS),
        forces=potential.evaluate(batch).forces,
        fastest=torch.zeros_like(velocities[:, 0]),
    )


def crystals(n: int = 2) -> list[Atoms]:
    frames = [bulk("Al", a=4.2, cubic=True) * 2 for _ in range(n)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.1, seed=seed)
    return frames


@dataclass
class Journey:
    """A stretch of steps, and what was done to make it."""

    potential: Potential
    motion: Motion
    temperature_k: float
    friction_per_fs: float = 0.002
    n_steps: int = 40
    skin_ang: float = 1.0

    def __post_init__(self) -> None:
        shape = (self.n_steps, self.motion.batch.n_frames)
        self.neighbours = NeighbourList(self.potential.cutoff_ang, self.skin_ang)
        self.neighbours.graph(self.motion.batch)
        self.noise = torch.Generator(device=self.noise_device).manual_seed(3)
        self.thermostat = Thermostat.from_arrays(
            np.full(shape, self.temperature_k),
            np.full(shape, self.friction_per_fs),
            TIMESTEP_FS,
            dtype=self.potential.dtype,
            device=self.potential.device,
        )
        self.taken: list[int] = []

    @property
    def noise_device(self) -> torch.device | str:
        return "cpu" if self.potential.device.type == "meta" else self.potential.device

    def take(self, motion: Motion, step: int) -> Motion:
        self.taken.append(step)

        def forces_at(batch: Batch) -> torch.Tensor:
            return self.potential.evaluate(batch, neighbours=self.neighbours).forces

        return langevin_step(motion, self.thermostat, step, forces_at, self.noise)

    def by(self, how: Callable[..., Motion]) -> Motion:
        steps = range(self.n_steps)
        return how(self.motion, steps, self.take, self.neighbours, TIMESTEP_FS, self.noise)


def looking_always(motion: Motion, steps: range, take: Callable[[Motion, int], Motion], *_: object) -> Motion:
    return reduce(take, steps, motion)


def with_new_lists(potential: Potential, journey: Journey) -> Motion:
    def take(motion: Motion, step: int) -> Motion:
        return langevin_step(
            motion, journey.thermostat, step, lambda b: potential.evaluate(b).forces, journey.noise
        )

    return reduce(take, range(journey.n_steps), journey.motion)


def assert_same(found: Motion, expected: Motion, tolerance: float = 1e-10) -> None:
    for name in ("velocities", "forces", "fastest"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=tolerance)
    torch.testing.assert_close(found.batch.positions, expected.batch.positions, rtol=0, atol=tolerance)


@pytest.mark.parametrize("temperature_k", [300.0, 2500.0])
def test_gliding_gives_the_trajectory_of_looking_at_each_step(temperature_k: float) -> None:
    potential = ToyMorse()
    start = moving(crystals(), potential, temperature_k)
    gliding, looking, new = (Journey(potential, start, temperature_k) for _ in range(3))
    found, expected = gliding.by(glide), looking.by(looking_always)
    assert gliding.taken == looking.taken == list(range(40))
    assert gliding.neighbours.n_frames_rebuilt > 2
    assert_same(found, expected)
    assert_same(found, with_new_lists(potential, new))
    assert torch.equal(gliding.noise.get_state(), looking.noise.get_state())


def test_an_atom_that_outruns_its_list_has_its_steps_repeated() -> None:
    """At rest and without forces nothing seems to move; then a hot bath kicks."""
    potential = ToyMorse()
    frames = [bulk("Al", a=4.2, cubic=True) * 2]
    start = moving(frames, potential, 0.0)
    gliding, new = (Journey(potential, start, 2e4, friction_per_fs=0.05) for _ in range(2))
    found = gliding.by(glide)
    assert len(gliding.taken) > 40
    assert sorted(set(gliding.taken)) == list(range(40))
    assert_same(found, with_new_lists(potential, new))


def test_without_a_skin_every_step_takes_a_new_list() -> None:
    potential = ToyMorse()
    start = moving(crystals(1), potential, 600.0)
    gliding, new = (Journey(potential, start, 600.0, n_steps=4, skin_ang=0.0) for _ in range(2))
    assert_same(gliding.by(glide), with_new_lists(potential, new))


def test_a_broken_frame_ends_nothing() -> None:
    potential = ToyMorse()
    start = moving(crystals(), potential, 600.0)
    forces = start.forces.clone()
    forces[3] = torch.nan
    gliding, looking = (Journey(potential, replace(start, forces=forces), 600.0, n_steps=6) for _ in range(2))
    found, expected = gliding.by(glide), looking.by(looking_always)
    assert torch.isnan(found.fastest[3])
    torch.testing.assert_close(found.batch.positions, expected.batch.positions, rtol=0, atol=1e-10)


def test_on_a_cpu_each_step_looks_and_none_is_repeated() -> None:
    potential = ToyMorse()
    start = moving([bulk("Al", a=4.2, cubic=True) * 2], potential, 0.0)
    journey = Journey(potential, start, 2e4, friction_per_fs=0.05)
    journey.by(make_steps)
    assert journey.taken == list(range(40))


def untrained(*elements: str) -> AniEnsemble:
    config = AniConfig(n_radial=4, n_angular_radial=2, n_angles=2, hidden=(8, 8), n_members=2)
    spec = DescriptorSpec.from_config(config, len(elements))
    networks = network.initial(spec, config, range(2))
    shift_ev = torch.zeros(len(elements), dtype=torch.float64)
    return AniEnsemble(config, elements, spec, networks, shift_ev)


def alloy() -> Atoms:
    frame = bulk("Al", a=4.0, cubic=True) * 2
    frame.symbols[::3] = "Cu"
    return frame


def without_data(journey: Journey) -> Journey:
    """Return the same on a device that holds no numbers, so that whoever reads one fails."""

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to("meta")

    def all_moved(value: object) -> dict[str, torch.Tensor]:
        return {k: moved(v) for k, v in vars(value).items() if isinstance(v, torch.Tensor)}

    motion = journey.motion
    motion = replace(motion, batch=replace(motion.batch, **all_moved(motion.batch)), **all_moved(motion))
    lists = journey.neighbours._lists
    potential = journey.potential.to(device="meta")
    result = replace(journey, potential=potential, n_steps=journey.n_steps)
    result.motion = motion
    result.neighbours._lists = replace(lists, batch=motion.batch, **all_moved(lists))
    return result


def test_a_step_reads_nothing_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="triton is not installed")
    potential = untrained("Al", "Cu")
    start = moving([alloy()], potential, 600.0)
    known = network._atoms_of_elements(start.batch.species, 0, 2)
    journey = without_data(Journey(potential, start, 600.0))
    monkeypatch.setattr(ensembles, "_smallest_and_largest", lambda species, version: (0, 1))
    monkeypatch.setattr(network, "_atoms_of_elements", lambda *_: [atoms.to("meta") for atoms in known])
    monkeypatch.setattr(ensembles, "kernel_for", lambda spec, *_: triton.TritonKernel(spec))
    monkeypatch.setattr(triton.TritonDescriptors, "_launch", lambda *_, **__: None)
    with journey.neighbours.unchecked() as excursion:
        after = reduce(journey.take, range(3), journey.motion)
    assert after.forces.shape == start.forces.shape
    with pytest.raises(RuntimeError, match="meta tensors"):
        excursion.too_far()
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        journey.take(journey.motion, 0)


def test_species_are_read_once_for_all_steps() -> None:
    potential = untrained("Al", "Cu")
    start = moving([alloy()], potential, 600.0)
    remembered = (ensembles._smallest_and_largest, network._atoms_of_elements)
    before = [function.cache_info().misses for function in remembered]
    Journey(potential, start, 600.0, n_steps=5).by(looking_always)
    assert [function.cache_info().misses for function in remembered] == before
    start.batch.species[0] = 5
    with pytest.raises(ValueError, match="element index 5"):
        potential.evaluate(start.batch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_steps_on_a_gpu_wait_for_nothing() -> None:
    available, reason = triton.available()
    if not available:
        pytest.skip(reason)
    potential = untrained("Al", "Cu").to(device="cuda")
    journey = Journey(potential, moving([alloy()], potential, 300.0), 300.0, n_steps=10)
    journey.take(journey.motion, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with journey.neighbours.unchecked() as excursion:
            after = reduce(journey.take, range(10), journey.motion)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not excursion.too_far()
    assert torch.isfinite(after.forces).all()
