"""The simulation of a large machine: its figures follow from what went into it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import scale


def test_a_barrier_waits_for_the_slowest():
    assert scale.makespan([5.0, 1.0, 1.0, 1.0], workers=2) == 5.0
    assert scale.makespan([1.0, 1.0, 1.0, 5.0], workers=2) == 6.0


def test_a_simulated_campaign_comes_to_its_end_though_nodes_die(tmp_path, monkeypatch):
    """Some of 12 nodes die within hours: no label is lost, and what was lost with them is counted."""
    monkeypatch.setattr(scale, "NODE_LIFE_H", 4.0)
    ours = scale.simulate(12, hours=1.0, seed=1, directory=tmp_path / "run")
    assert ours.labels == scale.settings(12, 1.0).stop.max_labels
    assert ours.deaths > 0
    assert ours.spent.total_h == pytest.approx(48 * ours.hours)
    assert 0.0 < ours.spent.repeated_h < ours.spent.useful_h
    assert 0.0 <= min(ours.take_up_s) <= max(ours.take_up_s) < 3600.0 * ours.hours
    hours, busy = scale.with_barriers(12, ours, seed=1)
    assert hours > 0.0
    assert 0.0 < busy < 1.0
