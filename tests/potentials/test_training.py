"""Small trainings from beginning to end, on aluminium clusters and cells labelled by ASE's EMT."""

from dataclasses import replace
from functools import cache
from itertools import groupby

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.kernels.select import kernel_for
from potentials.storage import load, save
from potentials.training.config import TrainingConfig
from potentials.training.errors import evaluate_errors
from potentials.training.frames import ReadyFrames
from potentials.training.train import TrainingError, train_ensemble
from potentials.training.training_set import TrainingSet, fold_of, n_folds

POTENTIAL = AniConfig(
    radial_cutoff_ang=4.5,
    angular_cutoff_ang=3.8,
    n_radial=8,
    radial_eta_per_ang2=6.0,
    n_angular_radial=2,
    n_angles=4,
    zeta=8.0,
    angular_eta_per_ang2=2.0,
    first_shell_ang=1.8,
    hidden=(12, 8),
    n_members=4,
)
QUICK = TrainingConfig(max_epochs=4, batch_frames=5)


@cache
def labels(first, n):
    ids, frames = [f"label-{k}" for k in range(first, first + n)], []
    for k in range(first, first + n):
        rng = np.random.default_rng(k)
        frame = bulk("Al", "fcc", a=rng.uniform(3.8, 4.4), cubic=True)
        frame.positions += rng.normal(0, 0.15, frame.positions.shape)
        frame.calc = EMT()
        frames.append(frame)
    return TrainingSet(
        ids=ids,
        frames=[Atoms(f.symbols, positions=f.positions, cell=f.cell, pbc=f.pbc) for f in frames],
        energies_ev=np.array([f.get_potential_energy() for f in frames]),
        forces_ev_per_ang=[f.get_forces() for f in frames],
        stresses_ev_per_ang3=[f.get_stress(voigt=False) for f in frames],
    )


def train(data=None, config=QUICK, seed=5, validation=None, potential=POTENTIAL, **options):
    data = labels(0, 30) if data is None else data
    validation = labels(1000, 8) if validation is None else validation
    return train_ensemble(
        data, validation, elements=("Al",), potential=potential, training=config, seed=seed, **options
    )


def weights(result):
    return torch.cat([p.flatten(1) for p in result.ensemble.networks.parameters()], dim=1)


def with_energies(data, changed):
    return replace(data, energies_ev=np.where(changed, data.energies_ev + 0.5, data.energies_ev))


def test_learns_crystals_under_emt():
    data, validation = labels(0, 60), labels(1000, 8)
    result = train(data, TrainingConfig(max_epochs=60, batch_frames=4, learning_rate=5e-3))
    spread_of_labels = np.concatenate(validation.forces_ev_per_ang).std()
    assert result.validation.force_rmse_ev_per_ang < 0.25 * spread_of_labels
    assert result.validation.energy_rmse_mev_per_atom < 15.0
    assert result.validation == evaluate_errors(result.ensemble, validation)


def test_every_label_is_predicted_once_by_the_member_that_never_saw_it():
    result = train()
    assert sorted(result.out_of_fold.ids) == sorted(labels(0, 30).ids)
    assert [e.n_frames for e in result.member_errors] == [
        sum(fold_of(i, 4) == m for i in labels(0, 30).ids) for m in range(4)
    ]


def test_a_member_is_blind_to_labels_of_its_own_fold():
    data = labels(0, 30)
    changed = np.array([fold_of(label, 4) == 1 for label in data.ids])
    forces = [f + 0.3 * c for f, c in zip(data.forces_ev_per_ang, changed, strict=True)]
    before = train(data)
    after = train(replace(with_energies(data, changed), forces_ev_per_ang=forces))
    frame = labels(1000, 8).frames

    def energies(result):
        return np.array([_member_energies(result.ensemble, f) for f in frame]).T

    np.testing.assert_allclose(energies(after)[1], energies(before)[1], atol=2e-6)
    assert np.abs(energies(after)[[2, 3]] - energies(before)[[2, 3]]).min(axis=1).max() > 1e-3


