"""Activation functions and their gradients.

Each activation is one function of the pre-activation `x`. Each elementwise one has a derivative
beside it, a function of `x` and `y` = activation(x), in whichever of the two the formula is
simplest; those whose outputs depend on the whole row have a backward function.
The functions hold their limits at -inf and +inf and hand on NaN, except that `step` of NaN is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from fastnn._checks import (
    ROW_ACTIVATIONS,
    check_activation_backward,
    check_activation_forward,
)
from fastnn.reference._arrays import deliver, ieee_arithmetic

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
"""The fixed point of Klambauer et al. (2017), "Self-Normalizing Neural Networks", equation 14."""


@ieee_arithmetic()
def activation_forward(
    x: np.ndarray,
    activation: str,
    *,
    options: Mapping[str, float] | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``activation(x)``.

    ==============  =====================================================================
    linear          x
    step            1 where x >= 0, else 0
    sigmoid         1 / (1 + exp(-x))
    tanh            tanh(x)
    relu            x where x > threshold, but at most max_value, else
                    negative_slope * (x - threshold): by default max(x, 0)
    leaky_relu      x where x > 0, else negative_slope * x
    elu             x where x > 0, else alpha * (exp(x) - 1) [1]_
    selu            1.0507... * elu(x, alpha=1.6732...) [2]_
    silu            x * sigmoid(x), also called swish [3]_
    gelu            x * Phi(x), Phi the distribution function of the normal law; exact [4]_
    softplus        log(1 + exp(x))
    softsign        x / (1 + abs(x))
    hard_sigmoid    min(max(x + 3, 0), 6) / 6
    exponential     exp(x)
    relu6           min(max(x, 0), 6)
    hard_tanh       min(max(x, -1), 1)
    hard_silu       x * hard_sigmoid(x), also called hard_swish [5]_
    celu            x where x > 0, else alpha * (exp(x / alpha) - 1) [6]_
    mish            x * tanh(softplus(x)) [7]_
    log_sigmoid     log(sigmoid(x))
    squareplus      (x + sqrt(x^2 + b)) / 2 [8]_
    tanh_shrink     x - tanh(x)
    soft_shrink     x - threshold where x > threshold, x + threshold where x < -threshold,
                    else 0
    hard_shrink     x where abs(x) > threshold, else 0
    threshold       x where x > threshold, else default_value
    sparse_plus     x where x >= 1, 0 where x <= -1, else (x + 1)^2 / 4
    sparse_sigmoid  min(max(x + 1, 0), 2) / 2
    softmax         exp(x) / sum(exp(x)), the sum over the last axis
    log_softmax     x - log(sum(exp(x))), the sum over the last axis
    sparsemax       max(x - t, 0), t such that the sum over the last axis is 1 [9]_
    glu             a * sigmoid(b), a and b the two halves of the last axis [10]_
    ==============  =====================================================================

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape
        One axis or more for the last four.
    activation : str
        A name of the table.
    options : mapping of str to float, optional
        The numbers that the table names, by their names. Defaults: ``negative_slope`` 0 for relu
        and 0.01 for leaky_relu, ``max_value`` inf, ``threshold`` 0.5 for the shrinking ones and
        else 0, ``alpha`` 1, ``b`` 4, ``default_value`` 0.
    out : ndarray of the shape and dtype of the result, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    ndarray of the shape and dtype of `x`
        `out`, if it was given. The result of glu has half as many columns.

    Raises
    ------
    TypeError
        If `x` is not a float array or `out` has another dtype.
    ValueError
        If the name is unknown, the activation does not take an option or not that value, or
        `out` has another shape or is read-only.

    References
    ----------
    .. [1] Clevert, Unterthiner, Hochreiter (2016), "Fast and Accurate Deep Network Learning by
       Exponential Linear Units".
    .. [2] Klambauer, Unterthiner, Mayr, Hochreiter (2017), "Self-Normalizing Neural Networks".
    .. [3] Elfwing, Uchibe, Doya (2018), "Sigmoid-weighted linear units for neural network
       function approximation in reinforcement learning".
    .. [4] Hendrycks, Gimpel (2016), "Gaussian Error Linear Units".
    .. [5] Howard et al. (2019), "Searching for MobileNetV3".
    .. [6] Barron (2017), "Continuously Differentiable Exponential Linear Units".
    .. [7] Misra (2019), "Mish: A Self Regularized Non-Monotonic Activation Function".
    .. [8] Barron (2021), "Squareplus: A Softplus-Like Algebraic Rectifier".
    .. [9] Martins, Astudillo (2016), "From Softmax to Sparsemax: A Sparse Model of Attention and
       Multi-Label Classification".
    .. [10] Dauphin, Fan, Auli, Grangier (2017), "Language Modeling with Gated Convolutional
       Networks".

    Examples
    --------
    >>> x = np.array([-2.0, 0.0, 3.0])
    >>> activation_forward(x, "leaky_relu", options={"negative_slope": 0.5})
    array([-1.,  0.,  3.])
    """
    numbers = check_activation_forward(x, activation, options, out)
    return deliver(FORWARD[activation](x, **numbers), x.dtype, out)


