import numpy as np
import pytest
from ase.data import atomic_masses
from ase.neighborlist import neighbor_list
from pydantic import ValidationError
from scipy.stats import kstest

from sampling.builder import BuildError
from sampling.builders import make_builder
from sampling.config import DisorderConfig
from sampling.gates import density_g_per_cm3
from sampling.placement import place_by_relaxation, place_in_turn


def cells(config, elements, n):
    builder = make_builder(config, elements)
    return [builder.build(seed) for seed in np.random.SeedSequence(20).spawn(n)]


def shortest_distance(frame):
    """Images of an atom count; 5 Å where there is none that near."""
    return neighbor_list("d", frame, 5.0).min(initial=5.0)


def test_a_hundred_seeds_give_a_hundred_different_cells():
    built = cells(DisorderConfig(side_ang=(10.5, 11.0), density_g_per_cm3=(1.8, 2.0)), ["Al"], 100)
    assert len({frame.positions.tobytes() for frame in built}) == 100
    assert len({frame.cell.array.tobytes() for frame in built}) == 100
    assert len({frame.info["seed"] for frame in built}) == 100


def test_the_same_seed_gives_the_same_cell():
    builder = make_builder(DisorderConfig(), ["Al"])
    first, second = (builder.build(np.random.SeedSequence(7, spawn_key=(1, 2))) for _ in range(2))
    assert first == second
    assert first.info == second.info
    assert first.info["seed"] == "7:1.2"


def test_cells_of_the_paper_keep_to_its_ranges():
    built = cells(DisorderConfig(), ["Al"], 40)
    sides = np.array([np.diag(frame.cell.array) for frame in built])
    densities = np.array([density_g_per_cm3(frame) for frame in built])
    assert all(frame.cell.orthorhombic and frame.pbc.all() for frame in built)
    assert min(shortest_distance(frame) for frame in built) >= 1.8
    assert {frame.info["placement"] for frame in built} == {"sequential"}
    assert [frame.info["density_g_per_cm3"] for frame in built] == pytest.approx(densities)
    assert kstest(sides.ravel(), "uniform", args=(10.5, 6.5)).pvalue > 0.01
    assert kstest(densities, "uniform", args=(1.8, 2.25)).pvalue > 0.01


def test_atoms_fill_the_cell_evenly():
    built = cells(DisorderConfig(side_ang=(10.5, 10.5), density_g_per_cm3=(1.8, 1.8)), ["Al"], 30)
    places = np.concatenate([frame.get_scaled_positions() for frame in built])
    assert all(kstest(places[:, axis], "uniform").pvalue > 0.001 for axis in range(3))


def test_cells_smaller_than_twice_the_distance_keep_it_to_all_images():
    config = DisorderConfig(side_ang=(2.5, 3.5), density_g_per_cm3=(1.8, 3.0), min_atoms=1)
    for frame in cells(config, ["Al"], 50):
        assert shortest_distance(frame) >= 1.8


def test_dense_cells_are_relaxed_and_still_keep_the_distance_exactly():
    config = DisorderConfig(side_ang=(10.5, 10.5), density_g_per_cm3=(7.0, 7.0))
    (frame,) = cells(config, ["Al"], 1)
    assert frame.info["placement"] == "relaxed"
    assert shortest_distance(frame) >= 1.8
    assert density_g_per_cm3(frame) == pytest.approx(7.0, rel=0.01)


def test_a_relaxed_start_keeps_every_pair_distance_it_was_given():
    rng = np.random.default_rng(3)
    distances = np.full((40, 40), 1.5)
    distances[:20, :20] = 2.2
    positions = place_by_relaxation(np.array([7.0, 7.5, 8.0]), distances, rng)
    apart = positions[:, None] - positions[None]
    apart -= np.array([7.0, 7.5, 8.0]) * np.round(apart / np.array([7.0, 7.5, 8.0]))
    lengths = np.linalg.norm(apart, axis=-1) + 10 * np.eye(40)
    assert (lengths >= distances).all()


def test_random_placement_gives_up_after_the_stated_attempts():
    rng = np.random.default_rng(0)
    positions, attempts = place_in_turn(np.full(3, 4.0), np.full((60, 60), 1.8), rng, max_attempts=100)
    assert positions is None
    assert 100 < attempts <= 60 * 100


