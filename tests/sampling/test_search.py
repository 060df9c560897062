from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_builders import FailingBuilder, ToyCrystals, ToyPair
from toy_potentials import ToyMorse

from potentials.batch import Batch
from potentials.disagreement import Calibration, disagreement
from sampling.builder import BuildError
from sampling.builders import make_builder
from sampling.config import DisorderConfig, DynamicsConfig, SamplingConfig, ScheduleConfig, ThresholdConfig
from sampling.search import advance, fresh_cell_slack
from sampling.slot_group import SlotGroup, new_group

LENIENT = {
    "max_energy_error_mev_per_sqrt_atom": 1e6,
    "max_mean_force_error_ev_per_ang": 1e6,
    "max_force_error_ev_per_ang": 1e6,
    "close_contact_ang": 0.5,
}
NO_HEAT = ScheduleConfig(start_k=(1, 1), end_k=(1, 1), modulation_k=(0, 0), duration_ps=10.0)


def settings(thresholds=None, **changes):
    given = {
        "n_slots": 3,
        "check_every_steps": 5,
        "thresholds": ThresholdConfig(**LENIENT | (thresholds or {})),
    }
    return SamplingConfig(**given | changes)


def search(
    group, n_steps, config, potential=None, builder=None, ensemble="e1", calibration=None, stop_at=None
):
    return advance(
        group,
        potential or ToyMorse(),
        ensemble,
        calibration or Calibration(),
        builder or ToyCrystals(),
        config,
        n_steps,
        stop_at,
    )


def same(first: SlotGroup, second: SlotGroup) -> bool:
    if first.noise_state != second.noise_state or first.next_trajectory != second.next_trajectory:
        return False
    pairs = zip(first.trajectories, second.trajectories, strict=True)
    return all(
        a.id == b.id
        and a.time_fs == b.time_fs
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.velocities, b.velocities)
        for a, b in pairs
    )


@pytest.mark.parametrize(
    ("threshold", "field", "scale", "reason"),
    [
        ("max_energy_error_mev_per_sqrt_atom", "energy_ev_per_sqrt_atom", 1000, "energy_disagreement"),
        ("max_mean_force_error_ev_per_ang", "force_mean_ev_per_ang", 1, "mean_force_disagreement"),
        ("max_force_error_ev_per_ang", "force_max_ev_per_ang", 1, "max_force_disagreement"),
    ],
)
def test_each_disagreement_stops_a_trajectory_at_its_own_threshold(threshold, field, scale, reason):
    group, potential = new_group("g", 1, 1), ToyMorse()
    limit = settings({threshold: 1e-9}, n_slots=1, max_candidates_per_chunk=1)
    _, found = search(group, 5, limit, potential)
    (candidate,) = found.candidates
    batch = Batch.from_frames([candidate.frame], ("Al",), dtype=torch.float64)
    spread = disagreement(potential.evaluate(batch, member_forces=True), batch)
    value = getattr(spread, field)[0]
    assert candidate.reason == reason
    assert candidate.spread[field] == pytest.approx(value, rel=1e-6)
    _, above = search(group, 0, settings({threshold: 0.999 * scale * value}, n_slots=1), potential)
    _, below = search(group, 0, settings({threshold: 1.001 * scale * value}, n_slots=1), potential)
    assert [c.reason for c in above.candidates] == [reason]
    assert below.candidates == []


def test_thresholds_are_compared_with_calibrated_errors():
    group = new_group("g", 1, 3)
    _, strict = search(group, 0, settings(), calibration=Calibration())
    (first, *_) = search(group, 0, settings({"max_force_error_ev_per_ang": 1e-9}))[1].candidates
    raw = first.spread["force_max_ev_per_ang"]
    limit = settings({"max_force_error_ev_per_ang": 10 * raw}, n_slots=1)
    _, trusted = search(new_group("g", 1, 1), 0, limit, calibration=Calibration(force=9.9))
    _, stopped = search(new_group("g", 1, 1), 0, limit, calibration=Calibration(force=10.1))
    assert strict.candidates == [] == trusted.candidates
    assert stopped.candidates[0].expected_error["force_max_ev_per_ang"] == pytest.approx(10.1 * raw)


