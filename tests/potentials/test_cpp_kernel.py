import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import DescriptorSpec, PairGraph
from potentials.kernels import cpp, library
from potentials.kernels.reference import TorchKernel

ELEMENTS = ["Al", "Cu", "Ni"]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
ODD_SIZES = AniConfig(n_radial=5, n_angular_radial=3, n_angles=7, zeta=8.0)
"""Sizes that are no multiple of a vector, which the general path handles."""

pytestmark = pytest.mark.skipif(not cpp.available()[0], reason=cpp.available()[1])


def graph_of(frame: Atoms, skin: float = 0.5, dtype: torch.dtype = torch.float64) -> PairGraph:
    centre, neighbour, vector = neighbor_list("ijD", frame, 7.0 + skin)
    species = [ELEMENTS.index(symbol) for symbol in frame.get_chemical_symbols()]
    counts = np.bincount(centre, minlength=len(frame))
    return PairGraph(
        species=torch.tensor(species, dtype=torch.int64),
        first_pair=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        centre=torch.from_numpy(centre),
        neighbour=torch.from_numpy(neighbour),
        vector=torch.from_numpy(vector.reshape(-1, 3)).to(dtype),
        frame_index=torch.zeros(len(frame), dtype=torch.int64),
        n_frames=1,
    )


def crystal(repeat: int = 2, n_elements: int = 1) -> Atoms:
    frame = bulk("Al", cubic=True) * repeat
    rng = np.random.default_rng(5)
    frame.positions += rng.normal(scale=0.15, size=frame.positions.shape)
    frame.symbols = [ELEMENTS[i] for i in rng.integers(n_elements, size=len(frame))]
    return frame


def disordered(n_elements: int) -> Atoms:
    rng = np.random.default_rng(7)
    frame = Atoms(
        "Al12", positions=rng.uniform(0, 6.5, size=(12, 3)), cell=[6.0, 6.5, 7.0], pbc=[True, True, False]
    )
    frame.symbols = [ELEMENTS[i] for i in rng.integers(n_elements, size=len(frame))]
    return frame


def isolated() -> Atoms:
    positions = [[0, 0, 0], [50, 0, 0], [52, 0, 0], [100, 0, 0], [102.2, 0, 0], [100, 2.5, 0]]
    return Atoms("Al6", positions=positions, cell=[200, 20, 20], pbc=True)


FRAMES = {
    "crystal": (crystal(), 1),
    "crystal of three elements": (crystal(2, 3), 3),
    "cell smaller than the cutoff": (crystal(1), 1),
    "disordered, small, open in one direction": (disordered(2), 2),
    "isolated atoms, pairs and a triple": (isolated(), 1),
}


def naive_values(spec: DescriptorSpec, graph: PairGraph) -> np.ndarray:
    """Write the definition down once more, with loops and nothing shared with either kernel."""
    species, vectors = graph.species.numpy(), graph.vector.double().numpy()
    n_shells, n_angles = len(spec.angular_shifts_ang), len(spec.angle_shifts_rad)
    n_radial = spec.n_elements * len(spec.radial_shifts_ang)
    order = [(p, q) for p in range(spec.n_elements) for q in range(p, spec.n_elements)]
    values = np.zeros((graph.n_atoms, spec.n_features))

    def cut(r: float, cutoff: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * r / cutoff)) if r < cutoff else 0.0

    for i in range(graph.n_atoms):
        pairs = range(int(graph.first_pair[i]), int(graph.first_pair[i + 1]))
        for j in pairs:
            r = np.linalg.norm(vectors[j])
            block = len(spec.radial_shifts_ang) * species[graph.neighbour[j]]
            for s, shift in enumerate(spec.radial_shifts_ang):
                term = 0.25 * math.exp(-spec.radial_eta_per_ang2 * (r - shift) ** 2)
                values[i, block + s] += term * cut(r, spec.radial_cutoff_ang)
            for k in range(j + 1, pairs.stop):
                rk = np.linalg.norm(vectors[k])
                weight = 2 * cut(r, spec.angular_cutoff_ang) * cut(rk, spec.angular_cutoff_ang)
                if weight == 0:
                    continue
                theta = math.acos(0.95 * (vectors[j] @ vectors[k]) / (r * rk))
                elements = sorted((species[graph.neighbour[j]], species[graph.neighbour[k]]))
                block = n_radial + order.index(tuple(elements)) * n_shells * n_angles
                for a, shift in enumerate(spec.angular_shifts_ang):
                    shell = weight * math.exp(-spec.angular_eta_per_ang2 * (0.5 * (r + rk) - shift) ** 2)
                    for z, angle in enumerate(spec.angle_shifts_rad):
                        term = (0.5 * (1 + math.cos(theta - angle))) ** spec.zeta
                        values[i, block + a * n_angles + z] += shell * term
    return values


