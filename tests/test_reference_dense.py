"""The reference's dense layer: hand-worked values, edges and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from numeric import RTOL, numerical_gradient
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import _checks
from fastnn.reference import activation_forward, dense_backward, dense_forward

WITH_GRADIENT = [n for n in _checks.ACTIVATIONS if n != "step"]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return rng.normal(size=(5, 4)), rng.normal(size=(4, 6)), rng.normal(size=6)


def test_forward_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    kernel = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    bias = np.array([10.0, 20.0, 2.0])
    assert_array_equal(dense_forward(x, kernel, bias, "relu"), [[11, 22, 0], [13, 24, 0]])
    assert_array_equal(dense_forward(x, kernel), [[1, 2, -3], [3, 4, -7]])


def test_backward_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    kernel = np.array([[1.0], [-1.0]])
    grad_x, grad_kernel, grad_bias = dense_backward(
        np.array([[5.0], [7.0]]), x, kernel, np.array([1.5]), "relu"
    )
    assert_array_equal(grad_x, [[5, -5], [7, -7]])
    assert_array_equal(grad_kernel, [[26], [38]])
    assert_array_equal(grad_bias, [12])


@pytest.mark.parametrize("activation", WITH_GRADIENT)
def test_gradients(activation, arrays):
    x, kernel, bias = arrays
    width = _checks.output_width(activation, 6)
    grad = np.random.default_rng(4).normal(size=(5, width))

    def scalar(x, kernel, bias):
        return np.sum(grad * dense_forward(x, kernel, bias, activation))

    grads = dense_backward(grad, x, kernel, bias, activation)
    expected = (
        numerical_gradient(lambda v: scalar(v, kernel, bias), x),
        numerical_gradient(lambda v: scalar(x, v, bias), kernel),
        numerical_gradient(lambda v: scalar(x, kernel, v), bias),
    )
    for got, numerical in zip(grads, expected, strict=True):
        assert_allclose(got, numerical, rtol=RTOL, atol=1e-10)


@pytest.mark.parametrize("activation", WITH_GRADIENT)
def test_given_y_changes_nothing(activation, arrays):
    x, kernel, bias = arrays
    y = dense_forward(x, kernel, bias, activation)
    for got, expected in zip(
        dense_backward(y, x, kernel, bias, activation, y=y),
        dense_backward(y, x, kernel, bias, activation),
        strict=True,
    ):
        assert_array_equal(got, expected)


def test_options_reach_the_activation(arrays):
    x, kernel, bias = arrays
    y = dense_forward(x, kernel, bias, "elu", options={"alpha": 0.3})
    assert_array_equal(y, activation_forward(x @ kernel + bias, "elu", options={"alpha": 0.3}))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0), (1, 1, 1)])
def test_sizes_of_zero_and_one(shape, dtype):
    n, inputs, units = shape
    x, kernel = np.ones((n, inputs), dtype), np.ones((inputs, units), dtype)
    bias = np.ones(units, dtype)
    y = dense_forward(x, kernel, bias, "sigmoid")
    assert (y.shape, y.dtype) == ((n, units), dtype)
    assert_allclose(y, 1 / (1 + np.exp(-(inputs + 1.0))), rtol=1e-6)
    for grad, array in zip(dense_backward(y, x, kernel, bias), (x, kernel, bias), strict=True):
        assert (grad.shape, grad.dtype) == (array.shape, dtype)


def test_without_bias_there_is_no_gradient_of_it(arrays):
    x, kernel, _ = arrays
    assert dense_backward(x @ kernel, x, kernel)[2] is None


def test_out_may_be_the_input(arrays):
    x, _, _ = arrays
    square = np.random.default_rng(5).normal(size=(4, 4))
    expected = dense_forward(x, square, np.zeros(4), "tanh")
    assert dense_forward(x, square, np.zeros(4), "tanh", out=x) is x
    assert_array_equal(x, expected)


def test_any_layout(arrays):
    x, kernel, bias = arrays
    wide = np.zeros((10, 8))
    wide[::2, ::2] = x
    strided = wide[::2, ::2]
    strided.flags.writeable = False
    assert_array_equal(strided, x)
    y = dense_forward(strided, np.asfortranarray(kernel), bias[::-1][::-1])
    assert_allclose(y, dense_forward(x, kernel, bias), rtol=1e-14)


def test_infinity_is_silent():
    x = np.array([[np.inf, -np.inf], [1.0, 2.0]])
    y = dense_forward(x, np.ones((2, 1)), activation="sigmoid")
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[1, 0])
