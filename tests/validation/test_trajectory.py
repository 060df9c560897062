"""Long runs: they go on where they were, keep temperature and pressure, and say when a potential explodes."""

import math

import numpy as np
import pytest
from ase.build import bulk
from odd_calculators import Explodes, NotANumber, Raises
from pages import Pages

from qm.eam import ZhouEam
from validation import trajectory
from validation.averages import block_error
from validation.ensembles import (
    constant_pressure,
    piston_along_z,
    pressed_along_z,
    pressure_gpa,
    set_velocities,
    time_step,
)
from validation.evaluation import NoPropertyError
from validation.trajectory import Course, NoNotebook, follow


def warm(element="Al", n=2, temperature_k=600.0):
    frame = bulk(element, cubic=True).repeat(n)
    set_velocities(frame, temperature_k, np.random.default_rng(0))
    return frame


def course(n_steps=60, measure=lambda frame, step: (step, frame.get_temperature()), **changes):
    def dynamics(frame, rng):
        return constant_pressure(frame, "Al", 300.0, 0.0, rng)

    return Course("run", n_steps, 20, dynamics, measure, 300.0, **changes)


def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_repeated(monkeypatch):
    monkeypatch.setattr(trajectory, "_KEEP_EVERY_S", -1.0)
    pages = Pages()

    def interrupt(frame, step):
        if step == 60:
            raise KeyboardInterrupt
        return (step,)

    with pytest.raises(KeyboardInterrupt):
        follow(course(measure=interrupt), warm, ZhouEam(), pages, 0)
    assert int(pages["run"]["step"]) == 40

    def never():
        raise AssertionError("it began anew")

    frame, rows = follow(course(measure=lambda frame, step: (step,)), never, ZhouEam(), pages, 0)
    assert rows[:, 0].tolist() == [20, 40, 60]
    again, rows = follow(course(), never, Raises(), pages, 0)
    assert (again.positions == frame.positions).all()
    assert (again.get_momenta() == frame.get_momenta()).all()
    _, rows = follow(course(80, lambda frame, step: (step,)), never, ZhouEam(), pages, 0)
    assert rows[:, 0].tolist() == [20, 40, 60, 80]


def test_a_run_ends_early_where_asked_also_when_it_was_kept():
    pages = Pages()
    short = course(until=lambda rows: rows[-1, 0] >= 40)
    _, rows = follow(short, warm, ZhouEam(), pages, 0)
    assert rows[:, 0].tolist() == [20, 40]
    _, rows = follow(short, warm, Raises(), pages, 0)
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("calculator", "element", "reason"),
    [
        (Explodes(), "Cu", "explodes"),
        (NotANumber(), "Al", "explodes in run: a force of nan"),
        (Raises(), "Al", "no such parameter"),
    ],
)
def test_what_goes_wrong_is_said(calculator, element, reason):
    with pytest.raises(NoPropertyError, match=reason):
        follow(course(), lambda: warm(element), calculator, NoNotebook(), 0)


def test_constant_pressure_holds_temperature_and_pressure():
    measured = course(
        1600, lambda frame, _: (frame.get_temperature(), pressure_gpa(frame), frame.get_volume())
    )
    _, rows = follow(measured, warm, ZhouEam(), NoNotebook(), 1)
    temperature, pressure, volume = rows[20:].mean(axis=0)
    assert temperature == pytest.approx(300.0, rel=0.15)
    assert pressure == pytest.approx(0.0, abs=0.4)
    assert 17.0 < volume / 32 < 17.9
    assert rows[20:, 2].std() > 0.0


def test_the_piston_moves_one_axis_keeps_the_enthalpy_and_obeys_the_pressure():
    frame = warm(n=(2, 2, 3), temperature_k=400.0)
    frame.set_cell(1.02 * frame.cell, scale_atoms=True)
    frame.calc = ZhouEam()
    pressed_along_z(frame, "Al", 300.0, 3.0, 90.0).run(300)
    assert -frame.get_stress(include_ideal_gas=True)[2] * 160.2177 == pytest.approx(3.0, abs=1.0)
    sides = frame.cell.lengths()
    dynamics = piston_along_z(frame, "Al", 3.0, 90.0)
    enthalpies, stresses = [], []
    for _ in range(50):
        dynamics.run(10)
        enthalpies.append(dynamics.get_gibbs_free_energy())
        stresses.append(-frame.get_stress(include_ideal_gas=True)[2] * 160.2177)
    assert frame.cell.lengths()[:2] == pytest.approx(sides[:2])
    assert frame.cell.lengths()[2] != sides[2]
    assert np.ptp(enthalpies[5:]) / len(frame) < 2e-3
    assert np.mean(stresses) == pytest.approx(3.0, abs=0.7)


def test_time_steps_follow_the_mass():
    assert time_step("Cu") / time_step("Al") == pytest.approx(math.sqrt(63.546 / 26.98), rel=1e-3)
    assert time_step("H") < 0.3 * time_step("Al")


def test_block_errors_know_of_correlation():
    rng = np.random.default_rng(0)
    white = rng.normal(size=8000)
    assert block_error(white) == pytest.approx(8000**-0.5, rel=0.6)
    slow = [block_error(np.repeat(rng.normal(size=80), 100)) for _ in range(50)]
    assert np.mean(slow) == pytest.approx(80**-0.5, rel=0.15)
    assert math.isnan(block_error(white[:5]))