@ieee_arithmetic()
def activation_backward(
    grad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    activation: str,
    *,
    options: Mapping[str, float] | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient with respect to `x`, given `grad` with respect to ``activation(x)``.

    ``grad * activation'(x)`` for the elementwise ones, the product with the Jacobian of each row
    for the others. At kinks the derivative is that of the left branch (relu and leaky_relu their
    slope, elu alpha). hard_sigmoid, hard_tanh, relu6 and sparse_sigmoid have their slope strictly
    between their two kinks and 0 elsewhere, and relu has 0 at its max_value, too; hard_silu has 0
    at -3 and 1 at 3; the shrinking ones have 0 at either threshold.

    Parameters
    ----------
    grad, x, y : ndarray of float32 or float64, any shape
        Gradient with respect to `y`, pre-activation, and ``y = activation(x)``; all of the same
        shape, but for glu.
    activation : str
        As for `activation_forward`.
    options : mapping of str to float, optional
    out : ndarray of the shape and dtype of `x`, optional
        Where to write the result; may be one of the inputs.

    Returns
    -------
    ndarray of the shape and dtype of `x`
        `out`, if it was given.

    Raises
    ------
    TypeError, ValueError
        As `activation_forward`; and for step, which has no usable gradient.

    Examples
    --------
    >>> x = np.array([-2.0, 0.0, 3.0])
    >>> activation_backward(np.ones(3), x, activation_forward(x, "relu"), "relu")
    array([0., 0., 1.])
    """
    numbers = check_activation_backward(grad, x, y, activation, options, out)
    if activation in ROW_ACTIVATIONS:
        return deliver(BACKWARD[activation](grad, x, y), x.dtype, out)
    derivative = np.asarray(DERIVATIVE[activation](x, y, **numbers), dtype=x.dtype)
    return deliver(grad * derivative, x.dtype, out)


def softmax(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``exp(x) / sum(exp(x))``, the sum over the last axis.

    A row that holds NaN or +inf, or nothing but -inf, gives NaN.

    Parameters
    ----------
    x : ndarray of float32 or float64, of one axis or more
    out : ndarray of the shape and dtype of `x`, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `activation_forward`.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, -1000.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return activation_forward(x, "softmax", out=out)


def log_softmax(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x - log(sum(exp(x)))``, the sum over the last axis.

    A row that holds NaN or +inf, or nothing but -inf, gives NaN.

    Parameters
    ----------
    x : ndarray of float32 or float64, of one axis or more
    out : ndarray of the shape and dtype of `x`, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `activation_forward`.

    Examples
    --------
    >>> log_softmax(np.array([1000.0, -1000.0]))
    array([    0., -2000.])
    """
    return activation_forward(x, "log_softmax", out=out)


# Elementwise activations, each with its derivative


def _linear(x: np.ndarray) -> np.ndarray:
    return x.copy()


def _linear_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def _step(x: np.ndarray) -> np.ndarray:
    return x >= 0


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """exp(-abs(x)) cannot overflow: 1 / (1 + exp(-x)) and exp(x) / (1 + exp(x)) are the same."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.ones_like(e)) / (1 + e)


def _sigmoid_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * (1 - y)


def _tanh_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - y * y


def _relu(x: np.ndarray, negative_slope: float, max_value: float, threshold: float) -> np.ndarray:
    """Where the slope is 0, so is the limit at -inf; clipping to 0 hands on NaN."""
    beyond = x - threshold
    below = negative_slope * beyond if negative_slope else np.clip(beyond, 0, 0)
    return np.where(x > threshold, np.minimum(x, max_value), below)


def _relu_derivative(
    x: np.ndarray, y: np.ndarray, negative_slope: float, max_value: float, threshold: float
) -> np.ndarray:
    above = x < max_value if max_value < np.inf else 1
    return np.where(x > threshold, above, negative_slope)


def _leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    return np.where(x > 0, x, negative_slope * x)


def _leaky_relu_derivative(x: np.ndarray, y: np.ndarray, negative_slope: float) -> np.ndarray:
    return np.where(x > 0, 1, negative_slope)


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(x))


def _elu_derivative(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, 1, alpha * np.exp(x))


def _selu(x: np.ndarray) -> np.ndarray:
    return SELU_SCALE * _elu(x, SELU_ALPHA)


def _selu_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return SELU_SCALE * _elu_derivative(x, y, SELU_ALPHA)


def _silu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, _lowest(x)) * _sigmoid(x)


def _silu_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _sigmoid(x) + _finite(x) * _sigmoid(x) * _sigmoid(-x)


def _gelu(x: np.ndarray) -> np.ndarray:
    """In float64 whatever the dtype of `x`: the result is rounded once."""
    wide = x.astype(np.float64)
    return np.maximum(wide, _lowest(wide)) * _normal_distribution(wide)


def _gelu_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of x * Phi(x): Phi(x) + x * phi(x), phi the density."""
    wide = x.astype(np.float64)
    density = _gaussian(wide) / np.sqrt(2 * np.pi)
    return _normal_distribution(wide) + _finite(wide) * density


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0)


