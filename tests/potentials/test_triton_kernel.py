"""The Triton kernel against the reference: on a CUDA device if there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from torch import Tensor

from potentials.batch import Batch
from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import Descriptors, DescriptorSpec, PairGraph
from potentials.kernels import triton as host
from potentials.kernels.reference import TorchKernel
from potentials.kernels.triton import TritonKernel
from potentials.neighbours import NeighbourList

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = {"TRITON_INTERPRET": "1"} if DEVICE == "cpu" else {}
with pytest.MonkeyPatch.context() as patch:
    for name, value in INTERPRETED.items():
        patch.setenv(name, value)  # counts when triton and the programs are imported
    pytest.importorskip("triton", reason="triton is not installed")
    from potentials.kernels import triton_code

pytestmark = [pytest.mark.gpu] if DEVICE == "cuda" else []

ELEMENTS = ["Al", "Cu", "Ni"]
TOLERANCE = {torch.float32: 5e-6 if DEVICE == "cpu" else 1e-5, torch.float64: 1e-10}
PUBLISHED = AniConfig(**PUBLISHED_WIDTHS)
ODD_SIZES = AniConfig(
    radial_cutoff_ang=4.2, angular_cutoff_ang=3.4, n_radial=5, n_angular_radial=3, n_angles=7, zeta=8.0
)
"""Sizes that fill no tile."""
MANY_TERMS = ODD_SIZES.model_copy(update={"n_radial": 35, "n_angular_radial": 9, "n_angles": 9})
"""More sums than a lane can keep at once."""


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in INTERPRETED.items():
        monkeypatch.setenv(name, value)


def graph_of(frame: Atoms, config: AniConfig, skin: float = 0.5) -> PairGraph:
    batch = Batch.from_frames([frame], ELEMENTS, dtype=torch.float64)
    return NeighbourList(config.radial_cutoff_ang, skin).graph(batch)


def elsewhere(graph: PairGraph, dtype: torch.dtype = torch.float64) -> PairGraph:
    moved = {k: v.to(DEVICE) for k, v in vars(graph).items() if isinstance(v, Tensor)}
    return replace(graph, **{**moved, "vector": graph.vector.to(DEVICE, dtype)})


def cell() -> Atoms:
    """Return a skewed cell much smaller than the cutoff: its only atom has 32 angular neighbours or more."""
    frame = bulk("Al")
    frame.set_cell(frame.cell.array @ [[1.0, 0.1, 0.0], [0.0, 0.95, 0.1], [0.0, 0.0, 0.9]], scale_atoms=True)
    return frame


def disordered(n_elements: int) -> Atoms:
    rng = np.random.default_rng(7)
    frame = Atoms("Al6", positions=rng.uniform(0, 4.5, (6, 3)), cell=[4.5, 5.0, 6.0], pbc=[True, True, False])
    frame.symbols = [ELEMENTS[i] for i in np.arange(6) % n_elements]
    return frame


def scattered() -> Atoms:
    """Return an atom alone, a pair, and a triple."""
    positions = [[0, 0, 0], [50, 0, 0], [52, 0, 0], [100, 0, 0], [102.2, 0, 0], [100, 2.5, 0]]
    return Atoms("Al6", positions=positions)


CASES = {
    "published sizes, cell smaller than the cutoff": (cell(), PUBLISHED, 1),
    "odd sizes, three elements": (disordered(3), ODD_SIZES, 3),
    "more terms than fit at once": (disordered(2)[:4], MANY_TERMS, 2),
    "one atom alone, a pair and a triple": (scattered(), PUBLISHED, 2),
}


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    assert float((found.double().cpu() - expected).abs().max()) < tolerance * float(expected.abs().max())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_both_products_equal_the_reference(case: str, dtype: torch.dtype) -> None:
    frame, config, n_elements = CASES[case]
    graph, spec = graph_of(frame, config), DescriptorSpec.from_config(config, n_elements)
    found, expected = TritonKernel(spec)(elsewhere(graph, dtype)), TorchKernel(spec)(graph)
    assert found.values.dtype == dtype
    assert_close(found.values, expected.values, TOLERANCE[dtype])
    cotangent, tangent = random(1, 2, graph.n_atoms, spec.n_features), random(2, 2, graph.n_pairs, 3)
    assert_close(found.vjp(cotangent.to(DEVICE)), expected.vjp(cotangent), TOLERANCE[dtype])
    assert_close(found.jvp(tangent.to(DEVICE)), expected.jvp(tangent), TOLERANCE[dtype])


def test_eight_members_at_once_equal_each_alone() -> None:
    graph = elsewhere(graph_of(scattered()[3:], ODD_SIZES))
    spec = DescriptorSpec.from_config(ODD_SIZES, 1)
    descriptors = TritonKernel(spec)(graph)
    cotangent = random(1, 8, graph.n_atoms, spec.n_features).to(DEVICE)
    tangent = random(2, 8, graph.n_pairs, 3).to(DEVICE)
    pulled, pushed = descriptors.vjp(cotangent), descriptors.jvp(tangent)
    for m in (0, 4, 7):
        assert torch.equal(pulled[m], descriptors.vjp(cotangent[m : m + 1])[0])
        assert torch.equal(pushed[m], descriptors.jvp(tangent[m : m + 1])[0])
    both = torch.einsum("naf,maf->nm", cotangent, pushed), torch.einsum("npx,mpx->nm", pulled, tangent)
    torch.testing.assert_close(*both, rtol=1e-10, atol=1e-10)


def test_pairs_of_the_skin_change_nothing() -> None:
    bare, padded = (elsewhere(graph_of(disordered(2)[:4], ODD_SIZES, skin)) for skin in (0.0, 1.5))
    spec = DescriptorSpec.from_config(ODD_SIZES, 2)
    kernel = TritonKernel(spec)
    torch.testing.assert_close(kernel(padded).values, kernel(bare).values, rtol=1e-13, atol=1e-14)
    gradient = kernel(padded).vjp(random(1, 1, padded.n_atoms, spec.n_features).to(DEVICE))[0]
    beyond = padded.vector.norm(dim=1) >= spec.radial_cutoff_ang
    assert beyond.any()
    assert (gradient[beyond] == 0).all()
    assert (gradient[~beyond] != 0).any(dim=1).all()


def test_an_atom_alone_has_no_features() -> None:
    spec = DescriptorSpec.from_config(ODD_SIZES, 2)
    descriptors: Descriptors = TritonKernel(spec)(elsewhere(graph_of(Atoms("Al"), ODD_SIZES)))
    assert descriptors.values.shape == (1, spec.n_features)
    assert (descriptors.values == 0).all()
    assert descriptors.vjp(torch.ones_like(descriptors.values)[None]).shape == (1, 0, 3)
    assert (descriptors.jvp(descriptors.values.new_zeros(2, 0, 3)) == 0).all()


def test_coincident_atoms_give_finite_numbers_and_no_number_is_not_hidden() -> None:
    frame = scattered()
    frame.positions[4] = frame.positions[3]
    spec = DescriptorSpec.from_config(ODD_SIZES, 1)
    graph = elsewhere(graph_of(frame, ODD_SIZES), torch.float32)
    descriptors = TritonKernel(spec)(graph)
    ones = torch.ones_like(descriptors.values)[None]
    for result in (
        descriptors.values,
        descriptors.vjp(ones),
        descriptors.jvp(torch.ones_like(graph.vector)[None]),
    ):
        assert torch.isfinite(result).all()
    graph.vector[0] = torch.nan
    assert TritonKernel(spec)(graph).values.isnan().any()


def test_what_the_programs_would_misread_is_refused() -> None:
    spec = DescriptorSpec.from_config(ODD_SIZES, 1)
    graph = elsewhere(graph_of(scattered(), ODD_SIZES))
    with pytest.raises(ValueError, match="float16"):
        TritonKernel(spec)(replace(graph, vector=graph.vector.half()))
    with pytest.raises(ValueError, match="species is torch"):
        TritonKernel(spec)(replace(graph, species=graph.species.int()))
    with pytest.raises(ValueError, match=r"cotangent has shape \(6, "):
        TritonKernel(spec)(graph).vjp(torch.ones(6, spec.n_features))
    with pytest.raises(ValueError, match="exceeds the radial one of 4 Å"):
        TritonKernel(replace(spec, radial_cutoff_ang=3.0 + 1.0, angular_cutoff_ang=4.5))


def test_a_device_is_trusted_only_if_the_kernel_is_right_there(monkeypatch: pytest.MonkeyPatch) -> None:
    host._fault_on.cache_clear()
    device = 0 if DEVICE == "cuda" else "cpu"
    assert host._fault_on(device) == ""
    host._fault_on.cache_clear()
    monkeypatch.setattr(host, "RADIAL_FACTOR", 0.26)
    assert "differs from the torch kernel by 0.0" in host._fault_on(device)
    host._fault_on.cache_clear()
    monkeypatch.setattr(triton_code, "sort_neighbours", None)
    assert "does not run on" in host._fault_on(device)
    host._fault_on.cache_clear()


@pytest.mark.slow
def test_programs_compile_for_cards_and_keep_their_sums_in_registers(tmp_path: Path) -> None:
    script = Path(__file__).parent / "compile_triton.py"
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(script), "80", "90"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("0 bytes spill stores, 0 bytes spill loads") == 8, result.stdout
