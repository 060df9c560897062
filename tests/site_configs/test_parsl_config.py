"""Parsl's configuration of a site; that it works is tested with the pool."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from site_configs.addresses import own_addresses
from site_configs.launch_variables import WORKERS_PER_GPU
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


def test_workers_are_given_addresses_of_this_host_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> None:
        raise AssertionError("the Internet was asked")

    monkeypatch.setattr("parsl.addresses.address_by_query", ask)
    config = parsl_config(load_site("perlmutter"), tmp_path, lambda _error, _record: 1.0)
    for executor in config.executors:
        assert executor.all_addresses == own_addresses()
    (local, *_) = parsl_config(load_site("local"), tmp_path, lambda _error, _record: 1.0).executors
    assert local.all_addresses == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("addresses", "listens_on"), [({"10.0.0.1"}, "10.0.0.1"), ({"10.0.0.1", "192.0.2.1"}, None)]
)
def test_what_workers_are_told_is_listened_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: set[str], listens_on: str | None
) -> None:
    monkeypatch.setattr("site_configs.parsl_config.own_addresses", lambda _: addresses)
    config = parsl_config(load_site("perlmutter"), tmp_path, lambda _error, _record: 1.0)
    for executor in config.executors:
        assert executor.address == listens_on  # None: on every one
        assert executor.all_addresses == addresses


def test_addresses_of_one_interface() -> None:
    assert own_addresses("lo") == {"127.0.0.1"}
    assert own_addresses()
    assert own_addresses() == {"127.0.0.1"} or "127.0.0.1" not in own_addresses()
    with pytest.raises(ValueError, match=r"interface: ib7 has no address here; expected one of .*lo"):
        own_addresses("ib7")


def test_blocks_drain_before_their_end_and_a_jobs_executors_do_not(tmp_path: Path) -> None:
    for mode, drained in (("pilot", 12 * 3600 - 300), ("job", None)):
        site = load_site("lsf", {"mode": mode})
        config = parsl_config(site, tmp_path, lambda _error, _record: 1.0)
        assert {executor.drain_period for executor in config.executors} == {drained}
        assert config.strategy == ("simple" if mode == "pilot" else "none")


@pytest.mark.parametrize(
    ("name", "changes", "sharers"),
    [
        (
            "local",
            {"sampling": {"workers": 1, "gpus": ["A"]}, "training": {"workers": 1, "gpus": ["A"]}},
            "2",
        ),
        ("local", {"sampling": {"workers": 4, "gpus": ["B", "C"]}}, "2"),
        ("local", {"sampling": {"workers": 2, "gpus": ["B", "C"]}}, "1"),
        ("perlmutter", {}, "1"),
        ("perlmutter", {"sampling.workers_per_gpu": 3}, "3"),
    ],
)
def test_workers_know_how_many_are_meant_to_share_their_gpu(
    name: str, changes: dict[str, object], sharers: str, tmp_path: Path
) -> None:
    config = parsl_config(load_site(name, changes), tmp_path, lambda _error, _record: 1.0)
    (sampling,) = (executor for executor in config.executors if executor.label == "sampling")
    assert sampling.provider.launcher.exports[WORKERS_PER_GPU] == sharers


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
