"""Cores and GPUs that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from site_configs.cores import usable_cores, usable_gpus


def test_cores_are_those_of_the_affinity(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    assert usable_cores(tmp_path) == len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("quota", "most"), [("100000 100000", 1), ("150000 100000", 2), ("10000 100000", 1)])
def test_a_containers_quota_is_kept(tmp_path: Path, quota: str, most: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cores(tmp_path) == min(most, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("content", ["max 100000", "", "nonsense"])
def test_no_quota_is_no_limit(tmp_path: Path, content: str) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU-aa\necho GPU-bb\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ("GPU-aa", "GPU-bb")),
        ("1", ("GPU-bb",)),
        ("1,0", ("GPU-bb", "GPU-aa")),
        ("GPU-bb", ("GPU-bb",)),
        ("", ()),
    ],
)
@pytest.mark.usefixtures("nvidia_smi")
def test_gpus_are_named_as_far_as_they_are_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: tuple[str, ...]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert usable_gpus() == names


def test_no_gpus_without_the_program_or_when_it_fails(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi.write_text("#!/bin/sh\nexit 9\n")
    assert usable_gpus() == ()
    monkeypatch.setenv("PATH", "")
    assert usable_gpus() == ()
