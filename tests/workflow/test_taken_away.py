"""A worker that wakes up when its task has been done elsewhere writes nothing over what is newer."""

from __future__ import annotations

import pytest
from tiny_campaign import run_tiny, tiny_config

from site_configs.marks import own_name
from workflow.execution.running import RunningTask, TaskTakenAwayError, forget, refuse_if_taken_away
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import ids
from workflow.tasks import sample


@pytest.fixture
def run():
    return RunningTask(7, own_name(), "here", "n1", "sampling/0", started=0.0)


def test_a_task_is_its_workers_own_until_the_driver_gives_it_away(run, tmp_path):
    refuse_if_taken_away()  # outside of any task
    with run.recorded(tmp_path):
        refuse_if_taken_away()
        forget(tmp_path, 70)
        refuse_if_taken_away()
        forget(tmp_path, 7)
        with pytest.raises(TaskTakenAwayError, match=r"task 7\.n1.* was given to another worker"):
            refuse_if_taken_away()
    refuse_if_taken_away()


def test_trajectories_that_were_advanced_elsewhere_meanwhile_stay_so(run, tmp_path, monkeypatch):
    directory, records = tmp_path / "run", tmp_path / "records"
    records.mkdir()
    run_tiny(directory, tiny_config())
    paths, state = CampaignPaths(directory), load_state(directory)
    (cycle, group), done = next(iter(state.last_chunk.items()))
    advance = sample.advance
    files = [paths.chunk(cycle, group, done + 1), paths.chunk_summary(cycle, group, done + 1)]

    def advance_slowly(*args, **kwargs):
        result = advance(*args, **kwargs)
        forget(records, run.task)  # the driver has given this worker up ...
        for file in files:
            file.write_text("newer")  # ... and another has done its task
        return result

    monkeypatch.setattr(sample, "advance", advance_slowly)
    candidates = ids(paths.candidates)
    with run.recorded(records), pytest.raises(TaskTakenAwayError):
        sample.sample_chunk(str(directory), cycle, group, done + 1, state.current[cycle])
    assert [file.read_text() for file in files] == ["newer", "newer"]
    assert ids(paths.candidates) == candidates
