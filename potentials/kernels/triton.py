"""Descriptors by the Triton programs of triton_code.py, for CUDA devices.

Nothing here waits for the device or reads from it: every program finds the range of its atom's pairs itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import math
from typing import Any

import torch
from torch import Tensor

from potentials.descriptors import (
    ANGULAR_FACTOR,
    COSINE_FACTOR,
    RADIAL_FACTOR,
    SHORTEST_ANG,
    Descriptors,
    DescriptorSpec,
    PairGraph,
)
from potentials.kernels.reference import TorchKernel

LANES = 32
"""Triples or pairs that one program handles at once: one to a thread of its only warp."""

TERMS_AT_ONCE = 64
"""Sums that one lane keeps in registers, a power of two."""

TOLERANCE = 1e-4
"""Relative difference from the reference, in single precision, at which a card is not trusted."""


def available() -> tuple[bool, str]:
    """Return whether the kernel runs on the current CUDA device and is right there, and if not why."""
    if importlib.util.find_spec("triton") is None:
        return False, "triton is not installed"
    if not torch.cuda.is_available():
        return False, "no CUDA device"
    fault = _fault_on(torch.cuda.current_device())
    return not fault, fault


@functools.cache
def _fault_on(device: int | str) -> str:
    """Run the kernel once on ``device`` against the reference; return what is wrong, or nothing.

    A driver, a C compiler or a temporary directory that Triton needs may be missing, and every kind of card
    has instructions of its own: better the slower kernel than a wrong force.
    """
    name = torch.cuda.get_device_name(device) if isinstance(device, int) else device
    try:
        worst = _difference_from_reference(device)
    except Exception as error:  # noqa: BLE001  whatever it is, the torch kernel can take over
        return f"does not run on {name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return "" if worst < TOLERANCE else f"differs from the torch kernel by {worst:.1g} (relative) on {name}"


def _difference_from_reference(device: int | str) -> float:
    """Return the largest relative difference, for one atom with neighbours of two elements."""
    spec = DescriptorSpec(2, 5.0, 4.0, (1.5, 2.5, 3.5), 4.0, (1.5, 2.5), 3.0, (0.5, 1.5, 2.5), 14.1)
    generator = torch.Generator().manual_seed(1)
    draw = functools.partial(torch.randn, generator=generator)
    atoms, origin = torch.arange(8, device=device), torch.zeros(7, dtype=torch.int64, device=device)
    graph = PairGraph(
        species=atoms % 2,
        first_pair=torch.tensor([0] + 8 * [7], device=device),
        centre=origin,
        neighbour=atoms[1:],
        vector=draw(7, 3).mul(2.0).to(device),
        frame_index=torch.zeros_like(atoms),
        n_frames=1,
    )
    cotangent, tangent = draw(2, 8, spec.n_features).to(device), draw(2, 7, 3).to(device)
    both: list[Descriptors] = [TritonKernel(spec)(graph), TorchKernel(spec)(graph)]
    found, expected = ((d.values, d.vjp(cotangent), d.jvp(tangent)) for d in both)
    misses = [
        ((a - b).abs().max() / b.abs().max()).nan_to_num(math.inf)
        for a, b in zip(found, expected, strict=True)
    ]
    return float(torch.stack(misses).max())


class TritonKernel:
    """Computes descriptors with Triton; compiled at the first use of a `DescriptorSpec`.

    Parameters
    ----------
    spec
        Constants of the descriptors; the angular cutoff may not exceed the radial one.
    lanes
        Pairs or triples that a program handles at once, a power of two.

    Raises
    ------
    ValueError
        If the angular cutoff exceeds the radial one.
    """

    name = "triton"

    def __init__(self, spec: DescriptorSpec, lanes: int = LANES) -> None:
        if spec.angular_cutoff_ang > spec.radial_cutoff_ang:
            angular, radial = spec.angular_cutoff_ang, spec.radial_cutoff_ang
            raise ValueError(f"angular cutoff {angular:g} Å exceeds the radial one of {radial:g} Å")
        self.spec = spec
        self.lanes = lanes
        self._shifts: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def __reduce__(self) -> tuple[type[TritonKernel], tuple[DescriptorSpec, int]]:
        return TritonKernel, (self.spec, self.lanes)

    def __call__(self, graph: PairGraph) -> TritonDescriptors:
        """Evaluate the descriptors of every atom of ``graph``, float32 or float64."""
        return TritonDescriptors(self, graph)

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """What is known when the programs that sum features are compiled."""
        spec = self.spec
        n_radial, n_shells = len(spec.radial_shifts_ang), len(spec.angular_shifts_ang)
        angle_tile = _power_of_two(len(spec.angle_shifts_rad))
        return {
            "N_ELEMENTS": spec.n_elements,
            "N_RADIAL": n_radial,
            "N_SHELLS": n_shells,
            "N_ANGLES": len(spec.angle_shifts_rad),
            "RADIAL_TILE": min(_power_of_two(n_radial), TERMS_AT_ONCE // 2),
            "SHELL_TILE": min(_power_of_two(n_shells), max(1, TERMS_AT_ONCE // angle_tile)),
            "ANGLE_TILE": angle_tile,
            "RADIAL_CUTOFF": spec.radial_cutoff_ang,
            "RADIAL_ETA": spec.radial_eta_per_ang2,
            "ANGULAR_ETA": spec.angular_eta_per_ang2,
            "ZETA": spec.zeta,
            "RADIAL_FACTOR": RADIAL_FACTOR,
            "ANGULAR_FACTOR": ANGULAR_FACTOR,
            "DAMPING": COSINE_FACTOR,
            "LANES": self.lanes,
        }

    @property
    def sorting_constants(self) -> dict[str, Any]:
        """What is known when the program that sorts neighbours is compiled."""
        return {
            "SHORTEST": SHORTEST_ANG,
            "RADIAL_CUTOFF": self.spec.radial_cutoff_ang,
            "ANGULAR_CUTOFF": self.spec.angular_cutoff_ang,
            "N_ELEMENTS": self.spec.n_elements,
            "LANES": self.lanes,
        }

    def shifts(self, like: Tensor) -> Tensor:
        """Return radial and shell shifts, cosines and sines of the angles, end to end, beside ``like``."""
        key = (like.device, like.dtype)
        if key not in self._shifts:
            angles = torch.tensor(self.spec.angle_shifts_rad, dtype=torch.float64)
            shells = (self.spec.radial_shifts_ang, self.spec.angular_shifts_ang)
            parts = [torch.tensor(values, dtype=torch.float64) for values in shells]
            self._shifts[key] = torch.cat([*parts, angles.cos(), angles.sin()]).to(like)
        return self._shifts[key]


class TritonDescriptors:
    """Descriptors of one graph; see `potentials.descriptors.Descriptors`."""

    def __init__(self, kernel: TritonKernel, graph: PairGraph) -> None:
        _check_graph(graph)
        self._kernel = kernel
        self._n_atoms, self._n_pairs = graph.n_atoms, graph.n_pairs
        self._code: Any = importlib.import_module("potentials.kernels.triton_code")
        vector = graph.vector.detach().contiguous()
        self._first_pair = graph.first_pair.contiguous()
        self._ends = self._first_pair.new_empty(
            self._n_atoms, 2 * kernel.spec.n_elements + 1, dtype=torch.int32
        )
        self._order = self._first_pair.new_empty(self._n_pairs, dtype=torch.int32)
        self._columns = vector.new_empty(self._code.COLUMNS, self._n_pairs)
        self._launch(
            self._code.sort_neighbours,
            1,
            graph.species.contiguous(),
            self._first_pair,
            graph.neighbour.contiguous(),
            vector,
            self._ends,
            self._order,
            self._columns,
            self._n_pairs,
            **kernel.sorting_constants,
        )

    @functools.cached_property
    def values(self) -> Tensor:
        """Shape (n_atoms, n_features)."""
        return self._sums(None, 1)[0]

    def vjp(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ·cotangent: from shape (n_cot, n_atoms, n_features) to (n_cot, n_pairs, 3)."""
        cotangent = self._argument(cotangent, (self._n_atoms, self._kernel.spec.n_features), "cotangent")
        result = self._columns.new_zeros(len(cotangent), self._n_pairs, 3)
        self._launch_features(self._code.pull_back, cotangent, result)
        return result

    def jvp(self, tangent: Tensor) -> Tensor:
        """Return J·tangent: from shape (n_tan, n_pairs, 3) to (n_tan, n_atoms, n_features)."""
        tangent = self._argument(tangent, (self._n_pairs, 3), "tangent")
        return self._sums(tangent, len(tangent))

    def _sums(self, tangent: Tensor | None, n_vectors: int) -> Tensor:
        result = self._columns.new_empty(n_vectors, self._n_atoms, self._kernel.spec.n_features)
        argument = result if tangent is None else tangent
        self._launch_features(self._code.sum_features, argument, result, PUSH=tangent is not None)
        return result

    def _launch_features(
        self, program: Any, argument: Tensor | None, result: Tensor, **constants: Any
    ) -> None:
        self._launch(
            program,
            len(result),
            self._first_pair,
            self._ends,
            self._order,
            self._columns,
            self._kernel.shifts(self._columns),
            argument,
            result,
            self._n_atoms,
            self._n_pairs,
            **constants,
            **self._kernel.constants,
        )

    def _launch(self, program: Any, n_vectors: int, *arguments: Any, **constants: Any) -> None:
        """Run one program per atom and vector, one warp each."""
        if self._n_atoms == 0 or n_vectors == 0:
            return
        device = self._first_pair.device
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            program[self._n_atoms, n_vectors](*arguments, **constants, num_warps=1)

    def _argument(self, array: Tensor, expected: tuple[int, int], name: str) -> Tensor:
        if array.device != self._columns.device or array.shape[1:] != expected or array.ndim != 3:
            shape = f"(n, {expected[0]}, {expected[1]}) on {self._columns.device}"
            raise ValueError(f"{name} has shape {tuple(array.shape)} on {array.device}, expected {shape}")
        return array.detach().to(self._columns.dtype).contiguous()


def _check_graph(graph: PairGraph) -> None:
    """Refuse what the programs would read as something else; only what is known without asking the device."""
    if graph.vector.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the triton kernel takes float32 or float64, not {graph.vector.dtype}")
    for name in ("species", "first_pair", "neighbour"):
        if getattr(graph, name).dtype != torch.int64:
            raise ValueError(f"PairGraph.{name} is {getattr(graph, name).dtype}, expected int64")
    if graph.vector.shape != (graph.n_pairs, 3) or len(graph.first_pair) != graph.n_atoms + 1:
        n_atoms, n_pairs = graph.n_atoms, graph.n_pairs
        raise ValueError(
            f"PairGraph of {n_atoms} atoms and {n_pairs} pairs: first_pair or vector does not fit"
        )


def _power_of_two(n: int) -> int:
    """Return the smallest power of two that is not smaller than ``n``."""
    return 1 << (n - 1).bit_length()
