"""The reference's activations: hand-worked values, limits, accuracy and gradients."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numeric import RTOL, numerical_gradient
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import _checks
from fastnn.reference import activation_backward, activation_forward, log_softmax, softmax
from fastnn.reference import activations as module

SMOOTH_POINTS = np.array([-4.3, -1.7, -0.6, -0.013, 0.02, 0.4, 1.1, 2.6, 5.2])
ELEMENTWISE = [n for n in _checks.ACTIVATIONS if n not in _checks.ROW_ACTIVATIONS]
WITH_GRADIENT = [n for n in _checks.ACTIVATIONS if n != "step"]
SHAPES = [(0,), (2,), (0, 4), (3, 0), (1, 2), (2, 3, 4)]
SCALARS = [(name, ()) for name in ELEMENTWISE]
DTYPES = [np.float32, np.float64]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


SCALAR_FORMULAS = {
    "linear": lambda x: x,
    "step": lambda x: 1.0 if x >= 0 else 0.0,
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_sigmoid": lambda x: min(max(x + 3, 0.0), 6.0) / 6,
    "exponential": math.exp,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "hard_tanh": lambda x: min(max(x, -1.0), 1.0),
    "hard_silu": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
    "celu": lambda x: x if x > 0 else math.exp(x) - 1,
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "log_sigmoid": lambda x: math.log(sigmoid(x)),
    "squareplus": lambda x: (x + math.sqrt(x * x + 4)) / 2,
    "tanh_shrink": lambda x: x - math.tanh(x),
    "soft_shrink": lambda x: math.copysign(max(abs(x) - 0.5, 0.0), x),
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "threshold": lambda x: x if x > 0 else 0.0,
    "sparse_plus": lambda x: x if x >= 1 else max(x + 1, 0.0) ** 2 / 4,
    "sparse_sigmoid": lambda x: min(max(x + 1, 0.0), 2.0) / 2,
}

LIMITS = {
    "linear": (-np.inf, np.inf),
    "step": (0, 1),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "selu": (-1.0507009873554805 * 1.6732632423543772, np.inf),
    "silu": (0, np.inf),
    "gelu": (0, np.inf),
    "softplus": (0, np.inf),
    "softsign": (-1, 1),
    "hard_sigmoid": (0, 1),
    "exponential": (0, np.inf),
    "relu6": (0, 6),
    "hard_tanh": (-1, 1),
    "hard_silu": (0, np.inf),
    "celu": (-1, np.inf),
    "mish": (0, np.inf),
    "log_sigmoid": (-np.inf, 0),
    "squareplus": (0, np.inf),
    "tanh_shrink": (-np.inf, np.inf),
    "soft_shrink": (-np.inf, np.inf),
    "hard_shrink": (-np.inf, np.inf),
    "threshold": (0, np.inf),
    "sparse_plus": (0, np.inf),
    "sparse_sigmoid": (0, 1),
}

DERIVATIVE_LIMITS = {
    "linear": (1, 1),
    "sigmoid": (0, 0),
    "tanh": (0, 0),
    "relu": (0, 1),
    "leaky_relu": (0.01, 1),
    "elu": (0, 1),
    "selu": (0, 1.0507009873554805),
    "silu": (0, 1),
    "gelu": (0, 1),
    "softplus": (0, 1),
    "softsign": (0, 0),
    "hard_sigmoid": (0, 0),
    "exponential": (0, np.inf),
    "relu6": (0, 0),
    "hard_tanh": (0, 0),
    "hard_silu": (0, 1),
    "celu": (0, 1),
    "mish": (0, 1),
    "log_sigmoid": (1, 0),
    "squareplus": (0, 1),
    "tanh_shrink": (1, 1),
    "soft_shrink": (1, 1),
    "hard_shrink": (1, 1),
    "threshold": (0, 1),
    "sparse_plus": (0, 1),
    "sparse_sigmoid": (0, 0),
}


def derivative(name, x):
    return activation_backward(np.ones_like(x), x, activation_forward(x, name), name)


def test_tables_name_every_activation():
    assert set(module.FORWARD) == set(_checks.ACTIVATIONS)
    assert set(module.DERIVATIVE) | set(module.BACKWARD) == set(WITH_GRADIENT)
    assert set(module.BACKWARD) == set(_checks.ROW_ACTIVATIONS)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values_follow_the_formula(name):
    x = np.array([*SMOOTH_POINTS, 0.0, 3.0, -3.0])
    assert_allclose(activation_forward(x, name), [SCALAR_FORMULAS[name](v) for v in x], rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_limits_and_nan(name, dtype):
    x = np.array([-np.inf, np.inf, np.nan], dtype)
    y = activation_forward(x, name)
    assert_allclose(y[:2], LIMITS[name], rtol=1e-6)
    if name == "step":
        assert y[2] == 0
    else:
        assert np.isnan(y[2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(DERIVATIVE_LIMITS))
def test_limits_of_the_derivative(name, dtype):
    assert_allclose(
        derivative(name, np.array([-np.inf, np.inf], dtype)), DERIVATIVE_LIMITS[name], rtol=1e-6
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_extreme_finite_input_is_silent(name, dtype):
    info = np.finfo(dtype)
    x = np.array([[info.min, info.max, -info.tiny, info.tiny, -800.0, 800.0, 0.0, 1.0]], dtype)
    with np.errstate(all="raise"):
        y = activation_forward(x, name)
        grad = activation_backward(np.ones_like(y), x, y, name)
    assert not np.isnan(y).any()
    assert not np.isnan(grad).any()


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_gradient(name):
    rng = np.random.default_rng(0)
    x = rng.permutation(np.concatenate([SMOOTH_POINTS, SMOOTH_POINTS + 0.11, [2.2, -2.2]]))
    x = x.reshape(2, 10)
    y = activation_forward(x, name)
    grad = rng.normal(size=y.shape)
    expected = numerical_gradient(lambda v: np.sum(grad * activation_forward(v, name)), x)
    got = activation_backward(grad, x, y, name)
    assert_allclose(got, expected, rtol=RTOL, atol=1e-10)


OTHER_OPTIONS = [
    ("relu", {"negative_slope": 0.3, "max_value": 2.0, "threshold": 0.5}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {"alpha": 0.3}),
    ("celu", {"alpha": 0.3}),
    ("squareplus", {"b": 0.3}),
    ("soft_shrink", {"threshold": 0.3}),
    ("hard_shrink", {"threshold": 0.3}),
    ("threshold", {"threshold": 0.3, "default_value": -1.0}),
]


def test_other_options_name_every_activation_with_options():
    assert {name for name, _ in OTHER_OPTIONS} == set(_checks.ACTIVATION_OPTIONS)


@pytest.mark.parametrize(("name", "options"), OTHER_OPTIONS)
def test_gradient_with_options(name, options):
    x = SMOOTH_POINTS
    expected = numerical_gradient(lambda v: np.sum(activation_forward(v, name, options=options)), x)
    y = activation_forward(x, name, options=options)
    got = activation_backward(np.ones_like(x), x, y, name, options=options)
    assert_allclose(got, expected, rtol=RTOL)


@pytest.mark.parametrize("name", sorted(_checks.ACTIVATION_OPTIONS))
def test_default_options(name):
    options = {option: default for option, (default, _) in _checks.ACTIVATION_OPTIONS[name].items()}
    assert_array_equal(
        activation_forward(SMOOTH_POINTS, name),
        activation_forward(SMOOTH_POINTS, name, options=options),
    )


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_zero_gradient_gives_zero(name):
    x = SMOOTH_POINTS[:8].reshape(2, 4)
    y = activation_forward(x, name)
    got = activation_backward(np.zeros_like(y), x, y, name)
    assert_array_equal(got, 0)


def test_derivatives_at_kinks():
    zero = np.zeros(1)
    assert derivative("relu", zero) == 0
    assert derivative("leaky_relu", zero) == 0.01
    assert derivative("elu", zero) == 1
    assert_array_equal(derivative("hard_sigmoid", np.array([-3.0, 3.0])), 0)
    assert_array_equal(derivative("hard_silu", np.array([-3.0, 3.0])), [0, 1])
    assert_array_equal(derivative("relu6", np.array([0.0, 6.0])), 0)
    assert_array_equal(derivative("hard_tanh", np.array([-1.0, 1.0])), 0)
    assert_array_equal(derivative("sparse_sigmoid", np.array([-1.0, 1.0])), 0)
    for name in ("soft_shrink", "hard_shrink"):
        assert_array_equal(derivative(name, np.array([-0.5, 0.0, 0.5])), 0)
    assert derivative("threshold", zero) == 0
    options = {"negative_slope": 0.25, "max_value": 2.0, "threshold": 1.0}
    x = np.array([1.0, 2.0])
    y = activation_forward(x, "relu", options=options)
    got = activation_backward(np.ones(2), x, y, "relu", options=options)
    assert_array_equal(got, [0.25, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "shape"), [*product(_checks.ACTIVATIONS, SHAPES), *SCALARS])
def test_any_shape_keeps_shape_and_dtype(name, shape, dtype):
    x = np.full(shape, 0.5, dtype)
    y = activation_forward(x, name)
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == (_checks.activation_shape(name, shape), dtype)
    if name != "step":
        grad = activation_backward(y, x, y, name)
        assert isinstance(grad, np.ndarray)
        assert (grad.shape, grad.dtype) == (shape, dtype)


@pytest.mark.parametrize("name", _checks.ACTIVATIONS)
def test_result_shares_no_memory_with_the_input(name):
    x = np.ones((2, 2))
    assert not np.shares_memory(activation_forward(x, name), x)


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_out_may_be_an_input(name):
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    y = activation_forward(x, name)
    grad = activation_backward(y, x, y, name)
    inplace = x.copy()
    if y.shape == x.shape:
        assert activation_forward(inplace, name, out=inplace) is inplace
        assert_array_equal(inplace, y)
    inplace = x.copy()
    activation_backward(y, inplace, y, name, out=inplace)
    assert_array_equal(inplace, grad)


def test_out_may_overlap_with_the_input():
    memory = np.linspace(-1, 1, 7)
    expected = activation_forward(memory[:-1], "tanh")
    activation_forward(memory[:-1], "tanh", out=memory[1:])
    assert_array_equal(memory[1:], expected)


@pytest.mark.parametrize("name", _checks.ACTIVATIONS)
def test_any_strides_and_read_only(name):
    x = np.linspace(-2, 2, 32).reshape(4, 8)
    view = np.asfortranarray(x)[::-1, ::2]
    view.flags.writeable = False
    assert_array_equal(activation_forward(view, name), activation_forward(view.copy(), name))


def test_gelu_is_precise_in_the_lower_tail():
    """-gelu(x) / phi(x) is 1 - 1/x^2 + 3/x^4 - 15/x^6 ..., here to seven terms after the 1."""
    x = np.array([-22.0, -26.0, -30.0, -37.0])
    factors = np.cumprod([[-(2 * k + 1) / v**2 for v in x] for k in range(7)], axis=0)
    density = np.array([math.exp(-v * v / 2) for v in x]) / math.sqrt(2 * math.pi)
    assert_allclose(activation_forward(x, "gelu"), -density * (1 + factors.sum(axis=0)), rtol=5e-15)


def test_normal_distribution_against_erfc():
    x = np.linspace(-8, 8, 4001)
    expected = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    error = np.abs(module._normal_distribution(x) / expected - 1)
    # The rounding of x / sqrt(2) alone moves erfc by up to x^2 eps.
    assert (error <= (5 + x * x) * np.finfo(float).eps).all()


def test_float32_gelu_is_rounded_once():
    x = np.linspace(-12, 5, 1001, dtype=np.float32)
    expected = activation_forward(x.astype(np.float64), "gelu").astype(np.float32)
    assert_array_equal(activation_forward(x, "gelu"), expected)


def test_softmax_by_hand():
    x = np.log(np.array([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]]))
    assert_allclose(softmax(x), [[1 / 8, 2 / 8, 5 / 8], [1 / 4, 1 / 4, 1 / 2]], rtol=1e-14)
    assert_allclose(np.exp(log_softmax(x)), softmax(x), rtol=1e-14)


def test_softmax_does_not_feel_a_shift():
    x = np.array([[0.0, 1.0, -2.0]])
    assert_allclose(softmax(x + 4096), softmax(x), rtol=1e-14)
    assert_allclose(log_softmax(x - 4096), log_softmax(x), rtol=1e-12)


def test_softmax_of_infinities():
    inf = np.inf
    x = np.array([[0.0, -inf], [0.0, inf], [-inf, -inf], [0.0, np.nan]])
    assert_array_equal(softmax(x), [[1, 0], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2])
    assert_array_equal(log_softmax(x), [[0, -inf], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2])


def test_sparsemax_of_infinities():
    inf = np.inf
    x = np.array([[0.0, -inf], [0.0, inf], [-inf, -inf], [0.0, np.nan]])
    assert_array_equal(
        activation_forward(x, "sparsemax"), [[1, 0], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2]
    )


def test_glu_needs_an_even_width():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="must be even, got 3; make it 4"):
        activation_forward(x, "glu")
    with pytest.raises(ValueError, match="must be even"):
        activation_backward(x, x, x, "glu")


def test_step_gradient_points_to_perceptron():
    x = np.ones(2)
    with pytest.raises(ValueError, match=r"fastnn\.Perceptron"):
        activation_backward(x, x, x, "step")
