"""Sites are read, overridden and refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from site_configs.config import SITE
from site_configs.load import SiteError, load_site, site_names
from site_configs.roles import ROLES, Part, Slice


def test_every_known_site_can_be_loaded() -> None:
    assert "local" in site_names()
    for name in site_names():
        assert load_site(name) == load_site(name)


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 8, 64, 127])
def test_cores_are_divided_among_the_roles(cores: int) -> None:
    site = load_site("local", {"cores": cores})
    used = sum(site.role(role).workers * site.role(role).threads_per_worker for role in ROLES)
    assert used == cores if cores >= 4 else site.executors == {"shared": Part((Slice(cores, cores),))}


def test_the_roles_share_the_workers_of_a_small_machine() -> None:
    site = load_site("local", {"cores": 2})
    assert {site.executor(role) for role in ROLES} == {"shared"}
    assert site.executors == {"shared": Part((Slice(2, 2),))}
    assert load_site("local", {"cores": 2, "shared": None}).executors.keys() == set(ROLES)


def test_overrides_replace_single_values_and_whole_parts() -> None:
    changes = {"cores": 8, "sampling.workers": 3, "health.silence_s": 60, "labelling": {"workers": 5}}
    site = load_site("local", changes)
    assert site.sampling.workers == 3
    assert site.training.threads_per_worker == 2
    assert site.health.silence_s == 60
    assert site.labelling.workers == 5


def test_a_users_own_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("kind: local\nretries: 0\nsampling: {workers: 7}\n")
    assert load_site(path).sampling.workers == load_site(str(path)).sampling.workers == 7


def test_a_resolved_site_reads_back_as_it_was() -> None:
    site = load_site("local", {"cores": 12})
    assert SITE.validate_python(SITE.dump_python(site)) == site
    assert SITE.validate_json(SITE.dump_json(site)) == site


def test_gpus_are_given_to_workers_in_turn() -> None:
    site = load_site("local", {"sampling": {"workers": 5, "gpus": ["GPU-a", "GPU-b"]}})
    assert site.role("sampling").slices[0].gpus == ("GPU-a", "GPU-b", "GPU-a", "GPU-b", "GPU-a")
    assert site.role("labelling").slices[0].gpus == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smapling.workers": 2}, "smapling: unknown setting; did you mean sampling?"),
        ({"sampling.wrkers": 2}, "sampling.wrkers: unknown setting; did you mean workers?"),
        ({"sampling.workers": 0}, "sampling.workers: Input should be greater than 0; found 0"),
        ({"sampling": "many"}, "sampling: Input should be a valid dictionary"),
        ({"cores": -3}, "cores: Input should be greater than 0; found -3"),
        ({"retries": "often"}, "retries: Input should be a valid integer"),
        ({"retries.most": 1}, "retries holds 2, which has no settings inside"),
        ({"health.silence_s": 1}, "health: silence_s is 1; expected at least twice heartbeat_period_s = 1"),
        ({"kind": "pbs"}, "kind: found 'pbs'; expected one of 'local', 'slurm', 'lsf'"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SiteError) as caught:
        load_site("local", {"retries": 2, **changes})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_site_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SiteError, match=r"unknown site 'sirera'; expected one of: .*local"):
        load_site("sirera")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("a: [", "not YAML"), ("- local\n", "found list"), ("", "found NoneType")],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SiteError, match=message) as caught:
        load_site(path)
    assert str(path) in str(caught.value)