def test_a_fresh_cell_may_disagree_before_it_moves_and_enough_candidates_end_the_call():
    config = settings({"max_energy_error_mev_per_sqrt_atom": 1e-9}, max_candidates_per_chunk=7)
    group, found = search(new_group("g", 1, 3), 100, config)
    assert found.steps == 0
    assert [c.time_fs for c in found.candidates] == [0.0] * 9
    assert len({c.frame.positions.tobytes() for c in found.candidates}) == 9
    assert len({c.seed for c in found.candidates}) == 9
    assert [c.trajectory_id for c in found.candidates] == [f"g-{k:06d}" for k in range(9)]
    assert all(e.ended and e.exit_fs == 0.0 for e in found.exposures)
    assert group.next_trajectory == 9


def test_a_trajectory_that_reaches_its_time_has_completed_and_is_replaced_at_once():
    config = settings(schedule=ScheduleConfig(duration_ps=0.02), dynamics=DynamicsConfig(timestep_fs=2.0))
    group, found = search(new_group("g", 1, 3), 25, config)
    completed = [e for e in found.exposures if e.ended]
    assert [(e.trajectory_id, e.exit_fs, e.reason) for e in completed] == [
        (f"g-{k:06d}", 20.0, "completed") for k in range(6)
    ]
    assert [(c.trajectory_id, c.time_fs, c.reason) for c in found.candidates] == [
        (f"g-{k:06d}", 20.0, "completed") for k in range(6)
    ]
    silent = config.model_copy(update={"label_completed": False})
    assert search(new_group("g", 1, 3), 25, silent)[1].candidates == []
    assert [(t.id, t.time_fs) for t in group.trajectories] == [(f"g-{k:06d}", 10.0) for k in (6, 7, 8)]


def test_exposures_say_which_part_ran_under_which_ensemble():
    config = settings(schedule=ScheduleConfig(duration_ps=0.03))
    group, first = search(new_group("g", 1, 2), 20, replace_slots(config, 2), ensemble="old")
    _, second = search(group, 20, replace_slots(config, 2), ensemble="new")
    parts = [(e.trajectory_id, e.ensemble_id, e.entry_fs, e.exit_fs, e.ended) for e in first.exposures]
    assert parts == [(f"g-00000{k}", "old", 0.0, 20.0, False) for k in (0, 1)]
    parts = [(e.trajectory_id, e.ensemble_id, e.entry_fs, e.exit_fs, e.ended) for e in second.exposures]
    assert parts == [(f"g-00000{k}", "new", 20.0, 30.0, True) for k in (0, 1)] + [
        (f"g-00000{k}", "new", 0.0, 10.0, False) for k in (2, 3)
    ]


def replace_slots(config, n_slots):
    return config.model_copy(update={"n_slots": n_slots})


def test_a_new_ensemble_that_disagrees_stops_a_running_trajectory_where_it_is():
    config = settings({"max_energy_error_mev_per_sqrt_atom": 100.0})
    group, first = search(new_group("g", 1, 3), 20, config, ToyMorse((-0.001, 0.001)))
    _, second = search(group, 0, config, ToyMorse((-0.5, 0.5)), ensemble="e2")
    assert first.candidates == []
    assert [(c.reason, c.time_fs) for c in second.candidates] == [("energy_disagreement", 20.0)] * 3
    assert [(e.entry_fs, e.exit_fs, e.ended) for e in second.exposures] == [(20.0, 20.0, True)] * 3


def test_a_contact_through_the_periodic_boundary_stops_a_trajectory():
    config = settings({"close_contact_ang": 1.6}, schedule=NO_HEAT, max_candidates_per_chunk=1, n_slots=1)
    _, near = search(new_group("g", 1, 1), 0, config, builder=ToyPair(1.5))
    _, far = search(new_group("g", 1, 1), 0, config, builder=ToyPair(1.7))
    assert [c.reason for c in near.candidates] == ["close_contact"]
    assert far.candidates == []


