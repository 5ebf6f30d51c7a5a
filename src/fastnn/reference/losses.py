"""Losses and their gradients with respect to the predictions.

Targets are first brought to one form, an array of as many rows as the predictions (labels become
one-hot rows). Each loss is then one function of targets `t`, predictions `p` and its own options,
which gives a value for each row, with its gradient beside it. Cross-entropies come twice: from
probabilities, clipped as in Keras, and from logits `z`, exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from fastnn._checks import check_loss, check_loss_backward
from fastnn.reference._arrays import deliver, ieee_arithmetic
from fastnn.reference.activations import activation_forward, log_softmax, softmax

CLIP = 1e-7
"""Probabilities are held in [CLIP, 1 - CLIP] before their logarithm is taken."""

Formula = Callable[..., np.ndarray]
"""Of targets, predictions and options by name."""


@ieee_arithmetic()
def loss_forward(y_true: np.ndarray, y_pred: np.ndarray, loss: str, **options: float) -> np.ndarray:
    """Return the loss of each row.

    With targets t, predictions p and e = p - t, the mean over the columns of

    ==============================  =======================================================
    mean_squared_error              e^2
    mean_absolute_error             abs(e)
    mean_absolute_percentage_error  100 * abs(e) / max(abs(t), 1e-7)
    mean_squared_logarithmic_error  (log(1 + p) - log(1 + t))^2
    huber                           e^2 / 2 where abs(e) <= delta, else
                                    delta * abs(e) - delta^2 / 2 [1]_
    log_cosh                        log(cosh(e))
    quantile_loss                   max(-quantile * e, (1 - quantile) * e) [2]_
    poisson                         p - t * log(p + 1e-7)
    tweedie                         p^(2 - power) / (2 - power)
                                    - t * p^(1 - power) / (1 - power) [3]_
    binary_crossentropy             -t * log(p) - (1 - t) * log(1 - p)
    binary_focal_crossentropy       the same times (t * (1 - p) + (1 - t) * p)^gamma [4]_
    hinge                           max(0, 1 - s * p) with s = 1 where t > 0, else -1
    squared_hinge                   max(0, 1 - s * p)^2
    perceptron_loss                 max(0, -s * p) [5]_
    ==============================  =======================================================

    the sum over the columns of

    ===============================  ======================================================
    categorical_crossentropy         -t * log(p / sum(p))
    categorical_focal_crossentropy   with q = p / sum(p), -alpha * (1 - q)^gamma * t * log(q)
    sparse_categorical_crossentropy  -t * log(p / sum(p)), with t = 1 in the column of the
                                     label, else 0
    kl_divergence                    t * log(t / p)
    ===============================  ======================================================

    and, of whole rows,

    ===================  ==================================================================
    categorical_hinge    max(0, 1 + max((1 - t) * p) - sum(t * p)) [6]_
    cosine_similarity    -sum(t * p) / (norm(t) * norm(p)), each norm at least 1e-7
    gaussian_nll         with p = (m, v), means and then the logarithms of variances, the mean
                         of (v + (t - m)^2 * exp(-v)) / 2, t having half the columns [7]_
    ===================  ==================================================================

    Probabilities are clipped to [1e-7, 1 - 1e-7] before the logarithm (categorical ones after
    the division), and 0 * log(0) is 0. Logits z stand for p = sigmoid(z) or softmax(z); nothing
    is clipped then. kl_divergence clips t and p to [1e-7, 1], mean_squared_logarithmic_error to
    1e-7 or more, and tweedie p to 1e-7 or more.

    Parameters
    ----------
    y_true : ndarray
        Of the shape and dtype of `y_pred`; of shape (n, k / 2) for gaussian_nll; int32 labels of
        shape (n,), in [0, k), for sparse_categorical_crossentropy.
    y_pred : ndarray of float32 or float64, shape (n, k)
    loss : str
        A name of the tables.
    **options : float or bool
        Those of the loss:

        from_logits : bool, default False
            Whether `y_pred` holds logits; for the cross-entropies.
        label_smoothing : float, default 0.0
            s in [0, 1]: targets t become t * (1 - s) + s / 2 (binary) or t * (1 - s) + s / k
            (categorical) [8]_.
        delta : float, default 1.0
            Where the Huber loss goes over from the square to the line; greater than 0.
        quantile : float, default 0.5
            In (0, 1).
        power : float, default 1.5
            Of the mean to which Tweedie's variance is proportional, in (1, 2).
        log_link : bool, default False
            Whether `y_pred` holds log(p); for tweedie. Nothing is clipped then.
        full : bool, default False
            Whether gaussian_nll has its constant, log(2 * pi) / 2.
        apply_class_balancing : bool, default False
            Whether binary_focal_crossentropy is multiplied by t * alpha + (1 - t) * (1 - alpha).
        alpha : float, default 0.25
            Factor of the focal losses: in [0, 1] for the binary, not negative for the categorical.
        gamma : float, default 2.0
            Exponent of the focal losses; not negative.

    Returns
    -------
    ndarray of the dtype of `y_pred`, shape (n,)

    Raises
    ------
    TypeError
        If the dtypes are not as above, or an option is unknown or of the wrong type.
    ValueError
        If the shapes do not agree, a label is out of range, the loss is unknown, it does not
        take an option that is set, or the option is out of range.

    References
    ----------
    .. [1] Huber (1964), "Robust estimation of a location parameter".
    .. [2] Koenker, Bassett (1978), "Regression quantiles".
    .. [3] Jorgensen (1987), "Exponential dispersion models".
    .. [4] Lin, Goyal, Girshick, He, Dollar (2017), "Focal loss for dense object detection".
    .. [5] Rosenblatt (1958), "The perceptron: a probabilistic model for information storage and
       organization in the brain".
    .. [6] Crammer, Singer (2001), "On the algorithmic implementation of multiclass kernel-based
       vector machines".
    .. [7] Nix, Weigend (1994), "Estimating the mean and variance of the target probability
       distribution".
    .. [8] Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), "Rethinking the Inception
       architecture for computer vision".

    Examples
    --------
    >>> loss_forward(np.zeros((1, 2)), np.array([[1.0, 3.0]]), "mean_squared_error")
    array([5.])
    >>> loss_forward(np.zeros((1, 1)), np.array([[3.0]]), "huber", delta=2.0)
    array([4.])
    """
    chosen = check_loss(y_true, y_pred, loss, options)
    (values, _), named = _formulas(loss, chosen)
    return values(_targets(y_true, y_pred, loss, chosen), y_pred, **named)


@ieee_arithmetic()
def loss_backward(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    loss: str,
    *,
    sample_weight: np.ndarray | None = None,
    out: np.ndarray | None = None,
    **options: float,
) -> np.ndarray:
    """Return the gradient of ``sum(sample_weight * loss_forward(...))`` with respect to `y_pred`.

    It is 0 where a probability or another prediction was clipped, where the absolute error (also
    that of a quantile) is at its kink, where a hinge is closed (s * p >= 1), and for
    cosine_similarity where the norm of the prediction is less than 1e-7. The perceptron's is -s
    also at p = 0, so that it can leave that place. Of the largest wrong columns of
    categorical_hinge, the first has the gradient.

    Parameters
    ----------
    y_true, y_pred, loss
        As for `loss_forward`.
    sample_weight : ndarray of the dtype of `y_pred`, shape (n,), optional
        Factor of each row's loss; 1 if it is not given.
    out : ndarray of the shape and dtype of `y_pred`, optional
        Where to write the result; may be `y_pred` itself.
    **options : float or bool
        As for `loss_forward`.

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
    chosen = check_loss(y_true, y_pred, loss, options)
    check_loss_backward(y_pred, sample_weight, out)
    (_, gradient_of), named = _formulas(loss, chosen)
    gradient = gradient_of(_targets(y_true, y_pred, loss, chosen), y_pred, **named)
    if sample_weight is not None:
        gradient = sample_weight[:, np.newaxis] * gradient
    return deliver(gradient, y_pred.dtype, out)


