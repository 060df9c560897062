import pytest
import torch

from potentials.training.config import TrainingConfig
from potentials.training.optimiser import Moments, Optimiser, cosine_rate
from potentials.training.parameters import ParameterLayout

LAYOUT = ParameterLayout(n_elements=1, widths=(5, 4, 1), celu_alpha=0.1)
TARGET = LAYOUT.initial([11])


def skewed_gradient(rows):
    """Gradient of a quadratic whose axes are not those of the weights; conditioned 1 : 400."""
    generator = torch.Generator().manual_seed(0)
    slopes = torch.empty_like(rows)
    for row, target, slope in zip(
        LAYOUT.matrices(rows), LAYOUT.matrices(TARGET), LAYOUT.matrices(slopes), strict=True
    ):
        turn = torch.linalg.qr(torch.randn(row.shape[1], row.shape[1], generator=generator)).Q
        stiffness = turn @ torch.diag(torch.logspace(0, -2.6, row.shape[1])) @ turn.T
        slope.copy_(stiffness @ (row - target))
    return slopes


def distance_after(steps, rate=0.02, n_rows=1, **settings):
    config = TrainingConfig(weight_decay=0.0, **settings)
    rows = LAYOUT.initial([3] * n_rows)
    moments = Moments.begin(rows, LAYOUT, config)
    optimiser = Optimiser(LAYOUT, config, average_steps=0.0)
    for _ in range(steps):
        optimiser.step(rows, skewed_gradient(rows), moments, torch.full((n_rows,), rate, dtype=torch.float64))
    return (rows - TARGET).norm(dim=1)


@pytest.mark.parametrize(("kind", "share"), [("adam", 0.6), ("soap", 0.2)])
def test_comes_near_the_minimum(kind, share):
    start = distance_after(0)
    assert float(distance_after(300, optimiser=kind)) < share * float(start)


def test_soap_is_not_held_up_by_skewed_axes():
    assert float(distance_after(120, optimiser="soap")) < 0.5 * float(distance_after(120, optimiser="adam"))


@pytest.mark.parametrize("kind", ["adam", "soap"])
def test_members_do_not_touch_each_other(kind):
    together = distance_after(25, n_rows=3, optimiser=kind)
    torch.testing.assert_close(together, distance_after(25, optimiser=kind).expand(3), rtol=1e-5, atol=1e-6)


def test_average_lags_behind_and_can_be_turned_off():
    config = TrainingConfig()
    rows = LAYOUT.initial([3])
    for average_steps, equal in ((0.0, True), (50.0, False)):
        moments = Moments.begin(rows, LAYOUT, config)
        moving = rows.clone()
        for _ in range(5):
            Optimiser(LAYOUT, config, average_steps).step(
                moving, torch.ones_like(rows), moments, torch.full((1,), 0.1, dtype=torch.float64)
            )
        assert torch.equal(moments.average, moving) == equal


def test_cosine_falls_from_first_to_last_rate():
    config = TrainingConfig(max_epochs=10, learning_rate=1e-2, final_learning_rate=1e-4)
    rates = [cosine_rate(config, epoch) for epoch in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-2)
    assert rates[5] == pytest.approx(5.05e-3)
    assert rates[10] == pytest.approx(1e-4)