def random_tensor(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    scale = max(float(expected.abs().max()), 1e-6) if expected.numel() else 1.0
    worst = float((found.double() - expected.double()).abs().max()) if expected.numel() else 0.0
    assert worst < tolerance * scale


@pytest.mark.parametrize("frame", ["cell smaller than the cutoff", "isolated atoms, pairs and a triple"])
def test_values_equal_the_definition_written_as_loops(frame):
    atoms, n_elements = FRAMES[frame]
    graph = graph_of(atoms, skin=0.0)
    spec = DescriptorSpec.from_config(AniConfig(), n_elements)
    assert_close(cpp.CppKernel(spec)(graph).values, torch.from_numpy(naive_values(spec, graph)), 1e-10)


def test_feature_order_of_several_elements_equals_the_definition():
    graph = graph_of(disordered(3), skin=0.0)
    spec = DescriptorSpec.from_config(AniConfig(n_radial=5, n_angular_radial=3, n_angles=4), 3)
    assert_close(cpp.CppKernel(spec)(graph).values, torch.from_numpy(naive_values(spec, graph)), 1e-10)


@pytest.mark.parametrize(
    "config",
    [AniConfig(**PUBLISHED_WIDTHS), AniConfig(), ODD_SIZES],
    ids=["published", "overlapping", "odd sizes"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("frame", FRAMES)
def test_everything_equals_the_reference(frame, dtype, config):
    atoms, n_elements = FRAMES[frame]
    graph, exact = graph_of(atoms, dtype=dtype), graph_of(atoms)
    spec = DescriptorSpec.from_config(config, n_elements)
    found, expected = cpp.CppKernel(spec)(graph), TorchKernel(spec)(exact)
    cotangent = random_tensor(1, 3, graph.n_atoms, spec.n_features)
    tangent = random_tensor(2, 3, graph.n_pairs, 3)
    tolerance = TOLERANCE[dtype]
    assert found.values.dtype == dtype
    assert_close(found.values, expected.values, tolerance)
    assert_close(found.vjp(cotangent.to(dtype)), expected.vjp(cotangent), tolerance)
    assert_close(found.jvp(tangent.to(dtype)), expected.jvp(tangent), tolerance)


def displaced(graph: PairGraph, step: torch.Tensor) -> PairGraph:
    return PairGraph(**{**vars(graph), "vector": graph.vector + step})


@pytest.mark.parametrize("n_elements", [1, 3])
def test_vjp_equals_finite_differences(n_elements):
    graph = graph_of(crystal(1, n_elements))
    spec = DescriptorSpec.from_config(AniConfig(), n_elements)
    kernel = cpp.CppKernel(spec)
    cotangent = random_tensor(3, 1, graph.n_atoms, spec.n_features)
    for seed in range(3):
        step = 1e-5 * random_tensor(10 + seed, graph.n_pairs, 3)
        change = kernel(displaced(graph, step)).values - kernel(displaced(graph, -step)).values
        predicted = 2 * (kernel(graph).vjp(cotangent)[0] * step).sum()
        assert float(predicted) == pytest.approx(float((change * cotangent[0]).sum()), rel=1e-6)


@pytest.mark.parametrize("n_elements", [1, 2])
@pytest.mark.parametrize("n_vectors", [1, 5])
def test_jvp_and_vjp_are_adjoint(n_elements, n_vectors):
    graph = graph_of(disordered(n_elements))
    spec = DescriptorSpec.from_config(AniConfig(), n_elements)
    descriptors = cpp.CppKernel(spec)(graph)
    u = random_tensor(4, n_vectors, graph.n_atoms, spec.n_features)
    v = random_tensor(5, n_vectors, graph.n_pairs, 3)
    left = torch.einsum("naf,maf->nm", u, descriptors.jvp(v))
    right = torch.einsum("npx,mpx->nm", descriptors.vjp(u), v)
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_pairs_beyond_the_cutoff_have_no_gradient():
    graph = graph_of(crystal(), skin=1.0)
    spec = DescriptorSpec.from_config(AniConfig(), 1)
    gradient = cpp.CppKernel(spec)(graph).vjp(random_tensor(6, 2, graph.n_atoms, spec.n_features))
    beyond = graph.vector.norm(dim=1) >= 7.0
    assert beyond.any()
    assert (gradient[:, beyond] == 0).all()
    assert (gradient[:, ~beyond] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_coincident_atoms_give_finite_numbers(dtype):
    frame = crystal(1)
    frame.positions[1] = frame.positions[0]
    frame.positions[2] = frame.positions[3] + 1e-20
    graph = graph_of(frame, dtype=dtype)
    assert (graph.vector == 0).all(dim=1).any()
    spec = DescriptorSpec.from_config(AniConfig(), 1)
    descriptors = cpp.CppKernel(spec)(graph)
    assert descriptors.values.isfinite().all()
    assert descriptors.vjp(random_tensor(8, 2, graph.n_atoms, spec.n_features, dtype=dtype)).isfinite().all()
    assert descriptors.jvp(random_tensor(9, 2, graph.n_pairs, 3, dtype=dtype)).isfinite().all()


def test_a_position_that_is_no_number_is_not_hidden():
    graph = graph_of(crystal(1))
    graph.vector[3] = math.nan
    assert cpp.CppKernel(DescriptorSpec.from_config(AniConfig(), 1))(graph).values.isnan().any()


def test_several_threads_give_the_same_bits():
    graph = graph_of(crystal(3, 2), dtype=torch.float32)
    spec = DescriptorSpec.from_config(AniConfig(), 2)
    cotangent = random_tensor(1, 2, graph.n_atoms, spec.n_features, dtype=torch.float32)
    tangent = random_tensor(2, 2, graph.n_pairs, 3, dtype=torch.float32)

    def everything(n_threads: int) -> list[torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            descriptors = cpp.CppKernel(spec)(graph)
            return [descriptors.values, descriptors.vjp(cotangent), descriptors.jvp(tangent)]
        finally:
            torch.set_num_threads(before)

    for one, three in zip(everything(1), everything(3), strict=True):
        assert torch.equal(one, three)


def test_no_atoms_and_no_pairs():
    spec = DescriptorSpec.from_config(AniConfig(), 1)
    alone = cpp.CppKernel(spec)(graph_of(Atoms("Al", cell=[30, 30, 30], pbc=True)))
    assert (alone.values == 0).all()
    assert alone.vjp(torch.ones(2, 1, spec.n_features, dtype=torch.float64)).shape == (2, 0, 3)
    assert (alone.jvp(torch.ones(2, 0, 3, dtype=torch.float64)) == 0).all()


def test_what_the_compiled_code_would_misread_is_refused():
    graph = graph_of(crystal(1, 3))
    with pytest.raises(ValueError, match="species 2 in a graph for 1 elements"):
        cpp.CppKernel(DescriptorSpec.from_config(AniConfig(), 1))(graph)
    spec = DescriptorSpec.from_config(AniConfig(), 3)
    with pytest.raises(ValueError, match="float16"):
        cpp.CppKernel(spec)(PairGraph(**{**vars(graph), "vector": graph.vector.half()}))
    with pytest.raises(ValueError, match="cotangent has shape"):
        cpp.CppKernel(spec)(graph).vjp(torch.ones(graph.n_atoms, spec.n_features, dtype=torch.float64))


def test_an_older_cpu_is_refused_before_any_of_the_code_runs(monkeypatch):
    monkeypatch.setattr(library, "_cpu_flags", lambda: {"fpu", "sse2"})
    monkeypatch.setattr(library, "_text", lambda loaded, symbol: "sse2 avx512f")
    library._loaded.cache_clear()
    try:
        ok, reason = cpp.available()
        assert not ok
        assert "built for a CPU with avx512f" in reason
        with pytest.raises(RuntimeError, match=r"CPU with avx512f, which .* SMELTER_MARCH"):
            cpp.CppKernel(DescriptorSpec.from_config(AniConfig(), 1))
    finally:
        library._loaded.cache_clear()


def test_a_library_of_older_sources_is_refused(monkeypatch):
    monkeypatch.setattr(library, "_NEWEST", "smelter_of_the_future")
    library._loaded.cache_clear()
    try:
        assert cpp.available() == (False, "the C++ kernel was built from older sources: install again")
    finally:
        library._loaded.cache_clear()
