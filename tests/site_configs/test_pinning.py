"""A worker gets the GPU that was meant for it, or says that there is something wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from site_configs.launch_variables import GPUS, WORKERS_PER_GPU
from site_configs.marks import own_name
from site_configs.pinning import GpuError, assigned_gpu, claim, pin_once


@pytest.mark.parametrize(
    ("gpus", "rank", "visible", "expected"),
    [
        ("1,2,3", 0, None, "1"),
        ("1,2,3", 2, "0,1,2,3", "3"),
        ("0,0,1,1", 3, "0,1", "1"),  # two workers on each
        ("0,1", 1, "2,3", "3"),  # as given by jsrun, or by Slurm without cgroups
        ("0,1", 0, "GPU-aa,GPU-bb", "GPU-aa"),
        ("GPU-bb", 0, "0,1", "GPU-bb"),
    ],
)
def test_gpus_are_counted_among_those_that_the_node_gave(
    gpus: str, rank: int, visible: str | None, expected: str
) -> None:
    given = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert assigned_gpu({GPUS: gpus, "PARSL_WORKER_RANK": str(rank), **given}) == expected


@pytest.mark.parametrize(
    ("gpus", "rank", "visible", "message"),
    [
        ("0,1", 1, "0", "is to use GPU 1 (counted from 0), but its step was given 1: 0"),
        ("0", 0, "", "its step was given 0: none"),
        ("0", 1, "0,1", "worker 1 of .* has no GPU: 1 workers have one"),
    ],
)
def test_a_gpu_that_was_not_given_is_an_error(gpus: str, rank: int, visible: str, message: str) -> None:
    environment = {GPUS: gpus, "PARSL_WORKER_RANK": str(rank), "CUDA_VISIBLE_DEVICES": visible}
    with pytest.raises(GpuError, match=message.replace("(counted from 0)", ".*")):
        assigned_gpu(environment)


def test_two_workers_on_one_gpu_are_found_out_unless_they_are_meant_to_share(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from site_configs.pinning import claim\n"
    program += "claim(Path(sys.argv[1]), '0', 2); print('claimed', flush=True); input()"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        claim(tmp_path, "1", 1)
        claim(tmp_path, "0", 2)
        with pytest.raises(
            GpuError, match=f"GPU 0 of .* is used by {other.pid}:.* already.*expected 1 at most"
        ):
            claim(tmp_path, "0", 1)
        other.kill()
    claim(tmp_path, "0", 1)  # what a dead worker had is free


def test_a_worker_is_bound_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS, "1,0")
    monkeypatch.setenv(WORKERS_PER_GPU, "1")
    monkeypatch.setenv("PARSL_WORKER_RANK", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.delenv("SMELTER_GPU", raising=False)
    pin_once(tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    assert os.environ["SMELTER_GPU"] == f"{own_name()} 6"
    pin_once(tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"


def test_roles_without_gpus_claim_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GPUS, raising=False)
    pin_once(tmp_path)
    assert list(tmp_path.iterdir()) == []
