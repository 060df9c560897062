"""The search: trajectories run until the ensemble disagrees with itself, and are replaced at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from potentials.batch import Batch
from potentials.disagreement import Calibration, Disagreement
from potentials.protocol import Potential
from sampling.builder import Builder, BuildError
from sampling.config import SamplingConfig
from sampling.dynamics import Motion
from sampling.inspection import Inspection, Scores, end_reason, inspect, score
from sampling.moving import trajectories_after
from sampling.pair_distances import distance_matrix
from sampling.recruits import recruit
from sampling.results import CandidateFrame, ChunkResult, EndReason, Exposure
from sampling.slot_group import SlotGroup
from sampling.stretch import Standing, move, stand


def advance(
    group: SlotGroup,
    potential: Potential,
    ensemble_id: str,
    calibration: Calibration,
    builder: Builder,
    config: SamplingConfig,
    n_steps: int,
    stop_at: Callable[[], bool] | None = None,
) -> tuple[SlotGroup, ChunkResult]:
    """Advance a group and return its new state and what was found.

    All trajectories are looked at first, before anything moves, and then every ``check_every_steps``. One
    whose expected error passes a threshold, or in which atoms come too close, ends and gives a candidate. One
    that blows up ends and gives its last checked frame if that was near a threshold. A trajectory that ends
    is replaced by a new one from ``builder``; if the call ends at that look, the next call does it.

    The result does not depend on how a run is divided into calls: neighbour lists are made anew at every
    look, and the noise goes on where it was. With a deterministic potential this holds to the bit.

    Parameters
    ----------
    group
        State to go on from.
    potential
        The ensemble; positions take its dtype and device.
    ensemble_id
        Its name, for the exposures.
    calibration
        Turns its spread into expected errors.
    builder
        Makes starting cells.
    config
        Settings.
    n_steps
        Time steps to make, rounded up to whole multiples of ``check_every_steps``.
    stop_at
        Asked at every look; ``True`` ends the call there.

    Raises
    ------
    BuildError
        If not one starting cell could be made.
    """
    chunk = _Chunk(group, potential, ensemble_id, calibration, builder, config)
    return chunk.run(n_steps, stop_at or (lambda: False))


class _Chunk:
    """One call of `advance`: the trajectories, where they stand, and what has been found."""

    def __init__(
        self,
        group: SlotGroup,
        potential: Potential,
        ensemble_id: str,
        calibration: Calibration,
        builder: Builder,
        config: SamplingConfig,
    ) -> None:
        self._group = group
        self._potential = potential
        self._ensemble_id = ensemble_id
        self._calibration = calibration
        self._builder = builder
        self._config = config
        self._noise = _noise_generator(group, potential.device)
        contact = distance_matrix(config.thresholds.close_contact_ang, potential.elements)
        self._contact_ang = torch.as_tensor(contact, dtype=potential.dtype).to(potential.device)
        self._reach_ang = max(potential.cutoff_ang, float(contact.max()))
        self._slots = list(group.trajectories)
        self._times_fs = np.array([t.time_fs for t in self._slots], dtype=np.float64)
        self._entries_fs: dict[str, float] = {}
        self._standing: Standing | None = None
        self._last_look: _Look | None = None
        self._builder_gave_up = False
        self._exposures: list[Exposure] = []
        self._candidates: list[CandidateFrame] = []
        self._steps = self._atom_steps = self._build_failures = 0

    def run(self, n_steps: int, stop_at: Callable[[], bool]) -> tuple[SlotGroup, ChunkResult]:
        """Look, replace what ended, move; until there is a reason to stop."""
        began = time.monotonic()
        looks_without_motion = 0
        while self._fill():
            standing = self._standing or stand(self._slots, self._potential, self._reach_ang, self._config)
            any_ended = self._look(standing)
            looks_without_motion = looks_without_motion + 1 if any_ended else 0
            if self._steps >= n_steps or self._has_enough(looks_without_motion) or stop_at():
                break
            if not any_ended:
                self._move(standing)
        return self._finish(time.monotonic() - began)

    def _has_enough(self, looks_without_motion: int) -> bool:
        """Whether the candidates suffice, or fresh cells go on ending at once without giving any."""
        most = self._config.max_candidates_per_chunk
        return len(self._candidates) >= most or looks_without_motion > most

    def _fill(self) -> bool:
        """Start trajectories in free slots; return whether any slot is taken."""
        n_free = self._group.n_slots - len(self._slots)
        if n_free > 0 and not self._builder_gave_up:
            new = recruit(self._group, n_free, self._builder, self._config)
            self._group = replace(self._group, next_trajectory=new.next_trajectory)
            self._build_failures += new.n_failures
            self._builder_gave_up = len(new.trajectories) < n_free
            if not self._slots and not new.trajectories and not self._exposures:
                raise BuildError(f"no starting cell in {new.n_failures} attempts: {new.last_failure}")
            self._slots += new.trajectories
            self._times_fs = np.append(self._times_fs, np.zeros(len(new.trajectories)))
            self._standing = self._last_look = None
        return bool(self._slots)

    def _look(self, standing: Standing) -> bool:
        """Decide which trajectories end here, and take them out; return whether any did."""
        batch = standing.motion.batch
        slack = fresh_cell_slack(self._times_fs, self._config)
        scores = score(standing.prediction, batch, self._calibration, self._config.thresholds, slack)
        graph = standing.neighbours.graph(batch)
        timestep_fs = self._config.dynamics.timestep_fs
        seen = inspect(standing.motion, timestep_fs, graph, self._contact_ang, scores)
        for slot, time_fs in zip(self._slots, self._times_fs, strict=True):
            self._entries_fs.setdefault(slot.id, float(time_fs))
        look = _Look(batch, scores, self._times_fs)
        reasons = [self._reason(seen, i) for i in range(len(self._slots))]
        if any(reasons):
            self._retire(standing.motion, reasons, look)
        else:
            self._standing, self._last_look = standing, look
        return any(reasons)

    def _reason(self, seen: Inspection, i: int) -> EndReason | None:
        slot, time_fs = self._slots[i], float(self._times_fs[i])
        reason = end_reason(
            seen,
            i,
            started=time_fs > 0,
            target_temperature_k=float(slot.schedule.temperature_k(time_fs)),
            thresholds=self._config.thresholds,
        )
        over = time_fs >= slot.schedule.duration_fs - 0.5 * self._config.dynamics.timestep_fs
        return "completed" if reason is None and over else reason

    def _retire(self, motion: Motion, reasons: list[EndReason | None], look: _Look) -> None:
        for i, reason in enumerate(reasons):
            if reason is not None:
                self._exposures.append(self._exposure(i, reason))
                self._keep_candidate(i, reason, look)
        going_on = [i for i, reason in enumerate(reasons) if reason is None]
        slots = trajectories_after(self._slots, motion, self._times_fs)
        self._slots = [slots[i] for i in going_on]
        self._times_fs = self._times_fs[going_on]
        self._standing = self._last_look = None

    def _exposure(self, i: int, reason: EndReason | None) -> Exposure:
        slot, time_fs = self._slots[i], float(self._times_fs[i])
        entry_fs = self._entries_fs[slot.id]
        return Exposure(slot.id, self._ensemble_id, entry_fs, time_fs, reason is not None, reason)

    def _keep_candidate(self, i: int, reason: EndReason, look: _Look) -> None:
        source = self._near_threshold(i) if reason == "blow_up" else look
        if source is None or (reason == "completed" and not self._config.label_completed):
            return
        slot, time_fs = self._slots[i], float(source.times_fs[i])
        positions = source.batch.positions[source.batch.frame_index == i]
        self._candidates.append(
            CandidateFrame(
                frame=slot.frame_at(time_fs, positions.cpu().numpy()),
                trajectory_id=slot.id,
                reason=reason,
                time_fs=time_fs,
                temperature_k=float(slot.schedule.temperature_k(time_fs)),
                seed=slot.seed,
                spread=_row(source.scores.spread, i),
                expected_error=_row(source.scores.expected, i),
            )
        )

    def _near_threshold(self, i: int) -> _Look | None:
        """Return the last look if frame ``i`` was then near a threshold."""
        fraction = self._config.thresholds.blow_up_candidate_fraction
        look = self._last_look
        return look if look is not None and look.scores.worst[i] >= fraction else None

    def _move(self, standing: Standing) -> None:
        config = self._config
        self._standing = move(standing, self._slots, self._times_fs, self._potential, config, self._noise)
        self._times_fs = self._times_fs + config.check_every_steps * config.dynamics.timestep_fs
        self._steps += config.check_every_steps
        self._atom_steps += config.check_every_steps * standing.motion.batch.n_atoms

    def _finish(self, wall_s: float) -> tuple[SlotGroup, ChunkResult]:
        slots = self._slots
        if self._standing is not None:
            slots = trajectories_after(slots, self._standing.motion, self._times_fs)
        going_on = [self._exposure(i, None) for i in range(len(slots))]
        group = replace(
            self._group,
            trajectories=tuple(slots),
            noise_device=self._potential.device.type,
            noise_state=self._noise.get_state().numpy().tobytes(),
        )
        result = ChunkResult(
            exposures=self._exposures + [part for part in going_on if part.exit_fs > part.entry_fs],
            candidates=self._candidates,
            steps=self._steps,
            atom_steps=self._atom_steps,
            wall_s=wall_s,
            build_failures=self._build_failures,
        )
        return group, result


def fresh_cell_slack(times_fs: NDArray[np.float64], config: SamplingConfig) -> NDArray[np.float64]:
    """Return by how much the thresholds are larger for trajectories of these ages, shape (n_frames,)."""
    settle_fs = 1000.0 * config.dynamics.settle_ps
    unsettled = np.clip(1.0 - times_fs / settle_fs, 0.0, 1.0) if settle_fs > 0.0 else np.zeros_like(times_fs)
    return np.asarray(1.0 + (config.thresholds.fresh_cell_factor - 1.0) * unsettled)


@dataclass(frozen=True)
class _Look:
    """What was seen at a check, kept until the next in case a trajectory blows up in between."""

    batch: Batch
    scores: Scores
    times_fs: NDArray[np.float64]


def _row(values: Disagreement, i: int) -> dict[str, float]:
    return {name: float(column[i]) for name, column in asdict(values).items()}


def _noise_generator(group: SlotGroup, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device=device)
    if group.noise_device == device.type:
        generator.set_state(torch.frombuffer(bytearray(group.noise_state), dtype=torch.uint8))
    else:
        generator.manual_seed(group.noise_seed())
    return generator
