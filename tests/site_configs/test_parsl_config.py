"""Parsl's configuration of a site; that it works is tested with the pool."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from site_configs.load import load_site, site_names
from site_configs.parsl_config import parsl_config, python_path


@pytest.mark.parametrize("name", site_names())
def test_every_call_builds_a_new_configuration(name: str, tmp_path: Path) -> None:
    site = load_site(name)
    first, second = (parsl_config(site, tmp_path, lambda _error, _record: 1.0) for _ in range(2))
    assert [executor.label for executor in first.executors] == list(site.executors)
    assert all(a is not b for a, b in zip(first.executors, second.executors, strict=True))
    assert first is not second


def test_nothing_depends_on_the_path_of_programs(tmp_path: Path) -> None:
    config = parsl_config(load_site("local"), tmp_path, lambda _error, _record: 1.0)
    for executor in config.executors:
        assert executor.interchange_launch_cmd[0] == sys.executable
        assert executor.launch_cmd.startswith(f"exec {sys.executable} -m ")


def test_losses_are_told_from_failures_by_our_own_rules(tmp_path: Path) -> None:
    config = parsl_config(load_site("local", {"retries": 5}), tmp_path, lambda _error, _record: 2.5)
    assert config.retries == 5
    assert config.retry_handler(ValueError(), {}) == 2.5
    assert all("simple" not in str(executor.block_error_handler) for executor in config.executors)


def test_workers_find_what_the_driver_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path / "somewhere")
    monkeypatch.setenv("PYTHONPATH", "/given")
    entries = python_path().split(":")
    assert str(tmp_path / "somewhere") in entries
    assert "/given" in entries
    assert not any(entry.startswith(sys.base_prefix) for entry in entries)
