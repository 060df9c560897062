"""A role with GPUs does not fall back to the CPU unseen."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from site_configs.launch_variables import GPU_REQUIRED
from site_configs.load import load_site
from site_configs.marks import own_name
from site_configs.parsl_config import parsl_config
from site_configs.pinning import PINNED, GpuError
from workflow.execution.pool import ParslPool
from workflow.tasks.models import worker_device

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_on_real_workers_the_role_fails_and_the_others_do_not(tmp_path: Path) -> None:
    site = load_site("local", {"sampling.workers": 1, "sampling.gpus": ["GPU-of-the-test"]})
    with ParslPool(site, tmp_path / "logs", f"gpu-{tmp_path.name}") as pool:
        sampling, training = (pool.submit(role, worker_device) for role in ("sampling", "training"))
        found = sampling.result(60)
        assert not found.ok
        assert found.error.startswith(
            f"GpuError: this worker has GPU GPU-of-the-test of {platform.node()}, but"
        )
        assert "site.require_gpu=false" in found.error
        assert "\n" not in found.error
        assert training.result(60).value == "cpu"


@pytest.mark.parametrize(
    ("pinned", "required", "fails"),
    [("own", "1", True), ("own", None, False), ("another's", "1", False), (None, "1", False)],
)
def test_it_fails_where_this_process_has_a_gpu_that_it_must_use(
    monkeypatch: pytest.MonkeyPatch, pinned: str | None, required: str | None, fails: bool
) -> None:
    process = {"own": own_name(), "another's": "1:1"}
    for name, value in ((PINNED, pinned and f"{process[pinned]} 0"), (GPU_REQUIRED, required)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    if fails:
        with pytest.raises(GpuError):
            worker_device()
    else:
        assert worker_device() == "cpu"


@pytest.mark.parametrize(
    ("name", "changes", "required"),
    [
        ("perlmutter", {}, True),
        ("perlmutter", {"require_gpu": False}, False),
        ("local", {}, False),
        ("local", {"training": {"workers": 1, "gpus": ["A"]}}, True),
        ("local", {"shared": {"workers": 1, "gpus": ["A"]}}, True),
        ("local", {"training": {"workers": 1, "gpus": ["A"]}, "require_gpu": False}, False),
    ],
)
def test_what_sites_require(name: str, changes: dict[str, object], required: bool, tmp_path: Path) -> None:
    config = parsl_config(load_site(name, changes), tmp_path, lambda _error, _record: 1.0)
    for executor in config.executors:
        assert (GPU_REQUIRED in executor.provider.launcher.exports) == required