def test_a_density_beyond_random_packing_is_refused_with_the_settings():
    config = {"density_g_per_cm3": (1.8, 11.0), "composition": {"Al": 1.0}}
    with pytest.raises(ValidationError, match=r"Al at 11 g/cm³ .* fills 75% of space"):
        DisorderConfig(**config)
    with pytest.raises(ValueError, match=r"Al at 11 g/cm³ .* fills 75% of space"):
        make_builder(DisorderConfig(density_g_per_cm3=(1.8, 11.0)), ["Al"])


def test_a_cell_that_jams_is_a_build_error_that_says_what_to_change():
    config = DisorderConfig(side_ang=(2.5, 2.5), density_g_per_cm3=(9.3, 9.3))
    with pytest.raises(BuildError, match="could not be kept min_distance_ang apart"):
        make_builder(config, ["Al"]).build(np.random.SeedSequence(0))


def test_sides_shorter_than_the_distance_are_refused():
    with pytest.raises(ValidationError, match="too close to its own image"):
        DisorderConfig(side_ang=(1.0, 5.0), composition={"Al": 1.0})


def test_atom_numbers_stay_within_their_limits():
    built = cells(DisorderConfig(min_atoms=60, max_atoms=80), ["Al"], 30)
    assert all(60 <= len(frame) <= 80 for frame in built)


def test_unreachable_atom_numbers_are_a_build_error():
    builder = make_builder(DisorderConfig(min_atoms=2000), ["Al"])
    with pytest.raises(BuildError, match="2000 to any number of atoms"):
        builder.build(np.random.SeedSequence(0))


def test_pairs_of_elements_keep_their_own_distances():
    config = DisorderConfig(
        min_distance_ang={"Al-Al": 2.3, "Cu-Al": 1.6, "default": 1.9},
        composition={"Al": 1, "Cu": 1},
        density_g_per_cm3=(4.0, 4.0),
    )
    shortest = {}
    for frame in cells(config, ["Al", "Cu"], 12):
        apart = frame.get_all_distances(mic=True) + 10 * np.eye(len(frame))
        symbols = np.array(frame.get_chemical_symbols())
        for a, b in (("Al", "Al"), ("Al", "Cu"), ("Cu", "Cu")):
            d = apart[np.ix_(symbols == a, symbols == b)].min()
            shortest[a + b] = min(d, shortest.get(a + b, 99))
    assert 2.3 <= shortest["AlAl"] < 2.4
    assert 1.6 <= shortest["AlCu"] < 1.7
    assert 1.9 <= shortest["CuCu"] < 2.0


def test_fixed_fractions_are_met_to_one_atom():
    config = DisorderConfig(composition={"Al": 3, "Cu": 1}, density_g_per_cm3=(3.0, 4.0))
    for frame in cells(config, ["Al", "Cu"], 10):
        n_cu = frame.get_chemical_symbols().count("Cu")
        assert abs(n_cu - len(frame) / 4) <= 1


def test_random_fractions_are_uniform_over_the_mixtures():
    config = DisorderConfig(density_g_per_cm3=(2.0, 3.0), side_ang=(10.5, 11.5))
    built = cells(config, ["Al", "Cu"], 80)
    fractions = [frame.get_chemical_symbols().count("Cu") / len(frame) for frame in built]
    assert kstest(fractions, "uniform").pvalue > 0.01


def test_densities_per_element_are_mixed_by_volume():
    config = DisorderConfig(
        density_g_per_cm3={"Al": (2.7, 2.7), "Cu": (8.9, 8.9)}, composition={"Al": 1, "Cu": 1}
    )
    (frame,) = cells(config, ["Al", "Cu"], 1)
    per_atom = frame.get_volume() / len(frame)
    expected = 0.5 * (atomic_masses[13] / 2.7 + atomic_masses[29] / 8.9) / 0.602214
    assert per_atom == pytest.approx(expected, rel=0.01)


def test_a_composition_of_other_elements_is_refused():
    with pytest.raises(ValueError, match="composition names Cu; the elements are Al"):
        make_builder(DisorderConfig(composition={"Cu": 1.0}), ["Al"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side_ang": (12, 11)}, "expected 0 <= lowest <= highest"),
        ({"composition": {"Xx": 1}}, "expected chemical symbols, found Xx"),
        ({"min_atoms": 5, "max_atoms": 4}, "max_atoms .4. is below min_atoms .5."),
        ({"density_g_per_cm3": {"Al": (0, 1)}}, "must be above 0"),
        (
            {"min_distance_ang": {"Al-Al": 2}, "composition": {"Al": 1, "Cu": 1}},
            "no distance for Al-Cu, Cu-Cu",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DisorderConfig(**settings)
