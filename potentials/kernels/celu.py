"""The activation of the networks with its slope: compiled where that can be had, else by PyTorch."""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from potentials.kernels.library import SUFFIXES, library_for

LEAST_POWER_OF_2 = -64.0
"""A slope below two to this counts as that: nothing beside 1, and products with it stay normal numbers."""


def celu(z: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return max(z, 0) + α (exp(min(z, 0)/α) - 1) and its slope, shaped like ``z``, which is contiguous.

    Overwrites ``z`` unless a derivative of this is recorded.
    """
    if z.requires_grad:
        slope = torch.exp((z / alpha).clamp(max=0.0))
        return torch.relu(z).add(slope - 1.0, alpha=alpha), slope
    library = library_for(z)
    if library is None:
        slope = z.mul(1.0 / (alpha * math.log(2.0))).clamp_(LEAST_POWER_OF_2, 0.0).exp2_()
        return z.clamp_(min=0.0).add_(slope, alpha=alpha).sub_(alpha), slope
    slope = torch.empty_like(z)
    getattr(library, f"smelter_celu_{SUFFIXES[z.dtype]}")(
        ctypes.c_void_p(z.data_ptr()),
        ctypes.c_void_p(slope.data_ptr()),
        ctypes.c_int64(z.numel()),
        ctypes.c_double(alpha),
    )
    return z, slope
