import numpy as np
import pytest
from pydantic import ValidationError
from toy_builders import ToyCrystals
from toy_potentials import ToyMorse

from potentials.disagreement import Calibration
from sampling.config import DynamicsConfig, SamplingConfig, ScheduleConfig, ThresholdConfig
from sampling.search import advance
from sampling.slot_group import SlotGroup, new_group
from sampling.strain import NO_STRAIN, StrainSchedule, draw_strain

SHEAR = StrainSchedule((0.03, -0.02, 0.01, 0.02, -0.01, 0.04), 400.0)
THRESHOLDS = ThresholdConfig(
    max_energy_error_mev_per_sqrt_atom=1e6,
    max_mean_force_error_ev_per_ang=1e6,
    max_force_error_ev_per_ang=1e6,
    close_contact_ang=0.5,
)


def settings(max_strain: float, temperature_k: float = 20.0) -> SamplingConfig:
    return SamplingConfig(
        n_slots=3,
        check_every_steps=5,
        thresholds=THRESHOLDS,
        dynamics=DynamicsConfig(settle_ps=0.0),
        schedule=ScheduleConfig(
            start_k=(temperature_k, temperature_k),
            end_k=(temperature_k, temperature_k),
            modulation_k=(0, 0),
            duration_ps=0.5,
            max_strain=max_strain,
            strain_period_ps=(0.2, 0.4),
        ),
    )


def after(group: SlotGroup, config: SamplingConfig, n_steps: int) -> SlotGroup:
    return advance(group, ToyMorse(), "e", Calibration(), ToyCrystals(), config, n_steps)[0]


def test_the_deformation_is_a_sine_and_symmetric():
    assert np.array_equal(SHEAR.deformation(0.0), np.eye(3))
    at_most = SHEAR.deformation(100.0)
    assert at_most == pytest.approx(at_most.T)
    assert at_most[0, 0] == pytest.approx(1.03)
    assert at_most[1, 2] == pytest.approx(0.02)
    assert at_most[0, 1] == pytest.approx(0.04)
    assert SHEAR.deformation(300.0) == pytest.approx(2 * np.eye(3) - at_most)


def test_two_spans_of_time_make_one():
    row = np.array([1.0, -2.0, 0.5])
    once = row @ SHEAR.deformation(90.0)
    assert once @ SHEAR.between(90.0, 250.0) == pytest.approx(row @ SHEAR.deformation(250.0))


def test_draws_fill_their_ranges():
    config = ScheduleConfig(max_strain=0.05, strain_period_ps=(4.0, 8.0))
    drawn = [draw_strain(config, np.random.default_rng(i)) for i in range(300)]
    components = np.array([strain.voigt for strain in drawn])
    assert np.abs(components).max() <= 0.05
    assert (components.min(axis=0) < -0.045).all()
    assert (components.max(axis=0) > 0.045).all()
    periods = np.array([strain.period_fs for strain in drawn])
    assert 4000 <= periods.min() < 4300
    assert 7700 < periods.max() <= 8000
    assert draw_strain(ScheduleConfig(), np.random.default_rng(0)) is NO_STRAIN


def test_cells_follow_their_strain_and_atoms_their_cells():
    config = settings(0.05, temperature_k=1e-6)
    config = config.model_copy(
        update={"dynamics": config.dynamics.model_copy(update={"friction_per_ps": 1e6})}
    )
    start = after(new_group("g", 4, 3), config, 0)
    group = after(start, config, 50)
    for first, last in zip(start.trajectories, group.trajectories, strict=True):
        assert last.time_fs == 50.0
        expected = first.cell @ last.strain.deformation(50.0)
        assert last.frame().cell.array == pytest.approx(expected)
        assert np.abs(expected - first.cell).max() > 0.02
        # An overdamped crystal hardly leaves its sites: they have moved, with the cell.
        carried = first.positions @ last.strain.deformation(50.0)
        assert last.positions == pytest.approx(carried, abs=0.01)
        assert np.abs(carried - first.positions).max() > 0.1


def test_runs_do_not_depend_on_how_they_are_divided():
    config = settings(0.05, temperature_k=300.0)
    whole = after(new_group("g", 7, 3), config, 60)
    parts = new_group("g", 7, 3)
    for n_steps in (20, 10, 30):
        parts = after(parts, config, n_steps)
    for a, b in zip(whole.trajectories, parts.trajectories, strict=True):
        assert (a.id, a.strain, a.time_fs) == (b.id, b.strain, b.time_fs)
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.velocities, b.velocities)


def test_a_checkpoint_keeps_the_strain(tmp_path):
    group = after(new_group("g", 7, 3), settings(0.05), 10)
    group.save(tmp_path / "group.npz")
    again = SlotGroup.load(tmp_path / "group.npz")
    assert [t.strain for t in again.trajectories] == [t.strain for t in group.trajectories]
    assert not any(t.strain.is_none for t in again.trajectories)


def test_candidates_have_the_cell_of_their_time():
    config = settings(0.05)
    group, found = new_group("g", 3, 3), []
    for _ in range(4):
        group, chunk = advance(group, ToyMorse(), "e", Calibration(), ToyCrystals(), config, 250)
        found += chunk.candidates
    done = [c for c in found if c.reason == "completed"]
    assert len(done) >= 3
    cells = [c.frame.cell.array for c in done]
    assert all(np.abs(cell - np.diag(np.diag(cell))).max() > 1e-3 for cell in cells)


def test_without_strain_the_cell_stays():
    group = after(new_group("g", 3, 3), settings(0.0), 20)
    for trajectory in group.trajectories:
        assert trajectory.strain is NO_STRAIN
        assert trajectory.cell_at(1234.0) is trajectory.cell


def test_cells_open_on_a_side_are_not_strained():
    class Slabs(ToyCrystals):
        def build(self, seed):
            cell = super().build(seed)
            cell.pbc = (True, True, False)
            return cell

    group, _ = advance(new_group("g", 3, 2), ToyMorse(), "e", Calibration(), Slabs(), settings(0.05), 0)
    assert all(t.strain.is_none for t in group.trajectories)


def test_a_period_of_zero_is_refused():
    with pytest.raises(ValidationError, match="strain_period_ps must be above 0"):
        ScheduleConfig(max_strain=0.1, strain_period_ps=(0.0, 1.0))
