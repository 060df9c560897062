import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from sampling.pair_distances import PairDistance, distance_matrix

SETTING = TypeAdapter(PairDistance)


def test_one_number_counts_for_all_pairs():
    assert np.array_equal(distance_matrix(1.8, ["Al", "Cu"]), np.full((2, 2), 1.8))


def test_pairs_are_found_in_either_order_and_others_take_the_default():
    setting = SETTING.validate_python({"Cu-Al": 1.9, "default": 1.5})
    assert distance_matrix(setting, ["Al", "Cu"]).tolist() == [[1.5, 1.9], [1.9, 1.5]]


def test_an_unlisted_pair_without_default_is_refused():
    with pytest.raises(ValueError, match="no distance for Al-Cu, Cu-Cu"):
        distance_matrix({"Al-Al": 2.0}, ["Al", "Cu"])


@pytest.mark.parametrize(
    "setting", [{"Al": 1.0}, {"Al-Xx": 1.0}, {"Al-Cu": 1.0, "Cu-Al": 2.0}, -1.0, {"Al-Al": 0}]
)
def test_what_is_no_distance_is_refused(setting):
    with pytest.raises(ValidationError):
        SETTING.validate_python(setting)
