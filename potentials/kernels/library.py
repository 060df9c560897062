"""The compiled code of this package: one shared library, optional, called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

SUFFIXES = {torch.float32: "float32", torch.float64: "float64"}
"""Floating-point types that functions are compiled for, and how their names end."""
_NEWEST = "smelter_vectors_float64"
_forgone = False


def library() -> tuple[ctypes.CDLL | None, str]:
    """Return the library, or nothing and why it cannot be had."""
    return (None, "not to be used") if _forgone else _loaded()


def library_for(*tensors: Tensor) -> ctypes.CDLL | None:
    """Return the library where it can take these: numbers of a CPU, of which no derivative is recorded."""
    fit = all(t.device.type == "cpu" and t.dtype in SUFFIXES and not t.requires_grad for t in tensors)
    return library()[0] if fit else None


@contextmanager
def forgone() -> Iterator[None]:
    """Within, do without the library, as where there is no compiler."""
    global _forgone
    before, _forgone = _forgone, True
    try:
        yield
    finally:
        _forgone = before


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    here = Path(__file__).parent
    paths = [here / f"_descriptors{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None, "the C++ kernel was not built (was there no compiler at installation?)"
    try:
        loaded = ctypes.CDLL(os.fspath(path))
        required = _text(loaded, "smelter_required_cpu_flags")
    except (OSError, ValueError) as error:
        return None, f"the C++ kernel cannot be loaded: {error}"
    missing = sorted(set(required.split()) - _cpu_flags())
    if missing:
        needs = (
            f"the C++ kernel was built for a CPU with {' '.join(missing)}, which {platform.node()} has not"
        )
        return None, f"{needs}; rebuild here, or for both with SMELTER_MARCH"
    if not hasattr(loaded, _NEWEST):
        return None, "the C++ kernel was built from older sources: install again"
    return loaded, ""


def _text(loaded: ctypes.CDLL, symbol: str) -> str:
    """Read a constant string of the library without running its code."""
    return ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(loaded, symbol))).decode()


def _cpu_flags() -> set[str]:
    """Return what this CPU offers, in the kernel's words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    values = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return set(next(values, "").split())