def _formulas(
    loss: str, options: Mapping[str, float]
) -> tuple[tuple[Formula, Formula], dict[str, float]]:
    """Return value and gradient of a loss, and the options that these take themselves."""
    table = FROM_LOGITS if options.get("from_logits") else FROM_PREDICTIONS
    taken_before = ("from_logits", "label_smoothing")
    return table[loss], {name: v for name, v in options.items() if name not in taken_before}


# Targets


def _targets(
    y_true: np.ndarray, y_pred: np.ndarray, loss: str, options: Mapping[str, float]
) -> np.ndarray:
    """Return targets of the dtype of `y_pred`, as the formula of the loss wants them."""
    columns = y_pred.shape[1]
    if loss == "sparse_categorical_crossentropy":
        return (y_true[:, np.newaxis] == np.arange(columns)).astype(y_pred.dtype)
    if loss in ("hinge", "squared_hinge", "perceptron_loss"):
        return np.where(y_true > 0, 1, -1).astype(y_pred.dtype)
    smoothing = options.get("label_smoothing", 0.0)
    if smoothing == 0.0:
        return y_true
    share = 1 / 2 if loss.startswith("binary") else 1 / columns
    return y_true * (1 - smoothing) + smoothing * share


# Regression


def _mean_squared_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.square(p - t), axis=1)


