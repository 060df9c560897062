"""Chooses the way descriptors are computed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from typing import Literal

import torch

from potentials.descriptors import DescriptorKernel, DescriptorSpec
from potentials.kernels.reference import TorchKernel

KernelName = Literal["auto", "torch", "cpp", "triton"]
log = logging.getLogger(__name__)


def kernel_for(
    spec: DescriptorSpec, device: torch.device | str, name: KernelName = "auto"
) -> DescriptorKernel:
    """Return the fastest kernel that runs on ``device``, or the one named; the choice is logged once.

    Raises
    ------
    ValueError
        If the kernel named cannot run here.
    """
    return _kernel(spec, torch.device(device).type, name)


@functools.lru_cache(maxsize=32)
def _kernel(spec: DescriptorSpec, device_type: str, name: KernelName) -> DescriptorKernel:
    obstacles = []
    for candidate in ("triton", "cpp") if name == "auto" else (name,):
        obstacle = _obstacle(candidate, device_type)
        if obstacle is None:
            log.info("descriptors on %s: %s kernel", device_type, candidate)
            return _make(candidate, spec)
        obstacles.append(f"{candidate}: {obstacle}")
    if name != "auto":
        raise ValueError(f"descriptor kernel {'; '.join(obstacles)}")
    log.info("descriptors on %s: torch kernel (%s)", device_type, "; ".join(obstacles))
    return TorchKernel(spec)


def _obstacle(name: str, device_type: str) -> str | None:
    """Say what keeps a kernel from running on this kind of device."""
    if name == "torch":
        return None
    wanted = "cuda" if name == "triton" else "cpu"
    if device_type != wanted:
        return f"runs on {wanted}, not on {device_type}"
    if importlib.util.find_spec(f"potentials.kernels.{name}") is None:
        return "not in this installation"
    available, reason = importlib.import_module(f"potentials.kernels.{name}").available()
    return None if available else str(reason)


def _make(name: str, spec: DescriptorSpec) -> DescriptorKernel:
    if name == "torch":
        return TorchKernel(spec)
    module = importlib.import_module(f"potentials.kernels.{name}")
    kernel: DescriptorKernel = getattr(module, f"{name.capitalize()}Kernel")(spec)
    return kernel
