"""Losses and their gradients with respect to the predictions.

Targets are first brought to one form, an array of the shape of the predictions (labels become
one-hot rows). Each loss is then one function of targets `t` and predictions `p`, which gives a
value for each row, with its gradient beside it. Cross-entropies come twice: from probabilities,
clipped as in Keras, and from logits `z`, exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn._checks import check_loss, check_loss_backward
from fastnn.reference._arrays import deliver, ieee_arithmetic
from fastnn.reference.activations import activation_forward, log_softmax, softmax

CLIP = 1e-7
"""Probabilities are held in [CLIP, 1 - CLIP] before their logarithm is taken."""


@ieee_arithmetic()
def loss_forward(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    loss: str,
    *,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    delta: float = 1.0,
) -> np.ndarray:
    """Return the loss of each row.

    With targets t, predictions p and e = p - t, the mean over the columns of

    ===================  ==================================================================
    mean_squared_error   e^2
    mean_absolute_error  abs(e)
    huber                e^2 / 2 where abs(e) <= delta, else delta * abs(e) - delta^2 / 2 [1]_
    binary_crossentropy  -t * log(p) - (1 - t) * log(1 - p)
    hinge                max(0, 1 - t * p); targets above 0 count as 1, all others as -1
    ===================  ==================================================================

    and the sum over the columns of

    ===============================  ======================================================
    categorical_crossentropy         -t * log(p / sum(p))
    sparse_categorical_crossentropy  the same, with t = 1 in the column of the label, else 0
    ===============================  ======================================================

    Probabilities are clipped to [1e-7, 1 - 1e-7] before the logarithm (categorical ones after
    the division), and 0 * log(0) is 0. Logits z stand for p = sigmoid(z) or softmax(z); nothing
    is clipped then.

    Parameters
    ----------
    y_true : ndarray
        Of the shape and dtype of `y_pred`; int32 labels of shape (n,), in [0, k), for
        sparse_categorical_crossentropy.
    y_pred : ndarray of float32 or float64, shape (n, k)
    loss : str
        A name of the tables.
    from_logits : bool, default False
        Whether `y_pred` holds logits; for the cross-entropies.
    label_smoothing : float, default 0.0
        s in [0, 1]: targets t become t * (1 - s) + s / 2 (binary) or t * (1 - s) + s / k
        (categorical) [2]_.
    delta : float, default 1.0
        Where the Huber loss goes over from the square to the line; greater than 0.

    Returns
    -------
    ndarray of the dtype of `y_pred`, shape (n,)

    Raises
    ------
    TypeError
        If the dtypes are not as above.
    ValueError
        If the shapes do not agree, a label is out of range, the loss is unknown, it does not
        take an option that is set, or the option is out of range.

    References
    ----------
    .. [1] Huber (1964), "Robust estimation of a location parameter".
    .. [2] Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), "Rethinking the Inception
       architecture for computer vision".

    Examples
    --------
    >>> loss_forward(np.zeros((1, 2)), np.array([[1.0, 3.0]]), "mean_squared_error")
    array([5.])
    """
    check_loss(y_true, y_pred, loss, from_logits, label_smoothing, delta)
    targets = _targets(y_true, y_pred, loss, label_smoothing)
    if loss == "huber":
        return _huber(targets, y_pred, delta)
    values, _ = FROM_LOGITS[loss] if from_logits else FROM_PREDICTIONS[loss]
    return values(targets, y_pred)


@ieee_arithmetic()
def loss_backward(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    loss: str,
    *,
    sample_weight: np.ndarray | None = None,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    delta: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of ``sum(sample_weight * loss_forward(...))`` with respect to `y_pred`.

    It is 0 where a probability was clipped, where the absolute error is at its kink, and where
    the hinge is closed (t * p >= 1).

    Parameters
    ----------
    y_true, y_pred, loss, from_logits, label_smoothing, delta
        As for `loss_forward`.
    sample_weight : ndarray of the dtype of `y_pred`, shape (n,), optional
        Factor of each row's loss; 1 if it is not given.
    out : ndarray of the shape and dtype of `y_pred`, optional
        Where to write the result; may be `y_pred` itself.

    Returns
    -------
    ndarray of the dtype of `y_pred`, shape (n, k)
        `out`, if it was given.

    Raises
    ------
    TypeError, ValueError
        As `loss_forward`.

    Examples
    --------
    >>> loss_backward(np.zeros((1, 2)), np.array([[1.0, 3.0]]), "mean_squared_error")
    array([[1., 3.]])
    """
    check_loss(y_true, y_pred, loss, from_logits, label_smoothing, delta)
    check_loss_backward(y_pred, sample_weight, out)
    targets = _targets(y_true, y_pred, loss, label_smoothing)
    if loss == "huber":
        gradient = _huber_gradient(targets, y_pred, delta)
    else:
        _, gradient_of = FROM_LOGITS[loss] if from_logits else FROM_PREDICTIONS[loss]
        gradient = gradient_of(targets, y_pred)
    if sample_weight is not None:
        gradient = sample_weight[:, np.newaxis] * gradient
    return deliver(gradient, y_pred.dtype, out)