def _mean_squared_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return 2 * (p - t) / p.shape[1]


def _mean_absolute_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.abs(p - t), axis=1)


def _mean_absolute_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.sign(p - t) / p.shape[1]


def _percentage_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return 100 * np.mean(np.abs(p - t) / np.maximum(np.abs(t), CLIP), axis=1)


def _percentage_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return 100 * np.sign(p - t) / np.maximum(np.abs(t), CLIP) / p.shape[1]


def _squared_logarithmic_error(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    error = np.log1p(_at_least_clip(p)[0]) - np.log1p(_at_least_clip(t)[0])
    return np.mean(np.square(error), axis=1)


def _squared_logarithmic_error_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, was_clipped = _at_least_clip(p)
    error = np.log1p(p) - np.log1p(_at_least_clip(t)[0])
    return np.where(was_clipped, 0, 2 * error / (1 + p)) / p.shape[1]


def _huber(t: np.ndarray, p: np.ndarray, delta: float) -> np.ndarray:
    size = np.abs(p - t)
    values = np.where(size <= delta, 0.5 * np.square(size), delta * size - 0.5 * delta**2)
    return np.mean(values, axis=1)


def _huber_gradient(t: np.ndarray, p: np.ndarray, delta: float) -> np.ndarray:
    return np.clip(p - t, -delta, delta) / p.shape[1]


def _log_cosh(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """abs(e) + log((1 + exp(-2 * abs(e))) / 2), without overflow, and exactly 0 for e = 0."""
    size = np.abs(p - t)
    return np.mean(size + np.log1p(np.expm1(-2 * size) / 2), axis=1)


def _log_cosh_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.tanh(p - t) / p.shape[1]


def _quantile_loss(t: np.ndarray, p: np.ndarray, quantile: float) -> np.ndarray:
    return np.mean(np.maximum(-quantile * (p - t), (1 - quantile) * (p - t)), axis=1)


def _quantile_loss_gradient(t: np.ndarray, p: np.ndarray, quantile: float) -> np.ndarray:
    slope = np.where(p > t, 1 - quantile, quantile).astype(p.dtype)
    return np.sign(p - t) * slope / p.shape[1]


def _cosine_similarity(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -np.sum(t / _norm(t) * (p / _norm(p)), axis=1)


def _cosine_similarity_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """What is left of the direction of t across that of p, over the length of p."""
    direction, length = p / _norm(p), _norm(p)
    target = t / _norm(t)
    along = np.sum(target * direction, axis=1, keepdims=True)
    return np.where(length <= CLIP, 0, (along * direction - target) / length)


def _norm(x: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.sum(np.square(x), axis=1, keepdims=True)), CLIP)


# Regression by the likelihood of a distribution


def _poisson(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(p - t * np.log(p + CLIP), axis=1)


def _poisson_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (1 - t / (p + CLIP)) / p.shape[1]


def _tweedie(t: np.ndarray, p: np.ndarray, power: float, log_link: bool) -> np.ndarray:
    log_p = p if log_link else np.log(_at_least_clip(p)[0])
    mass, pull = _tweedie_terms(t, log_p, power)
    return np.mean(mass / (2 - power) - pull / (1 - power), axis=1)


def _tweedie_gradient(t: np.ndarray, p: np.ndarray, power: float, log_link: bool) -> np.ndarray:
    """d/d log(p), divided by p if that is what the predictions are."""
    if log_link:
        mass, pull = _tweedie_terms(t, p, power)
        return (mass - pull) / p.shape[1]
    p, was_clipped = _at_least_clip(p)
    mass, pull = _tweedie_terms(t, np.log(p), power)
    return np.where(was_clipped, 0, (mass - pull) / p) / p.shape[1]


def _tweedie_terms(t: np.ndarray, log_p: np.ndarray, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Return p^(2 - power) and t * p^(1 - power), which is 0 for t = 0 whatever the power."""
    pull = np.where(t == 0, 0, t * np.exp((1 - power) * log_p))
    return np.exp((2 - power) * log_p), pull


def _gaussian_nll(t: np.ndarray, p: np.ndarray, full: bool) -> np.ndarray:
    mean, log_variance = np.split(p, 2, axis=1)
    values = log_variance + np.square(mean - t) * np.exp(-log_variance)
    constant = math.log(2 * math.pi) / 2 if full else 0.0
    return np.mean(values, axis=1) / 2 + constant


def _gaussian_nll_gradient(t: np.ndarray, p: np.ndarray, full: bool) -> np.ndarray:
    mean, log_variance = np.split(p, 2, axis=1)
    error, precision = mean - t, np.exp(-log_variance)
    grad_log_variance = (1 - np.square(error) * precision) / 2
    return np.concatenate([error * precision, grad_log_variance], axis=1) / t.shape[1]


# Classification by a margin


def _hinge(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.maximum(1 - t * p, 0), axis=1)


def _hinge_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -t * np.heaviside(1 - t * p, 0) / p.shape[1]


def _squared_hinge(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.square(np.maximum(1 - t * p, 0)), axis=1)


def _squared_hinge_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -2 * t * np.maximum(1 - t * p, 0) / p.shape[1]


def _perceptron_loss(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(np.maximum(-t * p, 0), axis=1)


def _perceptron_loss_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -t * np.heaviside(-t * p, 1) / p.shape[1]


def _categorical_hinge(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.maximum(_excess(t, p), 0)


def _categorical_hinge_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    wrong = (1 - t) * p
    is_largest = np.argmax(wrong, axis=1)[:, np.newaxis] == np.arange(p.shape[1])
    is_open = np.heaviside(_excess(t, p), 0)[:, np.newaxis]
    return is_open * ((1 - t) * is_largest - t)


def _excess(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return by how much the right column fails to be 1 above all others."""
    return np.max((1 - t) * p, axis=1) - np.sum(t * p, axis=1) + 1


# Classification by probabilities


def _binary(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.mean(_binary_elements(t, _clipped(p)[0]), axis=1)


def _binary_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, was_clipped = _clipped(p)
    return np.where(was_clipped, 0, (p - t) / (p * (1 - p))) / p.shape[1]


def _binary_from_logits(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.mean(_binary_elements_from_logits(t, z), axis=1)


def _binary_from_logits_gradient(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (activation_forward(z, "sigmoid") - t) / z.shape[1]


def _binary_elements(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -t * np.log(p) - (1 - t) * np.log1p(-p)


def _binary_elements_from_logits(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """-t * log(sigmoid(z)) - (1 - t) * log(sigmoid(-z)), without overflow."""
    return np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))


def _binary_focal(t: np.ndarray, p: np.ndarray, gamma: float, **balance: float) -> np.ndarray:
    p, _ = _clipped(p)
    miss = t * (1 - p) + (1 - t) * p
    return np.mean(_balance(t, **balance) * miss**gamma * _binary_elements(t, p), axis=1)


def _binary_focal_gradient(
    t: np.ndarray, p: np.ndarray, gamma: float, **balance: float
) -> np.ndarray:
    p, was_clipped = _clipped(p)
    miss = t * (1 - p) + (1 - t) * p
    slope = (p - t) / (p * (1 - p)) + gamma * (1 - 2 * t) / miss * _binary_elements(t, p)
    gradient = _balance(t, **balance) * miss**gamma * slope
    return np.where(was_clipped, 0, gradient) / p.shape[1]


def _binary_focal_from_logits(
    t: np.ndarray, z: np.ndarray, gamma: float, **balance: float
) -> np.ndarray:
    weights = _balance(t, **balance) * _miss(t, z) ** gamma
    return np.mean(weights * _binary_elements_from_logits(t, z), axis=1)


def _binary_focal_from_logits_gradient(
    t: np.ndarray, z: np.ndarray, gamma: float, **balance: float
) -> np.ndarray:
    p, rest, miss = activation_forward(z, "sigmoid"), activation_forward(-z, "sigmoid"), _miss(t, z)
    slope_of_log_miss = (1 - 2 * t) * p * rest / miss
    slope = p - t + gamma * slope_of_log_miss * _binary_elements_from_logits(t, z)
    return _balance(t, **balance) * miss**gamma * slope / z.shape[1]


def _miss(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the probability given to the wrong answer, at least the smallest normal number."""
    p, rest = activation_forward(z, "sigmoid"), activation_forward(-z, "sigmoid")
    return np.maximum(t * rest + (1 - t) * p, np.finfo(z.dtype).tiny)


def _balance(t: np.ndarray, apply_class_balancing: float, alpha: float) -> np.ndarray:
    if not apply_class_balancing:
        return np.ones_like(t)
    return t * alpha + (1 - t) * (1 - alpha)


def _categorical(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    p, _ = _clipped(p / np.sum(p, axis=1, keepdims=True))
    return _cross_entropy(t, np.log(p))


def _categorical_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    total = np.sum(p, axis=1, keepdims=True)
    q, was_clipped = _clipped(p / total)
    return _through_division(np.where(was_clipped, 0, -t / q), q, total)


def _through_division(grad_q: np.ndarray, q: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the gradient by p from that by q = p / sum(p)."""
    return (grad_q - np.sum(grad_q * q, axis=1, keepdims=True)) / total


def _categorical_from_logits(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _cross_entropy(t, log_softmax(z))


def _categorical_from_logits_gradient(t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """softmax(z) - t for targets that sum to 1; others are right too."""
    return softmax(z) * np.sum(t, axis=1, keepdims=True) - t


def _cross_entropy(t: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Return -sum(t * log_p), where 0 * log(0) is 0."""
    return -np.sum(np.where(t == 0, 0, t * log_p), axis=1)


def _categorical_focal(t: np.ndarray, p: np.ndarray, gamma: float, alpha: float) -> np.ndarray:
    q, _ = _clipped(p / np.sum(p, axis=1, keepdims=True))
    return alpha * _cross_entropy(t, (1 - q) ** gamma * np.log(q))


def _categorical_focal_gradient(
    t: np.ndarray, p: np.ndarray, gamma: float, alpha: float
) -> np.ndarray:
    total = np.sum(p, axis=1, keepdims=True)
    q, was_clipped = _clipped(p / total)
    slope = _focal_slope(t, q, 1 - q, np.log(q), gamma) / q
    return alpha * _through_division(np.where(was_clipped, 0, slope), q, total)


def _categorical_focal_from_logits(
    t: np.ndarray, z: np.ndarray, gamma: float, alpha: float
) -> np.ndarray:
    return alpha * _cross_entropy(t, _rest(softmax(z)) ** gamma * log_softmax(z))


def _categorical_focal_from_logits_gradient(
    t: np.ndarray, z: np.ndarray, gamma: float, alpha: float
) -> np.ndarray:
    q = softmax(z)
    slope = _focal_slope(t, q, _rest(q), log_softmax(z), gamma)
    return alpha * (slope - q * np.sum(slope, axis=1, keepdims=True))


def _focal_slope(
    t: np.ndarray, q: np.ndarray, rest: np.ndarray, log_q: np.ndarray, gamma: float
) -> np.ndarray:
    """Return the gradient of -t * rest^gamma * log(q) by log(q), where rest = 1 - q."""
    return np.where(t == 0, 0, t * rest**gamma * (gamma * q * log_q / rest - 1))


def _rest(q: np.ndarray) -> np.ndarray:
    """Return 1 - q, at least the smallest normal number."""
    return np.maximum(1 - q, np.finfo(q.dtype).tiny)


def _kl_divergence(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    t, p = np.clip(t, CLIP, 1), np.clip(p, CLIP, 1)
    return np.sum(t * np.log(t / p), axis=1)


def _kl_divergence_gradient(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    was_clipped = (p < p.dtype.type(CLIP)) | (p > 1)
    return np.where(was_clipped, 0, -np.clip(t, CLIP, 1) / p)


# Clips


def _clipped(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `p` held in [CLIP, 1 - CLIP], and where that changed it."""
    low, high = p.dtype.type(CLIP), p.dtype.type(1 - CLIP)
    return np.clip(p, low, high), (p < low) | (p > high)


def _at_least_clip(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `p` held at CLIP or more, and where that changed it."""
    low = p.dtype.type(CLIP)
    return np.maximum(p, low), p < low


FROM_PREDICTIONS: dict[str, tuple[Formula, Formula]] = {
    "mean_squared_error": (_mean_squared_error, _mean_squared_error_gradient),
    "mean_absolute_error": (_mean_absolute_error, _mean_absolute_error_gradient),
    "mean_absolute_percentage_error": (_percentage_error, _percentage_error_gradient),
    "mean_squared_logarithmic_error": (
        _squared_logarithmic_error,
        _squared_logarithmic_error_gradient,
    ),
    "huber": (_huber, _huber_gradient),
    "log_cosh": (_log_cosh, _log_cosh_gradient),
    "quantile_loss": (_quantile_loss, _quantile_loss_gradient),
    "cosine_similarity": (_cosine_similarity, _cosine_similarity_gradient),
    "poisson": (_poisson, _poisson_gradient),
    "tweedie": (_tweedie, _tweedie_gradient),
    "gaussian_nll": (_gaussian_nll, _gaussian_nll_gradient),
    "hinge": (_hinge, _hinge_gradient),
    "squared_hinge": (_squared_hinge, _squared_hinge_gradient),
    "perceptron_loss": (_perceptron_loss, _perceptron_loss_gradient),
    "categorical_hinge": (_categorical_hinge, _categorical_hinge_gradient),
    "binary_crossentropy": (_binary, _binary_gradient),
    "binary_focal_crossentropy": (_binary_focal, _binary_focal_gradient),
    "categorical_crossentropy": (_categorical, _categorical_gradient),
    "categorical_focal_crossentropy": (_categorical_focal, _categorical_focal_gradient),
    "sparse_categorical_crossentropy": (_categorical, _categorical_gradient),
    "kl_divergence": (_kl_divergence, _kl_divergence_gradient),
}
"""Value and gradient of each loss."""

FROM_LOGITS: dict[str, tuple[Formula, Formula]] = {
    "binary_crossentropy": (_binary_from_logits, _binary_from_logits_gradient),
    "binary_focal_crossentropy": (
        _binary_focal_from_logits,
        _binary_focal_from_logits_gradient,
    ),
    "categorical_crossentropy": (_categorical_from_logits, _categorical_from_logits_gradient),
    "categorical_focal_crossentropy": (
        _categorical_focal_from_logits,
        _categorical_focal_from_logits_gradient,
    ),
    "sparse_categorical_crossentropy": (
        _categorical_from_logits,
        _categorical_from_logits_gradient,
    ),
}
"""The same of the losses that can be taken from logits."""
