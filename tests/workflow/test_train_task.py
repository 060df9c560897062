"""The training task: interrupted, taken up again, and begun anew under other settings."""

from workflow.settings.load import load_campaign, save_resolved
from workflow.storage.paths import CampaignPaths
from workflow.tasks.train import train_round


def test_an_interrupted_training_goes_on_and_under_other_settings_begins_anew(tmp_path, one_round):
    one_round(tmp_path)
    paths = CampaignPaths(tmp_path)
    task = (str(tmp_path), 2, 0, 1, None)
    paths.stop_training.touch()
    assert train_round(*task).interrupted
    (checkpoint,) = paths.training(2).iterdir()
    began = checkpoint.stat().st_mtime_ns
    in_force = paths.settings_in_force
    save_resolved(load_campaign(in_force, ["training.max_epochs=2"]), in_force)
    assert train_round(*task).interrupted
    assert len(list(paths.training(2).iterdir())) == 2
    assert checkpoint.stat().st_mtime_ns == began
    paths.stop_training.unlink()
    assert train_round(*task).epochs == 2
    assert not paths.training(2).exists()