def _softplus_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _sigmoid(x)


def _softsign(x: np.ndarray) -> np.ndarray:
    finite = _finite(x)
    return finite / (1 + np.abs(finite))


def _softsign_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 / np.square(1 + np.abs(x))


def _hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 3, 0, 6) / 6


def _hard_sigmoid_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, 1 / 6, 0)


def _exponential_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y


def _relu6(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 6)


def _relu6_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x > 0) & (x < 6)


def _hard_tanh(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -1, 1)


def _hard_tanh_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(x) < 1


def _hard_silu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, _lowest(x)) * _hard_sigmoid(x)


def _hard_silu_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0)


def _celu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(x / alpha))


def _celu_derivative(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, 1, np.exp(x / alpha))


def _mish(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, _lowest(x)) * np.tanh(_softplus(x))


def _mish_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    t = np.tanh(_softplus(x))
    return t + _finite(x) * _sigmoid(x) * (1 - t * t)


def _log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -_softplus(-x)


def _log_sigmoid_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _sigmoid(-x)


def _squareplus(x: np.ndarray, b: float) -> np.ndarray:
    """Below zero, x + root would cancel: it is b / (root - x). Sums of halves do not overflow."""
    half, half_root = x / 2, np.hypot(x, math.sqrt(b)) / 2
    return np.where(x < 0, b / 4 / (half_root - half), half + half_root)


def _squareplus_derivative(x: np.ndarray, y: np.ndarray, b: float) -> np.ndarray:
    finite = _finite(x)
    return (1 + finite / np.hypot(finite, math.sqrt(b))) / 2


def _tanh_shrink(x: np.ndarray) -> np.ndarray:
    return x - np.tanh(x)


def _tanh_shrink_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.square(np.tanh(x))


def _soft_shrink(x: np.ndarray, threshold: float) -> np.ndarray:
    return x - np.clip(x, -threshold, threshold)


