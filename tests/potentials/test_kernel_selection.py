from __future__ import annotations

import logging

import pytest

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.kernels import select
from potentials.kernels.select import kernel_for

SPEC = DescriptorSpec.from_config(AniConfig(n_radial=3), 1)


@pytest.fixture(autouse=True)
def forget() -> None:
    select._kernel.cache_clear()


def test_the_choice_is_logged_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kernels = {id(kernel_for(SPEC, "cpu")) for _ in range(3)}
    assert len(kernels) == 1
    messages = [record.message for record in caplog.records if record.name == select.__name__]
    assert len(messages) == 1
    assert messages[0].startswith(f"descriptors on cpu: {kernel_for(SPEC, 'cpu').name} kernel")


def test_without_a_compiled_kernel_torch_is_taken_and_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(select.importlib.util, "find_spec", lambda name: None)
    assert kernel_for(SPEC, "cpu").name == "torch"
    assert "torch kernel" in caplog.text
    assert "cpp: not in this installation" in caplog.text


def test_the_reference_can_be_asked_for_anywhere() -> None:
    assert kernel_for(SPEC, "cpu", "torch").name == "torch"
    assert kernel_for(SPEC, "meta", "torch").name == "torch"


def test_a_kernel_that_cannot_run_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="triton: runs on cuda, not on cpu"):
        kernel_for(SPEC, "cpu", "triton")
    with pytest.raises(ValueError, match="cpp: runs on cpu, not on cuda"):
        kernel_for(SPEC, "cuda", "cpp")
