"""The reference's optimizer steps, against the formulas worked in plain floats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn.reference import adagrad, adam, rmsprop, sgd

GRADIENTS = [0.5, -1.25, 3.0]
LEARNING_RATE = 0.1
START = 2.0
DTYPES = [np.float32, np.float64]


def run(kernel, slots, dtype=np.float64, **options):
    """Return the parameter after the steps, starting from slots filled with these values."""
    parameter = np.full((1, 2), START, dtype)
    arrays = [np.full((1, 2), value, dtype) for value in slots]
    for step, gradient in enumerate(GRADIENTS, start=1):
        numbered = {"step": step} if kernel is adam else {}
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


KERNELS = [(sgd, []), (sgd, [0.0]), (rmsprop, [0.0]), (adagrad, [0.1]), (adam, [0.0, 0.0])]
kernels = pytest.mark.parametrize(("kernel", "slots"), KERNELS)


@kernels
def test_float32_follows_float64(kernel, slots):
    assert_allclose(run(kernel, slots, np.float32), run(kernel, slots), rtol=1e-5)


@kernels
def test_weight_decay_alone_shrinks(kernel, slots):
    parameter = np.full(3, START)
    arrays = [np.full(3, value) for value in slots]
    numbered = {"step": 1} if kernel is adam else {}
    kernel(parameter, np.zeros(3), *arrays, learning_rate=0.5, weight_decay=0.25, **numbered)
    assert_array_equal(parameter, START * (1 - 0.5 * 0.25))


@kernels
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,)])
def test_any_shape(kernel, slots, shape):
    parameter = np.ones(shape)
    arrays = [np.full(shape, value) for value in slots]
    numbered = {"step": 1} if kernel is adam else {}
    kernel(parameter, np.ones(shape), *arrays, learning_rate=0.5, **numbered)
    assert (parameter < 1).all()


@kernels
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e38])
def test_extreme_gradients_are_silent(kernel, slots, value):
    parameter = np.ones(2, np.float32)
    arrays = [np.full(2, slot, np.float32) for slot in slots]
    numbered = {"step": 1} if kernel is adam else {}
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
