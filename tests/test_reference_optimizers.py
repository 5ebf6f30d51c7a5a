"""The reference's optimizer steps, against the formulas worked in plain floats."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn.reference import (
    adadelta,
    adagrad,
    adam,
    adamax,
    ftrl,
    lion,
    nadam,
    rmsprop,
    sgd,
)

GRADIENTS = [0.5, -1.25, 3.0]
LEARNING_RATE = 0.1
START = 2.0
DTYPES = [np.float32, np.float64]


def number(kernel, step):
    """Return what the kernel wants to know about the number of the step."""
    momenta = [0.9 * (1 - 0.5 * 0.96**i) for i in range(1, step + 1)]
    arguments = {"step": step, "momentum_product": math.prod(momenta)}
    names = inspect.signature(kernel).parameters
    return {name: value for name, value in arguments.items() if name in names}


def run(kernel, slots, dtype=np.float64, **options):
    """Return the parameter after the steps, starting from slots filled with these values."""
    parameter = np.full((1, 2), START, dtype)
    arrays = [np.full((1, 2), value, dtype) for value in slots]
    for step, gradient in enumerate(GRADIENTS, start=1):
        numbered = number(kernel, step)
        gradients = np.full((1, 2), gradient, dtype)
        result = kernel(
            parameter, gradients, *arrays, learning_rate=LEARNING_RATE, **options, **numbered
        )
        assert result is None
        assert_array_equal(gradients, dtype(gradient))
    assert {array.dtype for array in [parameter, *arrays]} == {np.dtype(dtype)}
    return parameter


def test_sgd():
    assert_allclose(run(sgd, []), START - LEARNING_RATE * sum(GRADIENTS), rtol=1e-14)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(nesterov):
    w, velocity = START, 0.0
    for g in GRADIENTS:
        velocity = 0.9 * velocity - LEARNING_RATE * g
        w += 0.9 * velocity - LEARNING_RATE * g if nesterov else velocity
    assert_allclose(run(sgd, [0.0], momentum=0.9, nesterov=nesterov), w, rtol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_rmsprop(momentum):
    w, mean_square, velocity = START, 0.0, 0.0
    for g in GRADIENTS:
        mean_square = 0.7 * mean_square + 0.3 * g * g
        increment = LEARNING_RATE * g / math.sqrt(mean_square + 1e-3)
        velocity = momentum * velocity + increment
        w -= velocity
    options = {"rho": 0.7, "epsilon": 1e-3, "momentum": momentum}
    assert_allclose(run(rmsprop, [0.0, 0.0], **options), w, rtol=1e-14)
    if momentum == 0:
        assert_allclose(run(rmsprop, [0.0], **options), w, rtol=1e-14)


def test_adagrad():
    w, accumulator = START, 0.1
    for g in GRADIENTS:
        accumulator += g * g
        w -= LEARNING_RATE * g / math.sqrt(accumulator + 1e-3)
    assert_allclose(run(adagrad, [0.1], epsilon=1e-3), w, rtol=1e-14)


def test_adam():
    w, m, v = START, 0.0, 0.0
    for step, g in enumerate(GRADIENTS, start=1):
        m = 0.8 * m + 0.2 * g
        v = 0.9 * v + 0.1 * g * g
        rate = LEARNING_RATE * math.sqrt(1 - 0.9**step) / (1 - 0.8**step)
        w -= rate * m / (math.sqrt(v) + 1e-3)
    got = run(adam, [0.0, 0.0], beta_1=0.8, beta_2=0.9, epsilon=1e-3)
    assert_allclose(got, w, rtol=1e-13)


def test_first_step_of_adam_has_the_length_of_the_learning_rate():
    w, gradient = np.zeros(3), np.array([1e-3, -5.0, 1e4])
    adam(w, gradient, np.zeros(3), np.zeros(3), learning_rate=0.01, epsilon=0.0, step=1)
    assert_allclose(w, -0.01 * np.sign(gradient), rtol=1e-12)


def test_centred_rmsprop():
    w, mean_square, velocity, mean = START, 0.0, 0.0, 0.0
    for g in GRADIENTS:
        mean_square = 0.7 * mean_square + 0.3 * g * g
        mean = 0.7 * mean + 0.3 * g
        increment = LEARNING_RATE * g / math.sqrt(mean_square - mean * mean + 1e-3)
        velocity = 0.8 * velocity + increment
        w -= velocity
    options = {"rho": 0.7, "epsilon": 1e-3, "momentum": 0.8}
    assert_allclose(run(rmsprop, [0.0, 0.0, 0.0], **options), w, rtol=1e-13)


def test_amsgrad_divides_by_the_largest():
    w, m, v, largest = START, 0.0, 0.0, 0.0
    for step, g in enumerate([*GRADIENTS, 0.0], start=1):
        m += 0.2 * (g - m)
        v += 0.5 * (g * g - v)
        largest = max(largest, v)
        rate = LEARNING_RATE * math.sqrt(1 - 0.5**step) / (1 - 0.8**step)
        w -= rate * m / (math.sqrt(largest) + 1e-3)
    assert v < largest
    got, arrays = np.array([START]), np.zeros((3, 1))
    for step, g in enumerate([*GRADIENTS, 0.0], start=1):
        options = {"beta_1": 0.8, "beta_2": 0.5, "epsilon": 1e-3, "step": step}
        adam(got, np.array([g]), *arrays, learning_rate=LEARNING_RATE, **options)
    assert_allclose(got, w, rtol=1e-13)


def test_adadelta():
    w, squared_gradients, squared_steps = START, 0.0, 0.0
    for g in GRADIENTS:
        squared_gradients = 0.7 * squared_gradients + 0.3 * g * g
        step = math.sqrt(squared_steps + 1e-3) / math.sqrt(squared_gradients + 1e-3) * g
        squared_steps = 0.7 * squared_steps + 0.3 * step * step
        w -= LEARNING_RATE * step
    assert_allclose(run(adadelta, [0.0, 0.0], rho=0.7, epsilon=1e-3), w, rtol=1e-13)


def test_adamax():
    w, m, u = START, 0.0, 0.0
    for step, g in enumerate(GRADIENTS, start=1):
        m = 0.8 * m + 0.2 * g
        u = max(0.3 * u, abs(g))
        w -= LEARNING_RATE / (1 - 0.8**step) * m / (u + 1e-3)
    got = run(adamax, [0.0, 0.0], beta_1=0.8, beta_2=0.3, epsilon=1e-3)
    assert_allclose(got, w, rtol=1e-13)


def test_nadam_without_momentum_is_adam_without_it():
    options = {"beta_1": 0.0, "beta_2": 0.9}
    plain, nesterov = np.array([START]), np.array([START])
    slots, others = np.zeros((2, 1)), np.zeros((2, 1))
    for step, g in enumerate(GRADIENTS, start=1):
        gradient = np.array([g])
        given = {"learning_rate": 0.1, "step": step, "epsilon": 0.0, **options}
        adam(plain, gradient, *slots, **given)
        nadam(nesterov, gradient, *others, momentum_product=0.0, **given)
    assert_allclose(nesterov, plain, rtol=1e-13)


def test_ftrl_is_at_the_minimum_of_what_it_follows():
    """Of z w + l1 |w| + l2 w**2 + w**2 (sqrt(n) + beta) / (2 lr), by the paper."""
    w, accumulator, linear = np.linspace(-1, 1, 5), np.full(5, 0.1), np.zeros(5)
    for g in GRADIENTS:
        ftrl(
            *(w, np.full(5, g), accumulator, linear),
            learning_rate=0.2,
            l1_regularization_strength=0.3,
            l2_regularization_strength=0.4,
            beta=0.5,
        )

    def followed(point):
        curvature = (np.sqrt(accumulator) + 0.5) / 0.2 / 2 + 0.4
        return linear * point + 0.3 * np.abs(point) + curvature * point**2

    for move in (-1e-3, 1e-3):
        assert (followed(w) < followed(w + move)).all()


def test_ftrl_makes_small_weights_exactly_zero():
    w, accumulator, linear = np.full(2, 0.1), np.full(2, 0.1), np.zeros(2)
    options = {"learning_rate": 0.1, "l1_regularization_strength": 2.0}
    ftrl(w, np.array([1.0, -9.0]), accumulator, linear, **options)
    assert w[0] == 0.0
    assert w[1] != 0.0


def test_ftrl_at_a_learning_rate_of_zero_does_nothing():
    arrays = [np.ones(2) for _ in range(4)]
    ftrl(*arrays, learning_rate=0.0, weight_decay=0.5)
    for array in arrays:
        assert_array_equal(array, [1.0, 1.0])


def test_lion():
    w, m = START, 0.0
    for g in GRADIENTS:
        w -= LEARNING_RATE * np.sign(0.7 * m + 0.3 * g)
        m = 0.4 * m + 0.6 * g
    assert_allclose(run(lion, [0.0], beta_1=0.7, beta_2=0.4), w, rtol=1e-13)


KERNELS = [
    (sgd, []),
    (sgd, [0.0]),
    (rmsprop, [0.0]),
    (rmsprop, [0.0, 0.0, 0.0]),
    (adagrad, [0.1]),
    (adam, [0.0, 0.0]),
    (adam, [0.0, 0.0, 0.0]),
    (adadelta, [0.0, 0.0]),
    (adamax, [0.0, 0.0]),
    (nadam, [0.0, 0.0]),
    (lion, [0.0]),
]
# Ftrl makes the weights anew, and so has no share of those before that a decay alone would leave.
kernels = pytest.mark.parametrize(("kernel", "slots"), [*KERNELS, (ftrl, [0.1, 0.0])])
decaying = pytest.mark.parametrize(("kernel", "slots"), KERNELS)


@kernels
def test_float32_follows_float64(kernel, slots):
    assert_allclose(run(kernel, slots, np.float32), run(kernel, slots), rtol=1e-5)


@decaying
def test_weight_decay_alone_shrinks(kernel, slots):
    parameter = np.full(3, START)
    arrays = [np.full(3, value) for value in slots]
    numbered = number(kernel, 1)
    kernel(parameter, np.zeros(3), *arrays, learning_rate=0.5, weight_decay=0.25, **numbered)
    assert_array_equal(parameter, START * (1 - 0.5 * 0.25))


@kernels
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,)])
def test_any_shape(kernel, slots, shape):
    parameter = np.ones(shape)
    arrays = [np.full(shape, value) for value in slots]
    numbered = number(kernel, 1)
    kernel(parameter, np.ones(shape), *arrays, learning_rate=0.5, **numbered)
    assert (parameter < 1).all()


@kernels
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e38])
def test_extreme_gradients_are_silent(kernel, slots, value):
    parameter = np.ones(2, np.float32)
    arrays = [np.full(2, slot, np.float32) for slot in slots]
    numbered = number(kernel, 1)
    gradient = np.array([value, 1.0], np.float32)
    with np.errstate(all="raise"):
        kernel(parameter, gradient, *arrays, learning_rate=0.5, **numbered)
    assert np.isfinite(parameter[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_numbers_do_not_widen(dtype):
    plain, numbers = np.full(2, 0.3, dtype), np.full(2, 0.3, dtype)
    gradient = np.full(2, 0.7, dtype)
    sgd(plain, gradient, learning_rate=0.1)
    sgd(numbers, gradient, learning_rate=np.float64(0.1))
    assert_array_equal(plain, numbers)