# Targets


def _targets(
    y_true: np.ndarray, y_pred: np.ndarray, loss: str, label_smoothing: float
) -> np.ndarray:
    """Return targets of the shape and dtype of `y_pred`, as the formula of the loss wants them."""
    columns = y_pred.shape[1]
    if loss == "sparse_categorical_crossentropy":
        return (y_true[:, np.newaxis] == np.arange(columns)).astype(y_pred.dtype)
    if loss == "hinge":
        return np.where(y_true > 0, 1, -1).astype(y_pred.dtype)
    if label_smoothing == 0.0:
        return y_true
    share = 1 / 2 if loss == "binary_crossentropy" else 1 / columns
    return y_true * (1 - float(label_smoothing)) + float(label_smoothing) * share


# Regression


def _mean_squared_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.square(p - t), axis=1)


def _mean_squared_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return 2 * (p - t) / p.shape[1]


def _mean_absolute_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.abs(p - t), axis=1)


def _mean_absolute_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.sign(p - t) / p.shape[1]


def _huber(t: np.ndarray, p: np.ndarray, delta: float) -> np.ndarray:
    size = np.abs(p - t)
    delta = float(delta)
    values = np.where(size <= delta, 0.5 * np.square(size), delta * size - 0.5 * delta**2)
    return np.mean(values, axis=1)


def _huber_gradient(t: np.ndarray, p: np.ndarray, delta: float) -> np.ndarray:
    return np.clip(p - t, -float(delta), float(delta)) / p.shape[1]


# Classification


def _hinge(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.maximum(1 - t * p, 0), axis=1)


def _hinge_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -t * np.heaviside(1 - t * p, 0) / p.shape[1]


def _binary(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, _ = _clipped(p)
    return np.mean(-t * np.log(p) - (1 - t) * np.log1p(-p), axis=1)


def _binary_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, was_clipped = _clipped(p)
    return np.where(was_clipped, 0, (p - t) / (p * (1 - p))) / p.shape[1]


def _binary_from_logits(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """-t * log(sigmoid(z)) - (1 - t) * log(sigmoid(-z)), without overflow."""
    return np.mean(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))), axis=1)


def _binary_from_logits_gradient(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (activation_forward(z, "sigmoid") - t) / z.shape[1]


def _categorical(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, _ = _clipped(p / np.sum(p, axis=1, keepdims=True))
    return _cross_entropy(t, np.log(p))


def _categorical_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Backwards through logarithm and clip, then through q = p / sum(p)."""
    total = np.sum(p, axis=1, keepdims=True)
    q, was_clipped = _clipped(p / total)
    grad_q = np.where(was_clipped, 0, -t / q)
    return (grad_q - np.sum(grad_q * q, axis=1, keepdims=True)) / total


def _categorical_from_logits(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _cross_entropy(t, log_softmax(z))


def _categorical_from_logits_gradient(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """softmax(z) - t for targets that sum to 1; others are right too."""
    return softmax(z) * np.sum(t, axis=1, keepdims=True) - t


def _cross_entropy(t: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Return -sum(t * log_p), where 0 * log(0) is 0."""
    return -np.sum(np.where(t == 0, 0, t * log_p), axis=1)


def _clipped(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `p` held in [CLIP, 1 - CLIP], and where that changed it."""
    low, high = p.dtype.type(CLIP), p.dtype.type(1 - CLIP)
    return np.clip(p, low, high), (p < low) | (p > high)


Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]

FROM_PREDICTIONS: dict[str, tuple[Formula, Formula]] = {
    "mean_squared_error": (_mean_squared_error, _mean_squared_error_gradient),
    "mean_absolute_error": (_mean_absolute_error, _mean_absolute_error_gradient),
    "binary_crossentropy": (_binary, _binary_gradient),
    "categorical_crossentropy": (_categorical, _categorical_gradient),
    "sparse_categorical_crossentropy": (_categorical, _categorical_gradient),
    "hinge": (_hinge, _hinge_gradient),
}
"""Value and gradient of each loss but huber, the only one with a parameter."""

FROM_LOGITS: dict[str, tuple[Formula, Formula]] = {
    "binary_crossentropy": (_binary_from_logits, _binary_from_logits_gradient),
    "categorical_crossentropy": (_categorical_from_logits, _categorical_from_logits_gradient),
    "sparse_categorical_crossentropy": (
        _categorical_from_logits,
        _categorical_from_logits_gradient,
    ),
}
