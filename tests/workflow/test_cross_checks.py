"""Settings of different stages that do not fit are refused in one line."""

import pytest
from pydantic import ValidationError
from tiny_campaign import tiny_config

from workflow.settings.cross_checks import widest_spacing_ang

IMPOSSIBLE = [
    ({"builder__density_g_per_cm3": [2.0, 9.0]}, "builder: Al at 9 g/cm³ with atoms 2 Å apart fills"),
    ({"bootstrap": {"n_frames": 0}}, "bootstrap.n_frames = 0 needs bootstrap.import_extxyz"),
    ({"stop__max_labels": 15}, "stop.max_labels = 15 is below bootstrap.n_frames = 16"),
    ({"stop__median_survival_ps": 0.06}, "exceeds sampling.schedule.duration_ps = 0.05"),
    ({"candidates": {"max_in_flight": 7}}, "is below synchronisation.min_new_labels = 8"),
    ({"breaker": {"window": 2, "max_failures": 3}}, "exceeds breaker.window = 2"),
    ({"sampling__thresholds": {"close_contact_ang": 2.0}}, "is not below builder.min_distance_ang = 2"),
    ({"gates": {"min_distance_ang": 2.1}}, "gates.min_distance_ang = 2.1 is above builder.min_distance_ang"),
    ({"checks": {"min_distance_ang": 1.5}}, "checks.min_distance_ang = 1.5 is above gates.min_distance_ang"),
    (
        {"sampling__thresholds": {"close_contact_ang": {"Cu-Cu": 1.0}}},
        "sampling.thresholds.close_contact_ang: no distance for Al-Al",
    ),
    ({"potential__n_members": 1}, "potential.n_members = 1: an ensemble needs two to disagree"),
    (
        {"potential__angular_cutoff_ang": 2.0},
        "potential.angular_cutoff_ang = 2 does not exceed builder.min_distance_ang = 2",
    ),
    (
        {"builder__density_g_per_cm3": [0.6, 2.6]},
        "potential.radial_cutoff_ang = 4.5 is below 4.73, the distance of neighbours at the lowest",
    ),
    (
        {"sampling__thresholds": {"max_mean_force_error_ev_per_ang": 0.7}},
        "max_mean_force_error_ev_per_ang = 0.7 is above max_force_error_ev_per_ang = 0.6",
    ),
    (
        {"sampling__check_every_steps": 21},
        "sampling.check_every_steps = 21 exceeds sampling.chunk_steps = 20",
    ),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValidationError) as caught:
        tiny_config(**changes)
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert "\n" not in error["msg"]


def test_limits_themselves_are_allowed():
    tiny_config(gates={"min_distance_ang": 2.0}, stop__max_labels=16, candidates={"max_in_flight": 8})


def test_the_widest_spacing_is_that_of_the_fcc_crystal():
    """Aluminium at 4.05 Å has 2.7 g/cm³ and neighbours at 4.05/√2 Å."""
    config = tiny_config(builder__density_g_per_cm3=[2.6977, 2.8])
    assert widest_spacing_ang(config) == pytest.approx(4.05 / 2**0.5, rel=1e-3)
