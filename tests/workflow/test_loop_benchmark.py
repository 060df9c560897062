"""The benchmark of the loop still runs and puts idle seconds down rightly; its figures are not looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

sys.path.insert(0, str(ROOT))
from benchmarks import loop  # noqa: E402
from benchmarks.loop import idle_by_cause  # noqa: E402


def task(kind, started, ended):
    return {"event": "task", "kind": kind, "started": started, "ended": ended}


def test_every_idle_second_has_its_cause():
    events = [
        {"event": "started", "time": 0.0},
        task("label_candidates", 2.0, 5.0),
        task("label_candidates", 2.0, 8.0),
        task("label_candidates", 5.05, 8.0),
        task("train_round", 9.0, 12.0),
        {"event": "stopped", "time": 13.0},
    ]
    assert dict(idle_by_cause(events, workers=2)) == pytest.approx(
        {
            "start, until the first task": 4.0,
            "hand-over between tasks": 0.05,
            "nothing beside the driver": 2.0,
            "at the end, nothing beside train_round": 3.0,
            "end of the executors": 2.0,
        }
    )


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the workers, who import the label source
    monkeypatch.setattr(loop, "LONGEST_S", 0.3)
    loop.main(["--labels", "20", "--seconds", "5", "--directory", str(tmp_path)])
    said = capsys.readouterr()
    assert said.err == ""
    rows = {line[:46].strip() for line in said.out.splitlines()}
    assert rows >= {"rate while labelling", "driver's processor time", "workers busy", "label_candidates"}
    assert rows >= {"sample_chunk", "train_round", "workers idle", "start, until the first task"}
    assert list(tmp_path.iterdir()) == []
