"""The search with a real ensemble in place of a toy."""

import numpy as np
import torch
from toy_builders import ToyCrystals

from potentials import network
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.disagreement import Calibration
from potentials.ensemble import AniEnsemble
from sampling.builders import make_builder
from sampling.config import DisorderConfig, SamplingConfig, ScheduleConfig, SelectorConfig, ThresholdConfig
from sampling.search import advance
from sampling.selection import make_selector
from sampling.slot_group import SlotGroup, new_group

CONFIG = AniConfig(
    radial_cutoff_ang=5.0,
    angular_cutoff_ang=4.0,
    n_radial=8,
    n_angular_radial=3,
    n_angles=4,
    hidden=(16, 8),
    n_members=3,
)


def ensemble(dtype=torch.float32):
    """Untrained members, so they disagree, but their forces are finite and smooth."""
    spec = DescriptorSpec.from_config(CONFIG, 1)
    networks = network.initial(spec, CONFIG, seeds=[1, 2, 3])
    return AniEnsemble(CONFIG, ("Al",), spec, networks, torch.tensor([-3.0], dtype=torch.float64)).to(
        dtype=dtype
    )


def settings(**thresholds):
    lenient = {
        "max_energy_error_mev_per_sqrt_atom": 1e6,
        "max_mean_force_error_ev_per_ang": 1e6,
        "max_force_error_ev_per_ang": 1e6,
    }
    return SamplingConfig(
        n_slots=3,
        check_every_steps=5,
        schedule=ScheduleConfig(duration_ps=0.025),
        thresholds=ThresholdConfig(**lenient | thresholds),
    )


def test_a_resumed_group_is_equal_to_the_bit_with_a_real_ensemble(tmp_path):
    builder = make_builder(DisorderConfig(side_ang=(10.5, 11.0), density_g_per_cm3=(1.8, 2.5)), ["Al"])
    arguments = (ensemble(), "e1", Calibration(), builder, settings())
    whole, found = advance(new_group("g", 5, 3), *arguments, n_steps=40)
    group = new_group("g", 5, 3)
    for n_steps in (10, 15, 15):
        group, _ = advance(group, *arguments, n_steps=n_steps)
        group.save(tmp_path / "group.npz")
        group = SlotGroup.load(tmp_path / "group.npz")
    assert [e.reason for e in found.exposures] == ["completed"] * 3 + [None] * 3
    assert group.noise_state == whole.noise_state
    for a, b in zip(group.trajectories, whole.trajectories, strict=True):
        assert a.id == b.id
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.velocities, b.velocities)


def test_untrained_members_disagree_at_once_and_still_do_when_asked_again():
    config = settings(max_force_error_ev_per_ang=1e-4)
    _, found = advance(
        new_group("g", 1, 3), ensemble(), "e1", Calibration(), ToyCrystals(0.1), config, n_steps=5
    )
    assert {c.reason for c in found.candidates} == {"max_force_disagreement"}
    frames = [c.frame for c in found.candidates]
    given = {"potential": ensemble(torch.float64), "thresholds": config.thresholds}
    selection = make_selector(SelectorConfig(fingerprint_tolerance=0)).select(frames, **given)
    assert sorted(selection.kept) == list(range(len(frames)))
