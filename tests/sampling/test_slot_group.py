from dataclasses import replace

import numpy as np
import pytest
from toy_builders import ToyCrystals

from sampling.config import SamplingConfig
from sampling.recruits import recruit
from sampling.slot_group import SlotGroup, new_group


def filled(n_slots=2):
    group = new_group("c0-g1", np.random.SeedSequence(5, spawn_key=(3,)), n_slots)
    new = recruit(group, n_slots, ToyCrystals(), SamplingConfig())
    return replace(
        group,
        next_trajectory=new.next_trajectory,
        trajectories=tuple(new.trajectories),
        noise_device="cpu",
        noise_state=b"\x00\x01\xff",
    )


def test_a_checkpoint_holds_everything(tmp_path):
    group = filled()
    group.save(tmp_path / "group.npz")
    again = SlotGroup.load(tmp_path / "group.npz")
    assert replace(again, trajectories=()) == replace(group, trajectories=())
    for a, b in zip(again.trajectories, group.trajectories, strict=True):
        assert (a.id, a.seed, a.schedule, a.time_fs) == (b.id, b.seed, b.schedule, b.time_fs)
        for name in ("numbers", "positions", "velocities", "cell", "pbc"):
            left, right = getattr(a, name), getattr(b, name)
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)


def test_a_group_in_which_nothing_runs_is_saved_too(tmp_path):
    group = new_group("g", 2**90, 4)
    group.save(tmp_path / "group.npz")
    assert SlotGroup.load(tmp_path / "group.npz") == group


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "group.npz"
    filled().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"group\.npz is not a readable trajectory checkpoint"):
        SlotGroup.load(path)


def test_a_checkpoint_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "group.npz"
    filled(2).save(path)
    filled(1).save(path)
    assert len(SlotGroup.load(path).trajectories) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_checkpoint_and_no_debris(tmp_path):
    path = tmp_path / "group.npz"
    path.mkdir()
    with pytest.raises(OSError):
        filled().save(path)
    assert list(tmp_path.iterdir()) == [path]


def test_trajectory_seeds_differ_between_groups_and_numbers():
    groups = [new_group("g", seed, 1) for seed in np.random.SeedSequence(0).spawn(3)]
    drawn = {tuple(g.trajectory_seed(k).generate_state(4)) for g in groups for k in range(5)}
    assert len(drawn) == 15
    assert groups[1].trajectory_seed(2).spawn_key == (1, 1, 2)


def test_a_seed_that_cannot_be_written_down_is_refused():
    with pytest.raises(TypeError, match="one integer as entropy"):
        new_group("g", np.random.SeedSequence([1, 2]), 1)
