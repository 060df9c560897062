import numpy as np
import pytest
from ase import Atoms

from potentials.training.loop import Deal
from potentials.training.training_set import TrainingSet, fold_of, is_validation, n_folds

IDS = [f"{k:032x}" for k in range(2000)]


def some_labels(n=3):
    rng = np.random.default_rng(0)
    frames = [Atoms("Al2", positions=rng.uniform(0, 4, (2, 3)), cell=[4, 4, 4], pbc=True) for _ in range(n)]
    return {
        "ids": IDS[:n],
        "frames": frames,
        "energies_ev": rng.normal(size=n),
        "forces_ev_per_ang": [rng.normal(size=(2, 3)) for _ in range(n)],
        "stresses_ev_per_ang3": [None] * n,
    }


def test_folds_are_stable_and_even():
    assert [fold_of(label, 8) for label in IDS[:6]] == [fold_of(label, 8) for label in IDS[:6]]
    counts = np.bincount([fold_of(label, 8) for label in IDS], minlength=8)
    assert counts.min() > 200
    assert counts.max() < 300


@pytest.mark.parametrize("n_members", [1, 2, 4, 8])
def test_a_member_learns_from_all_folds_but_two(n_members):
    deal = Deal.of(IDS, n_members)
    folds = np.array([fold_of(label, n_members) for label in IDS])
    for m in range(n_members):
        assert not set(folds[deal.learns[m]]) & {m, (m + 1) % n_folds(n_members)}
        assert set(folds[deal.stops[m]]) == {(m + 1) % n_folds(n_members)}
        assert not bool((deal.learns[m] & deal.stops[m]).any())


def test_validation_fraction_is_met_and_grows():
    small = {label for label in IDS if is_validation(label, 0.1)}
    large = {label for label in IDS if is_validation(label, 0.2)}
    assert small < large
    assert 0.07 < len(small) / len(IDS) < 0.13
    assert not any(is_validation(label, 0.0) for label in IDS)


def test_validation_does_not_follow_folds():
    held_out = np.bincount([fold_of(label, 4) for label in IDS if is_validation(label, 0.25)], minlength=4)
    assert held_out.min() > 90


def test_too_few_labels_are_refused():
    with pytest.raises(ValueError, match="0 labels are too few to train 8 members"):
        Deal.of([], 8)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("energies_ev", np.array([0.0, np.nan, 0.0]), f"label {IDS[1]} has energy that"),
        ("forces_ev_per_ang", [np.zeros((2, 3)), np.zeros((2, 3)), np.full((2, 3), np.inf)], IDS[2]),
        ("forces_ev_per_ang", [np.zeros((2, 3)), np.zeros((3, 3)), np.zeros((2, 3))], "for 2 atoms"),
        ("stresses_ev_per_ang3", [None, None, np.zeros(6)], r"stress of shape \(6,\)"),
        ("stresses_ev_per_ang3", [None], "differ in number"),
        ("ids", [IDS[0], IDS[1], IDS[0]], f"label {IDS[0]} occurs twice"),
    ],
)
def test_bad_labels_are_refused_by_name(column, value, message):
    with pytest.raises(ValueError, match=message):
        TrainingSet(**(some_labels() | {column: value}))


def test_subset_keeps_the_order_asked_for():
    data = TrainingSet(**some_labels())
    part = data.subset([2, 0])
    assert part.ids == [IDS[2], IDS[0]]
    assert part.energies_ev.tolist() == [data.energies_ev[2], data.energies_ev[0]]