def _member_energies(ensemble, frame):
    frame = frame.copy()
    frame.calc = ensemble.calculator()
    frame.get_potential_energy()
    return np.asarray(frame.calc.results["member_energies"])


def test_validation_labels_change_nothing_but_the_report():
    validation = labels(1000, 8)
    first, second = train(), train(validation=with_energies(validation, np.ones(8, dtype=bool)))
    assert torch.equal(weights(first), weights(second))
    assert first.validation != second.validation


def test_same_seed_same_weights_other_seed_other_weights():
    assert torch.equal(weights(train()), weights(train()))
    assert not torch.allclose(weights(train()), weights(train(seed=6)), atol=1e-3)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_resumed_training_equals_an_uninterrupted_one(tmp_path, schedule):
    config = TrainingConfig(max_epochs=6, batch_frames=5, schedule=schedule, plateau_epochs=1)
    file, asked = tmp_path / "training.safetensors", 0

    def after_some_batches():
        nonlocal asked
        asked += 1
        return asked == 16

    assert train(config=config, checkpoint=file, should_stop=after_some_batches) is None
    resumed_epochs = []
    resumed = train(config=config, checkpoint=file, on_epoch=lambda r: resumed_epochs.append(r.epoch))
    whole = train(config=config)
    assert resumed_epochs == [3, 4, 5, 6]
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.history == whole.history
    assert not list(tmp_path.glob("*.tmp"))


def test_checkpoint_of_another_training_is_refused(tmp_path):
    file = tmp_path / "training.safetensors"
    train(checkpoint=file)
    with pytest.raises(ValueError, match="belongs to a training of other labels, settings or seed"):
        train(checkpoint=file, seed=6)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"training\.safetensors is damaged"):
        train(checkpoint=file)


def test_a_member_that_diverges_begins_again_and_is_given_up(monkeypatch):
    broken = _break(monkeypatch, members=(2,), attempts=(0, 1, 2))
    result = train(config=TrainingConfig(max_epochs=3, batch_frames=5, max_restarts=2))
    assert broken == [(2, 0), (2, 1), (2, 2)]
    assert (result.restarted_members, result.failed_members, result.members) == ([2], [2], [0, 1, 3])
    assert result.ensemble.n_members == 3
    assert not any(fold_of(label, 4) == 2 for label in result.out_of_fold.ids)


def test_a_member_that_diverges_once_recovers(monkeypatch):
    _break(monkeypatch, members=(2,), attempts=(0,))
    result = train(config=TrainingConfig(max_epochs=3, batch_frames=5))
    assert (result.restarted_members, result.failed_members) == ([2], [])
    assert result.history[0].restarted == (2,)
    assert [report.n_learning for report in result.history] == [4, 4, 4, 1]
    assert bool(torch.isfinite(weights(result)).all())


def _break(monkeypatch, members, attempts):
    """Give some members first weights that make every energy overflow."""
    from potentials.training import loop, train
    from potentials.training.parameters import ParameterLayout
    from potentials.training.state import member_seed

    bad = {member_seed(5, m, a): (m, a) for m in members for a in attempts}
    met, honest = [], ParameterLayout.initial

    def initial(layout, seeds):
        rows = honest(layout, seeds)
        for row, seed in enumerate(seeds):
            if seed in bad:
                met.append(bad[seed])
                rows[row] *= 1e20
        return rows

    monkeypatch.setattr(ParameterLayout, "initial", initial)
    assert train.member_seed is loop.member_seed
    return met


def test_all_members_diverging_is_an_error():
    data = replace(labels(0, 30), energies_ev=labels(0, 30).energies_ev * 1e300)
    with pytest.raises(TrainingError, match="all 4 members diverged"):
        train(data, TrainingConfig(max_epochs=2, max_restarts=1))