def test_contacts_are_seen_even_beyond_the_cutoff_of_the_potential():
    config = settings({"close_contact_ang": 2.5}, schedule=NO_HEAT, max_candidates_per_chunk=1, n_slots=1)
    _, found = search(new_group("g", 1, 1), 0, config, ToyMorse(cutoff_ang=2.0), ToyPair(2.4))
    assert [c.reason for c in found.candidates] == ["close_contact"]


def test_a_blow_up_ends_the_trajectory_without_candidate_if_the_ensemble_was_sure():
    config = settings(dynamics=DynamicsConfig(timestep_fs=60.0, settle_ps=0.0, friction_per_ps=0.0))
    hot = config.model_copy(update={"schedule": ScheduleConfig(start_k=(3000, 3000))})
    _, found = search(new_group("g", 1, 3), 100, hot)
    blown = [e for e in found.exposures if e.reason == "blow_up"]
    assert blown
    assert all(e.exit_fs > 0 for e in blown)
    assert found.candidates == []


def test_a_blow_up_gives_the_last_checked_frame_if_that_was_near_a_threshold():
    config = settings(
        {
            "max_energy_error_mev_per_sqrt_atom": 120.0,
            "blow_up_force_ev_per_ang": 1e-3,
            "blow_up_candidate_fraction": 0.5,
        },
        n_slots=1,
        max_candidates_per_chunk=1,
    )
    _, found = search(new_group("g", 1, 1), 5, config, ToyMorse((-0.025, 0.025)))
    (candidate,) = found.candidates
    ratio = 1000 * candidate.expected_error["energy_ev_per_sqrt_atom"] / 120.0
    assert 0.5 < ratio < 1.0
    assert candidate.reason == "blow_up"
    assert candidate.time_fs == 0.0
    assert found.exposures[0].exit_fs == 5.0
    fresh = ToyCrystals().build(np.random.SeedSequence(1, spawn_key=(1, 0, 0)))
    fresh.wrap()
    assert candidate.frame.positions == pytest.approx(fresh.positions, abs=1e-9)


def test_large_forces_on_a_fresh_cell_are_disagreement_and_no_blow_up():
    config = settings(
        {"max_force_error_ev_per_ang": 1e-9, "blow_up_force_ev_per_ang": 1e-3},
        n_slots=1,
        max_candidates_per_chunk=1,
    )
    _, found = search(new_group("g", 1, 1), 5, config)
    assert [c.reason for c in found.candidates] == ["max_force_disagreement"]


