"""Descriptors by the compiled kernel of descriptors.cpp, for CPUs: vectorised, and free of Python's lock."""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from potentials.descriptors import DescriptorSpec, PairGraph
from potentials.kernels.library import SUFFIXES, library

ATOMS_PER_THREAD = 16
"""A thread is not worth starting for fewer atoms."""

_VALUES, _PULL, _PUSH = range(3)


class _Spec(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n_elements", "n_radial", "n_shells", "n_angles")),
        *((name, ctypes.c_double) for name in ("radial_cutoff", "angular_cutoff")),
        *((name, ctypes.c_double) for name in ("radial_eta", "angular_eta", "zeta")),
        *((name, ctypes.c_void_p) for name in ("radial_shifts", "shell_shifts", "angle_shifts")),
    )


class _Graph(ctypes.Structure):
    _fields_ = (
        ("n_atoms", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("species", "first_pair", "neighbour", "vector")),
    )


def available() -> tuple[bool, str]:
    """Return whether the compiled kernel can run here, and if not why."""
    compiled, reason = library()
    return compiled is not None, reason


class CppKernel:
    """Computes descriptors with the compiled kernel, in as many threads as torch is allowed.

    Raises
    ------
    RuntimeError
        If the kernel was not built or this CPU is older than the one it was built for.
    """

    name = "cpp"

    def __init__(self, spec: DescriptorSpec) -> None:
        compiled, reason = library()
        if compiled is None:
            raise RuntimeError(reason)
        self.spec = spec
        self._library = compiled
        self._shifts = [
            torch.tensor(shifts, dtype=torch.float64)
            for shifts in (spec.radial_shifts_ang, spec.angular_shifts_ang, spec.angle_shifts_rad)
        ]
        self._spec = _Spec(
            spec.n_elements,
            *(len(shifts) for shifts in self._shifts),
            spec.radial_cutoff_ang,
            spec.angular_cutoff_ang,
            spec.radial_eta_per_ang2,
            spec.angular_eta_per_ang2,
            spec.zeta,
            *(shifts.data_ptr() for shifts in self._shifts),
        )

    def __reduce__(self) -> tuple[type[CppKernel], tuple[DescriptorSpec]]:
        return CppKernel, (self.spec,)

    def __call__(self, graph: PairGraph) -> CppDescriptors:
        """Evaluate the descriptors of every atom of ``graph``, float32 or float64 tensors of the CPU."""
        return CppDescriptors(self, graph)

    def run(self, graph: PairGraph, task: int, argument: Tensor | None, result: Tensor) -> Tensor:
        """Fill ``result`` by one task of descriptors.cpp and return it."""
        tensors = [
            graph.species.contiguous(),
            graph.first_pair.contiguous(),
            graph.neighbour.contiguous(),
            graph.vector.detach().contiguous(),
        ]
        n_vectors = 1
        if argument is not None:
            argument = argument.detach().to(graph.vector.dtype).contiguous()
            n_vectors = len(argument)
        failed = getattr(self._library, f"smelter_descriptors_{SUFFIXES[graph.vector.dtype]}")(
            ctypes.byref(self._spec),
            ctypes.byref(_Graph(graph.n_atoms, *(tensor.data_ptr() for tensor in tensors))),
            ctypes.c_int32(task),
            ctypes.c_int64(n_vectors),
            ctypes.c_void_p(0 if argument is None else argument.data_ptr()),
            ctypes.c_void_p(result.data_ptr()),
            ctypes.c_int32(max(1, min(torch.get_num_threads(), graph.n_atoms // ATOMS_PER_THREAD))),
        )
        if failed:
            raise MemoryError(f"no memory for the descriptors of {graph.n_atoms} atoms")
        return result


class CppDescriptors:
    """Descriptors of one graph; see `potentials.descriptors.Descriptors`."""

    def __init__(self, kernel: CppKernel, graph: PairGraph) -> None:
        _check_graph(kernel.spec, graph)
        self._kernel = kernel
        self._graph = graph

    @functools.cached_property
    def values(self) -> Tensor:
        """Shape (n_atoms, n_features)."""
        result = self._graph.vector.new_empty(self._graph.n_atoms, self._kernel.spec.n_features)
        return self._kernel.run(self._graph, _VALUES, None, result)

    def vjp(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ·cotangent: from shape (n_cot, n_atoms, n_features) to (n_cot, n_pairs, 3)."""
        _check_shape(cotangent, (self._graph.n_atoms, self._kernel.spec.n_features), "cotangent")
        result = self._graph.vector.new_empty(len(cotangent), self._graph.n_pairs, 3)
        return self._kernel.run(self._graph, _PULL, cotangent, result)

    def jvp(self, tangent: Tensor) -> Tensor:
        """Return J·tangent: from shape (n_tan, n_pairs, 3) to (n_tan, n_atoms, n_features)."""
        _check_shape(tangent, (self._graph.n_pairs, 3), "tangent")
        shape = (len(tangent), self._graph.n_atoms, self._kernel.spec.n_features)
        return self._kernel.run(self._graph, _PUSH, tangent, self._graph.vector.new_empty(shape))


def _check_graph(spec: DescriptorSpec, graph: PairGraph) -> None:
    """Refuse what the compiled code would read as something else."""
    vector = graph.vector
    if vector.device.type != "cpu" or vector.dtype not in SUFFIXES:
        raise ValueError(
            f"the cpp kernel takes float32 or float64 on the CPU, not {vector.dtype} on {vector.device}"
        )
    for name in ("species", "first_pair", "neighbour"):
        if getattr(graph, name).dtype != torch.int64:
            raise ValueError(f"PairGraph.{name} is {getattr(graph, name).dtype}, expected int64")
    n_atoms, n_pairs = graph.n_atoms, graph.n_pairs
    if (
        vector.shape != (n_pairs, 3)
        or len(graph.first_pair) != n_atoms + 1
        or graph.first_pair[-1] != n_pairs
    ):
        raise ValueError(
            f"PairGraph of {n_atoms} atoms and {n_pairs} pairs: first_pair or vector does not fit"
        )
    if n_atoms and spec.n_elements <= int(graph.species.max()):
        raise ValueError(f"species {int(graph.species.max())} in a graph for {spec.n_elements} elements")


def _check_shape(array: Tensor, expected: tuple[int, int], name: str) -> None:
    if array.device.type != "cpu" or array.shape[1:] != expected or array.ndim != 3:
        shape = f"(n, {expected[0]}, {expected[1]})"
        raise ValueError(f"{name} has shape {tuple(array.shape)} on {array.device}, expected {shape} on cpu")
