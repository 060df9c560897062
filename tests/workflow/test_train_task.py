"""The training task: interrupted, taken up again, and begun anew under other settings."""

from dataclasses import replace

import potentials
from potentials.training.train import start_problem
from workflow.settings.load import load_campaign, save_resolved
from workflow.storage.paths import CampaignPaths
from workflow.tasks.train import train_round


def change(paths, *settings):
    in_force = paths.settings_in_force
    save_resolved(load_campaign(in_force, settings), in_force)


def test_another_potential_learns_the_same_labels_from_random_weights(tmp_path, one_round):
    one_round(tmp_path)
    paths = CampaignPaths(tmp_path)
    change(paths, "synchronisation.warm_start=true", "potential.n_radial=5", "potential.hidden=[6]")
    done = train_round(str(tmp_path), 2, 0, 1, 1)
    assert done.previous_validation is not None
    assert potentials.load(paths.model(2)).config.n_radial == 5
    assert potentials.load(paths.model(1)).config.n_radial != 5


def test_weights_for_descriptors_of_another_version_are_no_start(tmp_path, one_round):
    paths = CampaignPaths(one_round(tmp_path))
    config, made = load_campaign(paths.settings_in_force), potentials.load(paths.model(1))
    assert start_problem(made, config.elements, config.potential) is None
    wider = replace(made, spec=replace(made.spec, zeta=0.5 * made.spec.zeta))
    assert start_problem(wider, config.elements, config.potential) is not None


def test_an_interrupted_training_goes_on_and_under_other_settings_begins_anew(tmp_path, one_round):
    one_round(tmp_path)
    paths = CampaignPaths(tmp_path)
    task = (str(tmp_path), 2, 0, 1, None)
    paths.stop_training.touch()
    assert train_round(*task).interrupted
    (checkpoint,) = paths.training(2).iterdir()
    began = checkpoint.stat().st_mtime_ns
    change(paths, "training.max_epochs=2")
    assert train_round(*task).interrupted
    assert len(list(paths.training(2).iterdir())) == 2
    assert checkpoint.stat().st_mtime_ns == began
    paths.stop_training.unlink()
    assert train_round(*task).epochs == 2
    assert not paths.training(2).exists()