def test_an_ensemble_that_predicts_nonsense_ends_the_call_and_not_the_process():
    config = settings(max_candidates_per_chunk=4)
    _, found = search(new_group("g", 1, 3), 100, config, ToyMorse((float("nan"), 0.0)))
    assert found.steps == 0
    assert found.candidates == []
    assert {e.reason for e in found.exposures} == {"blow_up"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_resumed_group_is_equal_to_the_bit_to_one_that_never_stopped(tmp_path, dtype):
    config = settings(schedule=ScheduleConfig(duration_ps=0.035))
    potential, builder = ToyMorse(dtype=dtype), make_builder(DisorderConfig(side_ang=(10.5, 11)), ["Al"])
    start = new_group("g", 9, 3)
    whole, found = search(start, 60, config, potential, builder)
    group, parts = start, []
    for n_steps in (15, 20, 25):
        group, part = search(group, n_steps, config, potential, builder)
        parts.append(part)
        group.save(tmp_path / "group.npz")
        group = SlotGroup.load(tmp_path / "group.npz")
    assert same(whole, group)
    assert sum(part.atom_steps for part in parts) == found.atom_steps
    ended = [(e.trajectory_id, e.exit_fs) for part in parts for e in part.exposures if e.ended]
    assert ended == [(e.trajectory_id, e.exit_fs) for e in found.exposures if e.ended]
    assert len(ended) == 3


def test_groups_of_different_seeds_have_nothing_in_common():
    first, second = (new_group("g", seed, 2) for seed in np.random.SeedSequence(3).spawn(2))
    moved = [search(group, 5, settings())[0] for group in (first, second)]
    places = {t.positions.tobytes() for group in moved for t in group.trajectories}
    assert len(places) == 4
    assert moved[0].noise_state != moved[1].noise_state


def test_a_stop_is_heeded_at_the_next_look():
    asked = []
    group, found = search(
        new_group("g", 1, 3), 1000, settings(), stop_at=lambda: asked.append(1) or len(asked) == 3
    )
    assert found.steps == 10
    assert [t.time_fs for t in group.trajectories] == [10.0] * 3


def test_steps_and_atom_steps_are_counted():
    _, found = search(new_group("g", 1, 3), 12, settings())
    assert found.steps == 15
    assert found.atom_steps == 15 * 3 * 32


def test_cells_that_cannot_be_built_are_counted_and_replaced_by_the_next_seed():
    group, found = search(new_group("g", 1, 3), 5, settings(), builder=FailingBuilder(2))
    assert found.build_failures == 6
    assert [t.id for t in group.trajectories] == ["g-000002", "g-000005", "g-000008"]


def test_a_builder_that_always_fails_is_an_error_and_one_that_gives_up_leaves_slots_empty():
    config = settings(max_build_failures=4)
    with pytest.raises(BuildError, match="no starting cell in 5 attempts: meant to fail"):
        search(new_group("g", 1, 3), 5, config, builder=FailingBuilder(10**9))
    tired = FailingBuilder(5, calls=4)
    group, found = search(new_group("g", 1, 3), 5, config, builder=tired)
    assert len(group.trajectories) == 1
    assert found.steps == 5


def test_the_thermostat_follows_the_schedule_of_each_slot():
    constant = ScheduleConfig(start_k=(100, 1500), end_k=(300, 300), modulation_k=(0, 0), duration_ps=100.0)
    dynamics = DynamicsConfig(timestep_fs=2.0, settle_ps=10.0)
    config = settings(schedule=constant, dynamics=dynamics)
    group, _ = search(new_group("g", 0, 3), 200, config, builder=ToyCrystals(size=3))
    wanted = [t.schedule.start_k for t in group.trajectories]
    found = [
        26.98 * (t.velocities**2).sum() / (3 * len(t.numbers)) / 8.617333e-5 / 0.00964853
        for t in group.trajectories
    ]
    assert max(wanted) > 2 * min(wanted)
    assert found == pytest.approx(wanted, rel=0.2)


def test_random_cells_of_the_paper_do_not_blow_up_under_a_sane_potential():
    builder = make_builder(DisorderConfig(side_ang=(10.5, 11.5)), ["Al"])
    config = settings({"blow_up_temperature_k": 5000.0}, n_slots=6)
    _, found = search(new_group("g", 2, 6), 100, config, ToyMorse(dtype=torch.float32), builder)
    assert [e.reason for e in found.exposures] == [None] * 6


def test_candidates_lie_within_their_cell():
    config = settings({"max_energy_error_mev_per_sqrt_atom": 1e-9}, max_candidates_per_chunk=1)
    _, found = search(new_group("g", 1, 3), 1, config)
    for candidate in found.candidates:
        fractional = candidate.frame.get_scaled_positions(wrap=False)
        assert (fractional >= -1e-9).all()
        assert (fractional < 1 + 1e-9).all()


def test_the_given_group_is_not_changed():
    group, _ = search(new_group("g", 1, 2), 5, settings())
    kept = [t.positions.copy() for t in group.trajectories]
    search(group, 10, settings())
    assert all(np.array_equal(a, t.positions) for a, t in zip(kept, group.trajectories, strict=True))
    assert same(group, replace(group))


def test_fresh_cells_are_given_slack_that_is_used_up_when_they_have_settled():
    config = SamplingConfig.model_validate(
        {"dynamics": {"settle_ps": 0.2}, "thresholds": {"fresh_cell_factor": 5.0}}
    )
    slack = fresh_cell_slack(np.array([0.0, 100.0, 200.0, 5000.0]), config)
    assert slack.tolist() == [5.0, 3.0, 1.0, 1.0]