def _hard_shrink(x: np.ndarray, threshold: float) -> np.ndarray:
    return np.where(np.abs(x) <= threshold, 0, x)


def _shrink_derivative(x: np.ndarray, y: np.ndarray, threshold: float) -> np.ndarray:
    return y != 0


def _threshold(x: np.ndarray, threshold: float, default_value: float) -> np.ndarray:
    return np.where(x <= threshold, default_value, x)


def _threshold_derivative(
    x: np.ndarray, y: np.ndarray, threshold: float, default_value: float
) -> np.ndarray:
    return x > threshold


def _sparse_plus(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 1, x, np.square(np.clip(x, -1, 1) + 1) / 4)


def _sparse_sigmoid(x: np.ndarray) -> np.ndarray:
    return (np.clip(x, -1, 1) + 1) / 2


def _sparse_plus_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _sparse_sigmoid(x)


def _sparse_sigmoid_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1, 0.5, 0)


# Activations of a row


def _softmax(x: np.ndarray) -> np.ndarray:
    """The greatest entry of a row is taken off first, so that exp cannot overflow."""
    e = np.exp(x - _row_maximum(x))
    return e / np.sum(e, axis=-1, keepdims=True)


def _softmax_backward(grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Jacobian of a row is diag(y) - y y^T."""
    return y * (grad - np.sum(grad * y, axis=-1, keepdims=True))


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - _row_maximum(x)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _log_softmax_backward(grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Jacobian of a row is I - 1 softmax^T, transposed when it meets the gradient."""
    return grad - np.exp(y) * np.sum(grad, axis=-1, keepdims=True)


def _sparsemax(x: np.ndarray) -> np.ndarray:
    """The threshold follows from the k largest entries, the most for which 1 + k x_k > their sum.

    In float64 whatever the dtype of `x`, and with the greatest entry of a row taken off first.
    """
    shifted = x.astype(np.float64) - _row_maximum(x)
    if x.shape[-1] == 0:
        return shifted
    descending = -np.sort(-shifted, axis=-1)
    sums = np.cumsum(descending, axis=-1)
    above = 1 + np.arange(1, x.shape[-1] + 1) * descending > sums
    count = np.sum(above, axis=-1, keepdims=True)
    threshold = (np.take_along_axis(sums, count - 1, axis=-1) - 1) / count
    return np.maximum(shifted - threshold, 0)


def _sparsemax_backward(grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where y > 0, the gradient less its mean there; 0 elsewhere."""
    above = y > 0
    count = np.sum(above, axis=-1, keepdims=True)
    mean = np.sum(np.where(above, grad, 0), axis=-1, keepdims=True) / count
    return np.where(above, grad - mean, 0)


def _glu(x: np.ndarray) -> np.ndarray:
    a, b = np.split(x, 2, axis=-1)
    return a * _sigmoid(b)


def _glu_backward(grad: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = np.split(x, 2, axis=-1)
    s = _sigmoid(b)
    return np.concatenate([grad * s, grad * a * s * (1 - s)], axis=-1)


def _row_maximum(x: np.ndarray) -> np.ndarray:
    """The start at -inf makes it work for rows without entries."""
    return np.max(x, axis=-1, keepdims=True, initial=-np.inf)


# Tools


def _lowest(x: np.ndarray) -> float:
    return float(np.finfo(x.dtype).min)


def _finite(x: np.ndarray) -> np.ndarray:
    """Put the largest number for infinity: times 0, or over itself, it has the right limit."""
    return np.clip(x, _lowest(x), -_lowest(x))


TAIL_SCALE = 4.0
TAIL_SERIES = (
    0.24261280114151915,
    0.18792720420989265,
    0.05554838891881276,
    0.012129438315111521,
    0.0017314801240606202,
    8.014961859953749e-05,
    -2.5136847908026697e-05,
    -4.725842254926741e-06,
    2.5258922136865774e-07,
    1.536333687349456e-07,
    -8.452550300172939e-10,
    -5.171627015435708e-09,
    -2.8206509081173767e-11,
    1.9435038070971737e-10,
    -2.485356047851177e-12,
    -7.936207374645758e-12,
    4.606201711176235e-13,
    3.2821541166777413e-13,
    -4.353840663163703e-14,
    -1.2268185079261061e-14,
    3.232846081541394e-15,
    3.0451658804315853e-16,
    -2.0130368431552333e-16,
    7.151235360654053e-18,
    1.0142661060838386e-17,
    -1.751600193203649e-18,
)
"""Chebyshev coefficients in s = 2 t - 1 of Q(u) exp(u^2 / 2) / t, for t = 4 / (4 + u), u >= 0.

Q(u) = 1 - Phi(u) is the upper tail of the normal law. The series was interpolated in 50 digits;
what it leaves out is below 1e-17 of the value. The form is that of Schonfelder (1978),
"Chebyshev expansions for the error and related functions", Mathematics of Computation 32.
"""


def _normal_distribution(x: np.ndarray) -> np.ndarray:
    """Return Phi(x) = erfc(-x / sqrt(2)) / 2, to full relative precision in the lower tail."""
    u = np.abs(x)
    t = TAIL_SCALE / (TAIL_SCALE + u)
    tail = _gaussian(u) * t * np.polynomial.chebyshev.chebval(2 * t - 1, TAIL_SERIES)
    return np.where(x < 0, tail, 1 - tail)


def _gaussian(x: np.ndarray) -> np.ndarray:
    """Return exp(-x^2 / 2).

    The rounding error of x^2 would be magnified by exp, so x is split in `high`, of which the
    square is exact, and the rest. Beyond 40 the result is 0 in any case.
    """
    x = np.clip(x, -40.0, 40.0)
    high = np.round(x * 16) / 16
    return np.exp(-high * high / 2) * np.exp(-(x - high) * (x + high) / 2)


FORWARD: dict[str, Callable[..., np.ndarray]] = {
    "linear": _linear,
    "step": _step,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "silu": _silu,
    "gelu": _gelu,
    "softplus": _softplus,
    "softsign": _softsign,
    "hard_sigmoid": _hard_sigmoid,
    "exponential": np.exp,
    "relu6": _relu6,
    "hard_tanh": _hard_tanh,
    "hard_silu": _hard_silu,
    "celu": _celu,
    "mish": _mish,
    "log_sigmoid": _log_sigmoid,
    "squareplus": _squareplus,
    "tanh_shrink": _tanh_shrink,
    "soft_shrink": _soft_shrink,
    "hard_shrink": _hard_shrink,
    "threshold": _threshold,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "sparsemax": _sparsemax,
    "glu": _glu,
}

DERIVATIVE: dict[str, Callable[..., np.ndarray]] = {
    "linear": _linear_derivative,
    "sigmoid": _sigmoid_derivative,
    "tanh": _tanh_derivative,
    "relu": _relu_derivative,
    "leaky_relu": _leaky_relu_derivative,
    "elu": _elu_derivative,
    "selu": _selu_derivative,
    "silu": _silu_derivative,
    "gelu": _gelu_derivative,
    "softplus": _softplus_derivative,
    "softsign": _softsign_derivative,
    "hard_sigmoid": _hard_sigmoid_derivative,
    "exponential": _exponential_derivative,
    "relu6": _relu6_derivative,
    "hard_tanh": _hard_tanh_derivative,
    "hard_silu": _hard_silu_derivative,
    "celu": _celu_derivative,
    "mish": _mish_derivative,
    "log_sigmoid": _log_sigmoid_derivative,
    "squareplus": _squareplus_derivative,
    "tanh_shrink": _tanh_shrink_derivative,
    "soft_shrink": _shrink_derivative,
    "hard_shrink": _shrink_derivative,
    "threshold": _threshold_derivative,
    "sparse_plus": _sparse_plus_derivative,
    "sparse_sigmoid": _sparse_sigmoid_derivative,
}

BACKWARD: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "softmax": _softmax_backward,
    "log_softmax": _log_softmax_backward,
    "sparsemax": _sparsemax_backward,
    "glu": _glu_backward,
}
