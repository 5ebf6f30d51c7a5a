"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import importlib
import math

import numpy as np
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

    def test_cosine_with_restarts(self, step):
        rate = schedules.CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.5, alpha=0.1)
        number = math.floor(math.log2(1 + step / 5))
        way = (step - 5 * (2**number - 1)) / (5 * 2**number)
        wave = 0.5**number * (1 + math.cos(math.pi * way)) / 2
        assert rate(step) == pytest.approx(0.1 * (0.9 * wave + 0.1), rel=1e-12)

    def test_cosine_with_restarts_of_the_same_length(self, step):
        rate = schedules.CosineDecayRestarts(0.1, 5, t_mul=1.0, m_mul=0.9)
        wave = 0.9 ** (step // 5) * (1 + math.cos(math.pi * (step % 5) / 5)) / 2
        assert rate(step) == pytest.approx(0.1 * wave, rel=1e-12)

    def test_piecewise_constant(self, step):
        rate = schedules.PiecewiseConstantDecay([4, 10], [3.0, 2.0, 1.0])
        assert rate(step) == (3.0 if step <= 4 else 2.0 if step <= 10 else 1.0)


OF_KERAS = [
    (
        schedules.CosineDecay(0.01, 13, 0.1, warmup_target=0.2, warmup_steps=5),
        [0.01, 0.12399999999999999, 0.1773659673353991, 0.020000000000000004, 0.020000000000000004],
    ),
    (
        schedules.CosineDecayRestarts(0.1, 7),
        [0.1, 0.06112604669781572, 0.09874639560909118, 0.08117449009293667, 0.09578125036539624],
    ),
    (
        schedules.CosineDecayRestarts(0.1, 7, 1.5, 0.8, 0.1),
        [0.1, 0.06501344202803415, 0.08040062100830109, 0.01974344787721044, 0.010668214648921079],
    ),
    (
        schedules.CosineDecayRestarts(0.1, 7, 1.0, 0.9, 0.05),
        [0.1, 0.06306974436292494, 0.08626641910282842, 0.0642432195259619, 0.0050327467409590244],
    ),
]
"""Values at steps 0, 3, 8, 29 and 500 that Keras 3.15 gives for the same arguments."""

OF_PYTORCH = [
    (
        schedules.OneCycle(0.7, 37, 0.25, "cos", three_phase=False),
        [
            0.028000000000000025,
            0.22442055563136615,
            0.6984785659845564,
            0.43339157343607976,
            2.8e-06,
        ],
    ),
    (
        schedules.OneCycle(0.7, 37, 0.25, "cos", three_phase=True),
        [
            0.028000000000000025,
            0.22442055563136615,
            0.6984785659845564,
            0.025832877931493362,
            2.8e-06,
        ],
    ),
    (
        schedules.OneCycle(0.7, 37, 0.25, "linear", three_phase=False),
        [
            0.027999999999999997,
            0.27236363636363636,
            0.6796363636363636,
            0.40360478918918913,
            2.7999999999694936e-06,
        ],
    ),
    (
        schedules.OneCycle(0.7, 37, 0.25, "linear", three_phase=True),
        [
            0.027999999999999997,
            0.27236363636363636,
            0.6796363636363636,
            0.022974861538461535,
            2.8000000000007186e-06,
        ],
    ),
]
"""Values at steps 0, 3, 8, 20 and 36 that PyTorch 2.13 gives for the same arguments."""


@pytest.mark.parametrize(("schedule", "values"), OF_KERAS, ids=repr)
def test_values_are_those_of_keras(schedule, values):
    rates = [schedule(step) for step in (0, 3, 8, 29, 500)]
    assert rates == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize(("schedule", "values"), OF_PYTORCH, ids=repr)
def test_one_cycle_has_the_values_of_pytorch(schedule, values):
    rates = [schedule(step) for step in (0, 3, 8, 20, 36)]
    assert rates == pytest.approx(values, rel=1e-9)


def test_one_cycle_by_hand():
    """Up in two steps, down in two, and to a hundredth of where it began in the last four."""
    rate = schedules.OneCycle(1.0, 9, 1 / 3, "linear", 10.0, 100.0, three_phase=True)
    expected = [0.1, 0.55, 1.0, 0.55, 0.1, 0.07525, 0.0505, 0.02575, 0.001, 0.001]
    assert [rate(step) for step in range(10)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_of_few_steps_ends_at_the_last(total, three_phase):
    rate = schedules.OneCycle(1.0, total, three_phase=three_phase)
    rates = [rate(step) for step in range(5)]
    assert all(0.0 < r <= 1.0 for r in rates)
    assert rates[total - 1 :] == pytest.approx([4e-6] * (6 - total), rel=1e-12)


@pytest.mark.parametrize("t_mul", [1.0, 1.1, 2.0, 3.0, 5.0])
def test_a_restart_happens_at_its_step(t_mul):
    """Also where the quotient of logarithms is rounded to just below a whole number."""
    rate = schedules.CosineDecayRestarts(0.1, 1, t_mul)
    for number in range(1, 7):
        start = sum(t_mul**i for i in range(number))
        assert rate(start + 1e-6) == pytest.approx(0.1, rel=1e-9)
        assert rate(start - 1e-6) == pytest.approx(0.0, abs=1e-9)
        if start == int(start):
            assert rate(int(start)) == 0.1


def test_a_rate_without_bounds_is_infinite_and_no_optimizer_takes_it():
    growing = schedules.ExponentialDecay(0.1, 1, 2.0)
    again = schedules.CosineDecayRestarts(0.1, 1, 1.0, m_mul=2.0)
    assert growing(5000) == again(5000) == math.inf
    with pytest.raises(ValueError, match="must be finite"):
        optimizers.SGD(growing).hyperparameters(5000, 1)


def test_a_step_may_be_a_number_of_numpy():
    for schedule in (schedules.OneCycle(1.0, 9), schedules.CosineDecayRestarts(0.1, 4)):
        assert schedule(np.int64(5)) == schedule(5)


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
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 1, t_mul=0.5), "t_mul"),
        (lambda: schedules.CosineDecayRestarts(0.1, 1, m_mul=-1), "m_mul"),
        (lambda: schedules.OneCycle(-1, 10), "max_learning_rate"),
        (lambda: schedules.OneCycle(1, 0), "total_steps"),
        (lambda: schedules.OneCycle(1, 10, 1.0), "pct_start"),
        (lambda: schedules.OneCycle(1, 10, 0.6, three_phase=True), r"\(0, 0.5\]"),
        (lambda: schedules.OneCycle(1, 10, anneal_strategy="log"), "'cos' or 'linear'"),
        (lambda: schedules.OneCycle(1, 10, div_factor=0), "div_factor"),
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


def test_the_end_of_a_cycle_is_its_last_rate_however_it_is_rounded():
    schedule = schedules.PolynomialDecay(0.1, 17 / 7, power=0.5, cycle=True)
    assert schedule(51) == schedule.end_learning_rate  # 21 cycles, rounded to just below