def test_an_absurd_learning_rate_ends_in_an_error_not_in_nonsense():
    with pytest.raises(TrainingError, match="after 1 restarts"):
        train(config=TrainingConfig(max_epochs=20, learning_rate=1e6, max_restarts=1))


def test_plateau_schedule_halves_and_stops():
    config = TrainingConfig(
        schedule="plateau", plateau_epochs=1, learning_rate=2e-2, final_learning_rate=8e-3, max_epochs=90
    )
    history = train(config=config).history
    rates = [report.learning_rate for report in history]
    assert rates[0] == pytest.approx(2e-2)
    assert rates[-1] < 8e-3  # the last members have just fallen below the last rate
    assert len(history) < 90


def test_the_rate_is_halved_exactly_and_members_stop_one_by_one():
    config = TrainingConfig(
        schedule="plateau", plateau_epochs=1, learning_rate=2e-2, final_learning_rate=4e-3, max_epochs=90
    )
    alone = train(config=config, potential=POTENTIAL.model_copy(update={"n_members": 1})).history
    assert [rate for rate, _ in groupby(report.learning_rate for report in alone)] == [
        2e-2,
        1e-2,
        5e-3,
        2.5e-3,
    ]
    learning = [report.n_learning for report in train(config=config).history]
    assert learning == sorted(learning, reverse=True)
    assert learning[0] == 4
    assert len(set(learning)) > 1


def test_a_member_keeps_the_weights_that_were_best_on_its_stopping_fold():
    """Forces only and frames of one size, so that the loss is the force error, which grows again here."""
    config = TrainingConfig(
        max_epochs=16,
        batch_frames=5,
        energy_weight=0.0,
        weight_average_epochs=0.0,
        schedule="plateau",
        plateau_epochs=99,
        learning_rate=5e-2,
    )
    data = labels(0, 30)
    result = train(config=config, potential=POTENTIAL.model_copy(update={"n_members": 1}))
    stopping = data.subset([i for i, label in enumerate(data.ids) if fold_of(label, 1) == 1])
    found = evaluate_errors(result.ensemble, stopping).force_rmse_ev_per_ang
    by_epoch = [report.stopping_force_rmse_ev_per_ang for report in result.history]
    assert found == pytest.approx(min(by_epoch), rel=1e-4)
    assert by_epoch[-1] > 1.001 * min(by_epoch)


def test_warm_start_goes_on_where_the_last_ensemble_was(tmp_path):
    first = train(config=TrainingConfig(max_epochs=25, batch_frames=5, learning_rate=5e-3))
    save(first.ensemble, tmp_path / "model")
    more = labels(0, 40)
    config = TrainingConfig(max_epochs=1, batch_frames=5, learning_rate=1e-7, final_learning_rate=1e-7)
    warm, cold = train(more, config, start=load(tmp_path / "model")), train(more, config)
    assert warm.validation.force_rmse_ev_per_ang == pytest.approx(
        first.validation.force_rmse_ev_per_ang, rel=1e-3
    )
    assert warm.validation.force_rmse_ev_per_ang < 0.6 * cold.validation.force_rmse_ev_per_ang


def test_warm_start_from_other_settings_is_refused():
    other = train(potential=POTENTIAL.model_copy(update={"hidden": (6,)})).ensemble
    with pytest.raises(ValueError, match=r"start from has hidden \(6,\), this training has \(12, 8\)"):
        train(start=other)
    copper = replace(train().ensemble, elements=("Cu",))
    with pytest.raises(ValueError, match=r"has elements \('Cu',\), this training has \('Al',\)"):
        train(start=copper)


def test_empty_validation_and_single_member():
    nothing = labels(0, 0)
    result = train(validation=nothing, potential=POTENTIAL.model_copy(update={"n_members": 1}))
    assert result.validation is None
    assert (result.calibration.energy, result.calibration.force) == (1.0, 1.0)
    assert evaluate_errors(result.ensemble, nothing) is None
    assert 0 < len(result.out_of_fold.ids) < 30
    assert n_folds(1) == 4


