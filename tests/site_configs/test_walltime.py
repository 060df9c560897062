"""Walltimes are read as they are meant, and never as something else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from site_configs.walltime import clock, parse_walltime, whole_minutes


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("12:00:00", 12.0),
        ("24:00:00", 24.0),
        ("30:30:00", 30.5),
        ("1-00:00:00", 24.0),
        ("2-06:00:00", 54.0),
        ("00:03:00", 0.05),
        (90, 1.5),
        ("720", 12.0),
        (1440, 24.0),
    ],
)
def test_three_ways_to_write_it(text: str | int, hours: float) -> None:
    walltime = parse_walltime(text)
    assert walltime == timedelta(hours=hours)
    assert parse_walltime(clock(walltime)) == walltime


@pytest.mark.parametrize(
    "text", ["12:00", "12:60:00", "1-12", "-5", 0, "00:00:00", 1.5, True, None, "12h", ""]
)
def test_what_is_ambiguous_or_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected (HH:MM:SS, D-HH:MM:SS or a number|more than no time)"):
        parse_walltime(text)


def test_minutes_are_rounded_up() -> None:
    assert whole_minutes(timedelta(seconds=61)) == 2
    assert whole_minutes(timedelta(hours=30)) == 1800
