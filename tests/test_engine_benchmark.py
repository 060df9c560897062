"""The engine benchmark's own parts, without rivals and without looking at times."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import engine  # noqa: E402
from benchmarks.engine_parts.bench import Bench  # noqa: E402
from benchmarks.engine_parts.frames import crystal, disordered, large_disordered  # noqa: E402
from benchmarks.engine_parts.machine import flop_per_atom  # noqa: E402
from benchmarks.engine_parts.timing import take_turns  # noqa: E402
from benchmarks.engine_parts.weights import find_weights  # noqa: E402
from benchmarks.peers.client import Peer, PeerError  # noqa: E402


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    weights, _ = find_weights(None, tmp_path)
    return Bench("cpu", True, weights, tmp_path, tmp_path / "peers")


def density_g_per_cm3(frame: Atoms) -> float:
    return frame.get_masses().sum() / 0.602214 / frame.get_volume()


def test_random_weights_are_read_back_as_an_ensemble_of_published_size(bench: Bench) -> None:
    ensemble = bench.ensemble
    assert (ensemble.n_members, ensemble.spec.n_features) == (8, 96)
    assert [tuple(w.shape[1:]) for w in ensemble.networks.weights[0]] == [
        (96, 96),
        (96, 96),
        (96, 64),
        (64, 1),
    ]
    forces = ensemble.evaluate(bench.batch([crystal(32)])).forces
    assert forces.abs().max() > 1e-3


def test_frames_are_what_the_tables_say() -> None:
    assert [len(crystal(n)) for n in (32, 108, 500, 1000, 4000)] == [32, 108, 500, 1000, 4000]
    cells = disordered(3)
    assert all(55 <= len(frame) <= 249 for frame in cells)
    large = large_disordered(300)
    assert [density_g_per_cm3(frame) for frame in [*cells, large]] == pytest.approx([2.7] * 4, rel=0.02)


def test_rivals_take_turns_after_warming_up() -> None:
    order = []

    def turn(name: str) -> tuple[float, float]:
        order.append(name)
        return float(len(order)), 1.0

    timings = take_turns({"a": lambda: turn("a"), "b": lambda: turn("b")}, 0.0, least_rounds=2)
    assert "".join(order) == "ab" + "abab"
    assert timings["a"].cpu_s == [3.0, 5.0]
    assert timings["a"].least("cpu") == 3.0
    assert timings["a"].spread("cpu") == pytest.approx(1 / 3)


def test_operations_are_counted_by_hand(bench: Bench) -> None:
    flop = flop_per_atom(bench, pairs=0.0, near=2.0)  # one triple
    assert flop["networks"] == 4 * 8 * (96 * 96 + 96 * 96 + 96 * 64 + 64)
    assert flop["radial"] == 0.0
    assert flop["angular"] == 6 * 64 + 2 * 16 * 16 + 60


def test_padded_arrays_hold_every_frame(bench: Bench) -> None:
    frames = [crystal(32), crystal(108)]
    with np.load(bench.arrays(frames)) as archive:
        assert archive["n_atoms"].tolist() == [32, 108]
        assert archive["positions"].shape == (2, 108, 3)
        assert archive["positions"][0, :32] == pytest.approx(frames[0].get_positions(wrap=True))


def test_a_rivals_error_is_told(tmp_path: Path) -> None:
    module = "tests.support.echo_peer"
    with Peer(Path(sys.executable), module) as peer:
        assert peer.ask("echo", word="hello") == "hello"
        with pytest.raises(PeerError, match="echo_peer: fail: ValueError: no"):
            peer.ask("fail")
        with pytest.raises(PeerError, match="ended with status 3 at leave"):
            peer.ask("leave")


def test_unknown_weights_and_parts_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"no sae_linfit\.dat"):
        engine.main(["--weights", str(tmp_path), "--only", "kernels"])
    with pytest.raises(SystemExit) as stop:
        engine.main(["--only", "everything"])
    assert stop.value.code == 2
    assert "invalid choice: 'everything'" in capsys.readouterr().err


def test_parts_without_rivals_print_their_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(engine.WEIGHTS, raising=False)
    path = tmp_path / "out.json"
    assert engine.main(["--quick", "--only", "kernels", "peak", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "random weights" in printed
    assert "Descriptors alone, 108 atoms" in printed
    assert "of the peak" in path.read_text()
