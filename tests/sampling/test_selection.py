import numpy as np
import pytest
from ase.build import bulk
from toy_builders import ToyCrystals
from toy_potentials import ToyMorse

from potentials.disagreement import Calibration
from sampling.builders import make_builder
from sampling.config import DisorderConfig, SelectorConfig, ThresholdConfig
from sampling.frame_fingerprint import frame_fingerprint, relative_difference
from sampling.selection import make_selector


def disordered(n, **changes):
    builder = make_builder(DisorderConfig(side_ang=(10.5, 11.0), **changes), ["Al"])
    return [builder.build(seed) for seed in np.random.SeedSequence(1).spawn(n)]


def disguised(frame):
    """The same frame turned, shifted, renumbered and wrapped."""
    other = frame[np.random.default_rng(0).permutation(len(frame))]
    other.rotate(37, (1, 2, 3), rotate_cell=True)
    other.translate([1.3, 2.4, 3.5])
    other.wrap()
    return other


def difference(first, second):
    a, b = (frame_fingerprint(frame, ["Al"]) for frame in (first, second))
    return float(relative_difference(a, b[None])[0])


def test_the_fingerprint_sees_through_disguises():
    (frame,) = disordered(1)
    assert difference(frame, disguised(frame)) < 1e-9
    assert difference(frame, frame * (2, 1, 1)) < 1e-9


def test_the_fingerprint_tells_frames_apart_and_grows_smoothly():
    first, second = disordered(2, density_g_per_cm3=(2.7, 2.7))
    nudged = [first.copy() for _ in range(2)]
    for frame, size in zip(nudged, (1e-4, 1e-3), strict=True):
        frame.positions += size * np.random.default_rng(1).standard_normal(frame.positions.shape)
    small, larger = (difference(first, frame) for frame in nudged)
    assert larger == pytest.approx(10 * small, rel=0.1)
    assert larger < 0.002
    assert difference(first, second) > 0.03


def test_the_fingerprint_tells_which_element_is_where():
    first = bulk("Al", a=4.05, cubic=True) * (2, 2, 2)
    near, far = first.copy(), first.copy()
    near.symbols[[0, 1]] = "Cu"
    far.symbols[[0, 31]] = "Cu"
    prints = [frame_fingerprint(frame, ["Al", "Cu"]) for frame in (first, near, far)]
    assert min(relative_difference(prints[0], np.stack(prints[1:]))) > 0.1
    assert relative_difference(prints[1], prints[2][None])[0] > 0.001


def test_duplicates_among_candidates_and_with_known_frames_are_dropped():
    a, b, c = disordered(3)
    selector = make_selector(SelectorConfig())
    selection = selector.select([a, disguised(a), b, c], known=[disguised(b)])
    assert selection.kept == [0, 3]
    assert selection.dropped == {"duplicate": 2}


def test_large_disordered_cells_of_one_size_and_density_are_no_duplicates():
    builder = make_builder(DisorderConfig(side_ang=(17.0, 17.0), density_g_per_cm3=(2.7, 2.7)), ["Al"])
    frames = [builder.build(seed) for seed in np.random.SeedSequence(1).spawn(10)]
    assert len({len(frame) for frame in frames}) == 1
    assert len(make_selector(SelectorConfig()).select(frames).kept) == 10


def test_no_tolerance_keeps_duplicates():
    (a,) = disordered(1)
    assert make_selector(SelectorConfig(fingerprint_tolerance=0)).select([a, a]).kept == [0, 1]


def test_what_the_newest_ensemble_agrees_on_is_dropped_and_the_rest_is_ordered():
    frames = [ToyCrystals(rattle_ang=r).build(np.random.SeedSequence(2)) for r in (0.05, 0.3, 0.01, 0.2)]
    thresholds = ThresholdConfig(
        max_energy_error_mev_per_sqrt_atom=1e6,
        max_mean_force_error_ev_per_ang=1e6,
        max_force_error_ev_per_ang=0.02,
    )
    given = {"potential": ToyMorse(), "calibration": Calibration(force=1.0), "thresholds": thresholds}
    selection = make_selector(SelectorConfig()).select(frames, **given)
    assert selection.kept == [1, 3]
    assert selection.dropped == {"agreed": 2}
    most = make_selector(SelectorConfig(max_candidates=1)).select(frames, **given)
    assert most.kept == [1]
    assert most.dropped == {"agreed": 2, "surplus": 1}
    kept = make_selector(SelectorConfig(rescore=False)).select(frames, **given).kept
    assert kept == [1, 3, 0, 2]
    sure = given | {"calibration": Calibration(force=1e-3)}
    assert make_selector(SelectorConfig()).select(frames, **sure).kept == []


def test_nothing_to_select_from():
    assert make_selector(SelectorConfig()).select([], potential=ToyMorse()).kept == []
