"""A training step against TorchANI's double backward and against hippynn."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from benchmarks.engine_parts.bench import Bench
from benchmarks.engine_parts.frames import crystal
from potentials.descriptors import DescriptorSpec
from potentials.kernels.select import kernel_for
from potentials.training.config import TrainingConfig
from potentials.training.frames import ReadyFrames
from potentials.training.gradients import loss_and_gradient
from potentials.training.optimiser import Moments, Optimiser
from potentials.training.parameters import ParameterLayout, Scaling
from potentials.training.training_set import TrainingSet

FRAMES, ATOMS = 16, 100


def training(bench: Bench) -> None:
    """Print the time of a gradient, and of a step of the optimiser with it."""
    n_frames = 4 if bench.quick else FRAMES
    frames = [_frame(seed) for seed in range(n_frames)]
    rng = np.random.default_rng(0)
    labels = {"energies": rng.normal(size=n_frames), "forces": rng.normal(size=(n_frames, ATOMS, 3))}
    turns = {}
    for members in (1, 8):
        step = Step(bench, frames, labels, members)
        turns[f"gradient, {members}"] = bench.turn(step.gradient)
        turns[f"step, {members}"] = bench.turn(step.step)
    path = bench.arrays(frames, **labels)
    with (
        bench.torchani(1) as torchani,
        bench.torchani(1, keep_memory=True) as keeper,
        bench.peer("hippynn") as hippynn,
    ):
        for rival in (torchani, keeper):
            rival.ask("frames", path=path)
        weights = hippynn.ask("load", path=path, device=bench.device)
        turns["TorchANI"] = torchani.turn("train", weights_only=False)
        turns["TorchANI, weights only"] = torchani.turn("train", weights_only=True)
        turns["TorchANI, tuned"] = keeper.turn("train", weights_only=False)
        turns["TorchANI, tuned, weights only"] = keeper.turn("train", weights_only=True)
        turns["hippynn"] = hippynn.turn("train")
        timings = bench.take_turns(turns)
    least = {name: 1e3 * timing.least(bench.device) / n_frames for name, timing in timings.items()}
    eight, full = least["gradient, 8"] / 8, least["step, 8"] / 8

    def row(what: str, name: str, members: int, mine: float) -> list[object]:
        time = least[name] / members
        return [
            what,
            members,
            least[name],
            time,
            time / mine,
            f"{100 * timings[name].spread(bench.device):.0f} %",
        ]

    bench.table(
        f"Training, {n_frames} frames of {ATOMS} atoms, ms per frame",
        ["", "members", "in all", "per member", "× ours of 8", "spread"],
        [
            row("ours, gradient", "gradient, 1", 1, eight),
            row("ours, gradient", "gradient, 8", 8, eight),
            row("TorchANI, double backward: loss.backward()", "TorchANI", 1, eight),
            row("the same, gradient of the weights only", "TorchANI, weights only", 1, eight),
            row("loss.backward(), glibc told to keep memory", "TorchANI, tuned", 1, eight),
            row("both: weights only, memory kept", "TorchANI, tuned, weights only", 1, eight),
            row("ours, gradient and Adam", "step, 1", 1, full),
            row("ours, gradient and Adam", "step, 8", 8, full),
            row("hippynn, its training step", "hippynn", 1, full),
        ],
        "Loss of energies and forces. Pairs are found once in ours and for TorchANI, every time by hippynn; "
        f"its network is of the size of its example for the ANI-Al data: {weights} weights, one of ours "
        f"{_n_weights(bench)}.",
    )


def _n_weights(bench: Bench) -> int:
    return sum(tensor[0].numel() for tensor in bench.ensemble.networks.parameters())


def _frame(seed: int) -> Atoms:
    """A crystal with vacancies: FCC of 108 sites, 100 atoms."""
    frame = crystal(108, seed)
    del frame[np.random.default_rng(seed).choice(108, 108 - ATOMS, replace=False)]
    return frame


class Step:
    """One batch and the members to train on it."""

    def __init__(
        self, bench: Bench, frames: list[Atoms], labels: dict[str, np.ndarray], n_members: int
    ) -> None:
        config = bench.ensemble.config.model_copy(update={"n_members": n_members})
        spec = DescriptorSpec.from_config(config, 1)
        self.config = TrainingConfig(force_weight=0.1, optimiser="adam")
        self.layout = ParameterLayout.of(spec, config)
        data = TrainingSet(
            ids=[str(number) for number in range(len(frames))],
            frames=frames,
            energies_ev=labels["energies"],
            forces_ev_per_ang=list(labels["forces"]),
            stresses_ev_per_ang3=[None] * len(frames),
        )
        kernel = kernel_for(spec, bench.device)
        self.ready = ReadyFrames(data, ["Al"], spec, kernel, device=bench.device)
        self.scaling = Scaling(
            centre=torch.zeros(1, spec.n_features, device=bench.device),
            width=torch.ones(1, spec.n_features, device=bench.device),
            energy_ev=torch.ones(n_members, device=bench.device),
            shift_ev=torch.zeros(n_members, 1, dtype=torch.float64, device=bench.device),
        )
        self.flat = self.layout.initial(range(n_members)).to(bench.device)
        self.moments = Moments.begin(self.flat, self.layout, self.config)
        self.weights = self.flat.new_full((n_members, len(frames)), 1.0 / len(frames), dtype=torch.float64)
        self.rates = self.flat.new_full((n_members,), 1e-5, dtype=torch.float64)

    def gradient(self) -> Tensor:
        """All members' gradient."""
        batch = self.ready.batch(range(len(self.ready)))
        return loss_and_gradient(self.flat, self.layout, self.scaling, batch, self.weights, self.config)[1]

    def step(self) -> None:
        """The same, and Adam's step with it."""
        Optimiser(self.layout, self.config, 1.0).step(self.flat, self.gradient(), self.moments, self.rates)
