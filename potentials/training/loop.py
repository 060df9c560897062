"""Epochs of training: every member on the same batches, blind to the folds that it must not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from potentials.training.config import TrainingConfig
from potentials.training.frames import ReadyBatch, ReadyFrames
from potentials.training.gradients import ENERGY_POWER, Residuals, evaluate, loss_and_gradient
from potentials.training.optimiser import Optimiser, cosine_rate
from potentials.training.parameters import ParameterLayout, Scaling
from potentials.training.state import EpochReport, TrainingState, member_seed
from potentials.training.training_set import fold_of, n_folds

TEST_FRAMES = 16


@dataclass(frozen=True)
class Deal:
    """Which frames each member learns from, and from which it learns when to stop.

    Attributes
    ----------
    learns, stops
        Shape (n_members, n_frames), bool.
    """

    learns: Tensor
    stops: Tensor

    @classmethod
    def of(cls, ids: Sequence[str], n_members: int) -> Deal:
        """Deal labels by the hash of their ids.

        Raises
        ------
        ValueError
            If a member would have no label to learn from.
        """
        folds = torch.tensor([fold_of(label, n_members) for label in ids], dtype=torch.int64)
        members = torch.arange(n_members).unsqueeze(1)
        stops = folds == (members + 1) % n_folds(n_members)
        learns = (folds != members) & ~stops
        if len(ids) == 0 or not bool(learns.any(dim=1).all()):
            raise ValueError(f"{len(ids)} labels are too few to train {n_members} members on folds of them")
        return cls(learns, stops)

    def to(self, device: torch.device) -> Deal:
        """Return the same deal elsewhere."""
        return Deal(self.learns.to(device), self.stops.to(device))


@dataclass
class Tally:
    """Sums over frames, by member, shape (n_members,), float64."""

    frames: Tensor
    loss: Tensor
    energy: Tensor
    components: Tensor
    force: Tensor

    @classmethod
    def empty(cls, n_members: int, device: torch.device) -> Tally:
        """Return a tally of no frames."""
        return cls(*torch.zeros(5, n_members, dtype=torch.float64, device=device).unbind())

    def add(self, residuals: Residuals, batch: ReadyBatch, counts: Tensor, config: TrainingConfig) -> None:
        """Add the frames that ``counts``, shape (n_members, n_frames), holds a one for."""
        sizes = batch.n_atoms_per_frame
        self.frames += counts.sum(1)
        self.loss += _masked_sum(residuals.frame_losses(batch, config), counts)
        self.energy += _masked_sum((residuals.energies / sizes) ** 2, counts)
        self.components += 3.0 * (counts @ sizes)
        self.force += _masked_sum(residuals.squared_forces(batch), counts)

    def mean_loss(self) -> list[float]:
        """Return the loss per frame of each member."""
        losses: list[float] = (self.loss / self.frames).tolist()
        return losses

    def energy_rmse_mev_per_atom(self) -> float:
        """Return the root mean square error per atom, averaged over members with frames."""
        return 1e3 * float((self.energy / self.frames).sqrt().nanmean())

    def force_rmse_ev_per_ang(self) -> float:
        """Return the root mean square error of a force component, averaged over members with frames."""
        return float((self.force / self.components).sqrt().nanmean())


@dataclass(frozen=True)
class Learner:
    """What stays the same from epoch to epoch."""

    ready: ReadyFrames
    layout: ParameterLayout
    scaling: Scaling
    deal: Deal
    config: TrainingConfig
    seed: int

    @cached_property
    def loss_limits(self) -> list[float]:
        """The training loss above which each member has diverged.

        The scale is the loss of predicting the best energies of lone atoms and no forces.
        """
        sizes = self.ready.element_counts.sum(dim=1)
        energies = self.scaling.shift_ev @ self.ready.element_counts.T - self.ready.energies_ev
        losses = self.config.energy_weight * energies**2 / sizes ** ENERGY_POWER[self.config.energy_term]
        losses = losses + self.config.force_weight * 3.0 * self.ready.mean_square_forces
        means = (losses * self.deal.learns).sum(dim=1) / self.deal.learns.sum(dim=1)
        limits: list[float] = (self.config.divergence_factor * means).tolist()
        return limits

    @property
    def n_steps_per_epoch(self) -> int:
        """Number of batches."""
        return math.ceil(len(self.ready) / self.config.batch_frames)

    def epoch(self, state: TrainingState, should_stop: Callable[[], bool]) -> bool:
        """Train all members that still learn for one pass over the frames.

        Returns
        -------
        bool
            Whether the epoch was completed; if not, ``state`` is of no use.
        """
        rows = torch.tensor(state.having("learning"), device=state.flat.device)
        rng = np.random.default_rng([self.seed, len(state.history)])
        batches = np.array_split(rng.permutation(len(self.ready)), self.n_steps_per_epoch)
        flat, moments, scaling = (
            state.flat[rows],
            state.moments.rows(rows),
            self.scaling.of_members(rows.tolist()),
        )
        optimiser = Optimiser(self.layout, self.config, self._average_steps)
        healthy = torch.ones_like(rows, dtype=torch.bool)
        tally = Tally.empty(len(rows), flat.device)
        for number, indices in enumerate(batches):
            if should_stop():
                return False
            batch = self.ready.batch(indices.tolist())
            seen = self.deal.learns[rows][:, indices].double()
            weights = seen / seen.sum(dim=1, keepdim=True).clamp(min=1.0)
            loss, gradient, residuals = loss_and_gradient(
                flat, self.layout, scaling, batch, weights, self.config
            )
            healthy &= torch.isfinite(loss) & torch.isfinite(gradient).all(dim=1)
            gradient[~healthy] = 0.0
            rates = self._rates(state, rows.tolist(), number / len(batches))
            optimiser.step(flat, gradient, moments, rates)
            tally.add(residuals, batch, seen, self.config)
        state.flat[rows] = flat
        state.moments.put(rows, moments)
        self._finish(state, rows.tolist(), healthy.tolist(), tally)
        return True

    @property
    def _average_steps(self) -> float:
        return self.config.weight_average_epochs * self.n_steps_per_epoch

    def _rates(self, state: TrainingState, rows: list[int], progress: float) -> Tensor:
        members = [state.members[m] for m in rows]
        if self.config.schedule == "plateau":
            rates = [member.learning_rate for member in members]
        else:
            rates = [cosine_rate(self.config, member.n_epochs + progress) for member in members]
        return torch.tensor(rates, dtype=torch.float64, device=state.flat.device)

    def _finish(self, state: TrainingState, rows: list[int], healthy: list[bool], tally: Tally) -> None:
        """Test the averaged weights, keep the best, stop or restart members, and write the history."""
        losses, test, restarted = tally.mean_loss(), Tally.empty(len(rows), tally.loss.device), []
        for row, m in enumerate(rows):
            member = state.members[m]
            member.n_epochs += 1
            if not healthy[row] or not losses[row] <= self.loss_limits[m]:
                self._restart(state, m)
                restarted.append(m)
                continue
            self._test(state, m, row, test)
            tested = test.mean_loss()[row]
            self._judge(state, m, tested if math.isfinite(tested) else losses[row])
        rate = float(self._rates(state, rows, 0.0).mean())
        state.history.append(
            EpochReport(
                epoch=len(state.history) + 1,
                n_learning=len(rows),
                learning_rate=rate,
                training_energy_rmse_mev_per_atom=tally.energy_rmse_mev_per_atom(),
                training_force_rmse_ev_per_ang=tally.force_rmse_ev_per_ang(),
                stopping_energy_rmse_mev_per_atom=test.energy_rmse_mev_per_atom(),
                stopping_force_rmse_ev_per_ang=test.force_rmse_ev_per_ang(),
                restarted=tuple(restarted),
            )
        )

    def _test(self, state: TrainingState, member: int, row: int, tally: Tally) -> None:
        """Add a member's errors on its stopping fold to its row of ``tally``."""
        frames = torch.nonzero(self.deal.stops[member])[:, 0].tolist()
        average, scaling = state.moments.average[member : member + 1], self.scaling.of_members([member])
        for start in range(0, len(frames), TEST_FRAMES):
            batch = self.ready.batch(frames[start : start + TEST_FRAMES])
            stress = self.config.stress_weight > 0.0
            residuals = evaluate(average, self.layout, scaling, batch, stress=stress).residuals
            counts = tally.frames.new_zeros(len(tally.frames), batch.graph.n_frames)
            counts[row] = 1.0
            tally.add(residuals, batch, counts, self.config)

    def _judge(self, state: TrainingState, m: int, loss: float) -> None:
        """Keep the weights if they are the best yet; lower the rate or stop when it is time."""
        member, config = state.members[m], self.config
        if loss < member.best_loss:
            member.best_loss, member.n_epochs_since_best = loss, 0
            state.best[m] = state.moments.average[m]
        else:
            member.n_epochs_since_best += 1
        if config.schedule == "plateau" and member.n_epochs_since_best >= config.plateau_epochs:
            member.learning_rate *= 0.5
            member.n_epochs_since_best = 0
        too_slow = member.learning_rate < config.final_learning_rate
        if too_slow or member.n_epochs >= config.max_epochs:
            member.status = "finished"

    def _restart(self, state: TrainingState, m: int) -> None:
        """Begin again from another seed, or give up."""
        attempt = state.members[m].n_restarts + 1
        if attempt > self.config.max_restarts:
            state.members[m].status = "failed"
        else:
            state.restart(m, member_seed(self.seed, m, attempt), self.layout, self.config)


def _masked_sum(values: Tensor, counts: Tensor) -> Tensor:
    """Sum over frames; what is not counted may be infinite."""
    return torch.where(counts > 0.0, values, 0.0).sum(dim=1)
