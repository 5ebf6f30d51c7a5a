"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import importlib
import math

import pytest

from fastnn import optimizers, schedules

STEPS = [0, 1, 4, 5, 9, 10, 11, 25, 100]


@pytest.mark.parametrize("step", STEPS)
class TestFormulas:
    def test_exponential(self, step):
        smooth = schedules.ExponentialDecay(0.1, 10, 0.5)
        stairs = schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True)
        assert smooth(step) == pytest.approx(0.1 * 0.5 ** (step / 10))
        assert stairs(step) == pytest.approx(0.1 * 0.5 ** (step // 10))

    def test_inverse_time(self, step):
        smooth = schedules.InverseTimeDecay(0.1, 10, 0.5)
        stairs = schedules.InverseTimeDecay(0.1, 10, 0.5, staircase=True)
        assert smooth(step) == pytest.approx(0.1 / (1 + 0.5 * step / 10))
        assert stairs(step) == pytest.approx(0.1 / (1 + 0.5 * (step // 10)))

    def test_polynomial(self, step):
        once = schedules.PolynomialDecay(0.1, 10, 0.01, power=2.0)
        again = schedules.PolynomialDecay(0.1, 10, 0.01, power=2.0, cycle=True)
        left = 1 - min(step, 10) / 10
        assert once(step) == pytest.approx(0.09 * left**2 + 0.01)
        way = 10 * max(1, math.ceil(step / 10))
        assert again(step) == pytest.approx(0.09 * (1 - step / way) ** 2 + 0.01)

    def test_cosine(self, step):
        rate = schedules.CosineDecay(0.1, 10, alpha=0.2)
        wave = (1 + math.cos(math.pi * min(step, 10) / 10)) / 2
        assert rate(step) == pytest.approx(0.1 * (0.8 * wave + 0.2))

    def test_cosine_with_warmup(self, step):
        rate = schedules.CosineDecay(0.02, 10, warmup_target=0.1, warmup_steps=5)
        if step < 5:
            assert rate(step) == pytest.approx(0.02 + 0.08 * step / 5)
        else:
            wave = (1 + math.cos(math.pi * min(step - 5, 10) / 10)) / 2
            assert rate(step) == pytest.approx(0.1 * wave, abs=1e-15)

    def test_piecewise_constant(self, step):
        rate = schedules.PiecewiseConstantDecay([4, 10], [3.0, 2.0, 1.0])
        assert rate(step) == (3.0 if step <= 4 else 2.0 if step <= 10 else 1.0)


def test_piecewise_constant_without_boundaries_is_constant():
    assert schedules.PiecewiseConstantDecay([], [0.5])(7) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(-0.1, 10, 0.5), "initial_learning_rate"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: schedules.InverseTimeDecay(0.1, 10, math.nan), "decay_rate"),
        (lambda: schedules.PolynomialDecay(0.1, -1), "decay_steps"),
        (lambda: schedules.CosineDecay(math.inf, 10), "initial_learning_rate"),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_target=-1), "warmup_target"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), "1 boundaries need 2 values"),
        (lambda: schedules.PiecewiseConstantDecay([2, 2], [1, 2, 3]), "increase strictly"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_base_asks_for_a_call():
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(0)


def test_module_is_found_where_keras_has_it():
    assert optimizers.schedules is schedules
    assert importlib.import_module("fastnn.optimizers.schedules") is schedules
    from fastnn.optimizers.schedules import CosineDecay

    assert CosineDecay is schedules.CosineDecay