def test_two_thirds_of_the_validation_frames_are_within_their_calibrated_spread():
    result = train()
    errors, spread = result.validation_frames.errors, result.validation_frames.spread
    expected = result.calibration.force * np.asarray(spread.force_mean_ev_per_ang)
    within = np.asarray(errors.force_mean_ev_per_ang) <= expected * (1.0 + 1e-9)
    assert abs(np.mean(within) - 0.68) <= 1.5 / len(within)


def test_card_tells_how_the_ensemble_came_about(tmp_path):
    result = train()
    save(result.ensemble, tmp_path / "model")
    card = load(tmp_path / "model").card
    assert card["training"]["n_labels"] == 30
    assert len(set(card["training"]["member_seeds"])) == 4
    assert card["errors"]["validation"]["force_rmse_ev_per_ang"] == result.validation.force_rmse_ev_per_ang
    assert card["calibration"]["force"] == result.calibration.force


def test_elements_missing_from_the_potential_are_refused():
    data = labels(0, 30)
    strange = data.frames[3].copy()
    strange.symbols[0] = "Cu"
    with pytest.raises(ValueError, match="frames contain Cu"):
        train(replace(data, frames=[*data.frames[:3], strange, *data.frames[4:]]))


def test_frames_that_find_no_room_in_memory_change_nothing():
    kept = weights(train())
    for cache_gib in (0.0, 1e-4):
        anew = weights(train(config=QUICK.model_copy(update={"cache_gib": cache_gib})))
        assert torch.allclose(anew, kept, rtol=1e-4, atol=1e-5)


def test_no_more_is_kept_in_memory_than_allowed():
    data, spec = labels(0, 30), DescriptorSpec.from_config(POTENTIAL, 1)
    kernel = kernel_for(spec, "cpu")
    everything = ReadyFrames(data, ("Al",), spec, kernel).kept_bytes
    assert everything > 30 * 4 * 15 * 16  # frames of 4 atoms, each with over 15 pairs of 16 bytes
    for share in (0.0, 0.5, 0.99):
        memory_gib = share * everything / 2**30
        kept = ReadyFrames(data, ("Al",), spec, kernel, memory_gib=memory_gib).kept_bytes
        assert (share - 0.1) * everything < kept <= share * everything


def test_two_elements_learn_together():
    def alloyed(data):
        frames = [frame.copy() for frame in data.frames]
        rng = np.random.default_rng(8)
        for frame in frames:
            frame.symbols[rng.permutation(4)[: rng.integers(0, 5)]] = "Cu"
            frame.calc = EMT()
        return TrainingSet(
            ids=data.ids,
            frames=frames,
            energies_ev=np.array([frame.get_potential_energy() for frame in frames]),
            forces_ev_per_ang=[frame.get_forces() for frame in frames],
            stresses_ev_per_ang3=[None] * len(frames),
        )

    validation = alloyed(labels(1000, 8))
    config = TrainingConfig(max_epochs=40, batch_frames=4)
    result = train_ensemble(
        alloyed(labels(0, 60)),
        validation,
        elements=("Al", "Cu"),
        potential=POTENTIAL,
        training=config,
        seed=5,
    )
    spread_of_labels = np.concatenate(validation.forces_ev_per_ang).std()
    assert result.validation.force_rmse_ev_per_ang < 0.5 * spread_of_labels
    assert result.validation.energy_rmse_mev_per_atom < 60.0


def test_settings_are_held_against_each_other():
    with pytest.raises(ValueError, match=r"final_learning_rate 0\.1 is above learning_rate 0\.01"):
        TrainingConfig(final_learning_rate=0.1)
    with pytest.raises(ValueError, match="nothing to learn"):
        TrainingConfig(energy_weight=0, force_weight=0)
    warm = TrainingConfig(max_epochs=41, learning_rate=1e-2, warm_start_share=0.25).after_warm_start()
    assert (warm.max_epochs, warm.learning_rate) == (11, 2.5e-3)
