import numpy as np
import pytest
from pydantic import ValidationError

from sampling.config import ScheduleConfig
from sampling.schedule import TemperatureSchedule, draw


def test_temperature_follows_the_equation_of_the_paper():
    schedule = TemperatureSchedule(
        start_k=100.0, end_k=500.0, modulation_k=1000.0, period_fs=20_000.0, duration_fs=250_000.0
    )
    assert schedule.temperature_k(0.0) == pytest.approx(100.0)
    assert schedule.temperature_k(10_000.0) == pytest.approx(100 + 400 / 25 + 1000)
    assert schedule.temperature_k(20_000.0) == pytest.approx(100 + 400 * 2 / 25)
    assert schedule.temperature_k(5_000.0) == pytest.approx(100 + 400 / 50 + 500)
    assert schedule.temperature_k(250_000.0) == pytest.approx(500 + 1000 * np.sin(12.5 * np.pi) ** 2)
    assert schedule.temperature_k(np.zeros((3, 2))).shape == (3, 2)


def test_draws_fill_the_ranges_of_the_settings():
    rng = np.random.default_rng(5)
    drawn = [draw(ScheduleConfig(), rng) for _ in range(500)]
    for name, low, high in (
        ("start_k", 10, 1000),
        ("end_k", 10, 600),
        ("modulation_k", 0, 2000),
        ("period_fs", 10_000, 50_000),
    ):
        values = np.array([getattr(schedule, name) for schedule in drawn])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert {schedule.duration_fs for schedule in drawn} == {250_000.0}


def test_a_period_of_zero_is_refused():
    with pytest.raises(ValidationError, match="period_ps must be above 0"):
        ScheduleConfig(period_ps=(0.0, 1.0))
