"""Activation functions and their gradients.

Each activation is one function of the pre-activation `x`. Each elementwise one has a derivative
beside it, a function of `x` and `y` = activation(x), in whichever of the two the formula is
simplest; the two softmax kinds, whose outputs depend on the whole row, have a backward function.
The functions hold their limits at -inf and +inf and hand on NaN, except that `step` of NaN is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fastnn._checks import (
    SOFTMAX_KINDS,
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
    relu            max(x, 0)
    leaky_relu      x where x > 0, else negative_slope * x
    elu             x where x > 0, else alpha * (exp(x) - 1) [1]_
    selu            1.0507... * elu(x, alpha=1.6732...) [2]_
    silu            x * sigmoid(x), also called swish [3]_
    gelu            x * Phi(x), Phi the distribution function of the normal law; exact [4]_
    softplus        log(1 + exp(x))
    softsign        x / (1 + abs(x))
    hard_sigmoid    min(max(x + 3, 0), 6) / 6
    exponential     exp(x)
    softmax         exp(x) / sum(exp(x)), the sum over the last axis
    log_softmax     x - log(sum(exp(x))), the sum over the last axis
    ==============  =====================================================================

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape
        One axis or more for the softmax kinds.
    activation : str
        A name of the table.
    options : mapping of str to float, optional
        Those of leaky_relu (``negative_slope``, default 0.01) and elu (``alpha``, default 1).
    out : ndarray of the shape and dtype of `x`, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    ndarray of the shape and dtype of `x`
        `out`, if it was given.

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
    for the softmax kinds. At kinks the derivative is that of the left branch (relu 0,
    leaky_relu its slope, elu alpha); hard_sigmoid has 1/6 strictly inside (-3, 3) and 0 elsewhere.

    Parameters
    ----------
    grad, x, y : ndarray of float32 or float64, any shape, all the same
        Gradient with respect to `y`, pre-activation, and ``y = activation(x)``.
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
    if activation in SOFTMAX_KINDS:
        return deliver(BACKWARD[activation](grad, y), x.dtype, out)
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


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _relu_derivative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x > 0


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


# Activations of a row


def _softmax(x: np.ndarray) -> np.ndarray:
    """The greatest entry of a row is taken off first, so that exp cannot overflow."""
    e = np.exp(x - _row_maximum(x))
    return e / np.sum(e, axis=-1, keepdims=True)


def _softmax_backward(grad: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Jacobian of a row is diag(y) - y y^T."""
    return y * (grad - np.sum(grad * y, axis=-1, keepdims=True))


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - _row_maximum(x)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _log_softmax_backward(grad: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Jacobian of a row is I - 1 softmax^T, transposed when it meets the gradient."""
    return grad - np.exp(y) * np.sum(grad, axis=-1, keepdims=True)


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
    "softmax": _softmax,
    "log_softmax": _log_softmax,
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
}

BACKWARD: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "softmax": _softmax_backward,
    "log_softmax": _log_softmax_backward,
}
