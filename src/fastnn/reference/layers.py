"""Layers other than the dense one: forward, and the gradients of input and weights.

Each kernel is a pair of functions. Forward takes the input, the weights (None for one that the
layer does without) and the options; the gradient takes that of the output before them, and returns
that of the input and a tuple of those of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.reference._arrays import ieee_arithmetic
from fastnn.reference.activations import activation_backward, activation_forward
from fastnn.reference.dropout import random_words

if TYPE_CHECKING:
    from fastnn.activations import ActivationFunction

Weight = np.ndarray | None
Gradients = tuple[np.ndarray, tuple[Weight, ...]]

SELU_SATURATION = -1.7580993408473766
UNIT_LIMIT = 1e12


# Element by element


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return x where it is positive, and slope times x elsewhere; a slope for each column.

    References
    ----------
    K. He et al. (2015). Delving deep into rectifiers. arXiv:1502.01852.
    """
    return np.where(x > 0, x, slope.ravel() * x)


def prelu_gradient(gradient: np.ndarray, x: np.ndarray, slope: np.ndarray) -> Gradients:
    """Return the gradients of input and slope."""
    below = np.where(x > 0, 0, gradient * x)
    grad_x = np.where(x > 0, gradient, slope.ravel() * gradient)
    return grad_x, (below.sum(axis=0).reshape(slope.shape),)


def rescaling(x: np.ndarray, *, scale: Sequence[float], offset: Sequence[float]) -> np.ndarray:
    """Return ``scale * x + offset``, with numbers for each column."""
    return np.asarray(scale, x.dtype) * x + np.asarray(offset, x.dtype)


def rescaling_gradient(
    gradient: np.ndarray, x: np.ndarray, *, scale: Sequence[float], offset: Sequence[float]
) -> Gradients:
    """Return the gradient of the input."""
    return np.asarray(scale, x.dtype) * gradient, ()


def activity_regularization(x: np.ndarray, *, l1: float, l2: float) -> np.ndarray:
    """Return x; what it adds to the loss, `activity_penalty` tells."""
    return x.copy()


def activity_penalty(x: np.ndarray, *, l1: float, l2: float) -> float:
    """Return the sum of ``l1 * abs(x) + l2 * x**2``."""
    wide = x.astype(np.float64)
    return float(np.sum(l1 * np.abs(wide) + l2 * np.square(wide)))


def activity_regularization_gradient(
    gradient: np.ndarray, x: np.ndarray, *, l1: float, l2: float
) -> Gradients:
    """Return the gradient of the input, the penalty being divided by the rows of the batch."""
    return gradient + (l1 * np.sign(x) + 2 * l2 * x) / x.dtype.type(len(x)), ()


# Choosing


def maxout(x: np.ndarray, *, pieces: int) -> np.ndarray:
    """Return the largest of the pieces of each unit.

    Columns u, u + units, u + 2 units, ... of x are the pieces of unit u.

    References
    ----------
    I. Goodfellow et al. (2013). Maxout networks. arXiv:1302.4389.
    """
    return x.reshape(len(x), pieces, -1).max(axis=1)


def maxout_gradient(gradient: np.ndarray, x: np.ndarray, *, pieces: int) -> Gradients:
    """Return the gradient of the input: that of the unit, for the first of its largest pieces."""
    split = x.reshape(len(x), pieces, -1)
    chosen = np.arange(pieces)[:, np.newaxis] == split.argmax(axis=1)[:, np.newaxis]
    return np.where(chosen, gradient[:, np.newaxis], 0).reshape(x.shape), ()


Columns = Sequence[tuple[int, int, int]]
"""For each column of the input: number of its table or -1, rows and columns of that (or 1, 1)."""


def embedding(x: np.ndarray, *tables: np.ndarray, columns: Columns) -> np.ndarray:
    """Return x with the numbers in some columns replaced by rows of tables.

    A number that is no row of its table gives NaN.
    """
    parts = []
    for j, (table, rows, width) in enumerate(columns):
        if table < 0:
            parts.append(x[:, [j]])
            continue
        known, number = row_numbers(x[:, j], rows)
        part = np.full((len(x), width), np.nan, x.dtype)
        part[known] = tables[table][number[known]]
        parts.append(part)
    return np.concatenate(parts, axis=1)


def row_numbers(x: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `x` are rows of a table, and the numbers of these rows."""
    known = (x >= 0) & (x < rows)
    return known, np.where(known, x, 0).astype(np.intp)


def embedding_gradient(
    gradient: np.ndarray, x: np.ndarray, *tables: np.ndarray, columns: Columns
) -> Gradients:
    """Return the gradients of the input, 0 for what chose a row, and of the tables."""
    grad_x = np.zeros_like(x)
    of_tables = [np.zeros_like(table) for table in tables]
    start = 0
    for j, (table, rows, width) in enumerate(columns):
        part = gradient[:, start : start + width]
        start += width
        if table < 0:
            grad_x[:, j] = part[:, 0]
            continue
        known, number = row_numbers(x[:, j], rows)
        np.add.at(of_tables[table], number[known], part[known])
    return grad_x, tuple(of_tables)


# Normalisation of rows


def layer_normalization(
    x: np.ndarray, scale: Weight, offset: Weight, *, epsilon: float
) -> np.ndarray:
    """Return the rows with mean 0 and variance 1, scaled and moved.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton (2016). Layer normalization. arXiv:1607.06450.
    """
    z = _layer_normalized(x, epsilon)[0]
    return _moved(_scaled(z, scale), offset)


def layer_normalization_gradient(
    gradient: np.ndarray, x: np.ndarray, scale: Weight, offset: Weight, *, epsilon: float
) -> Gradients:
    """Return the gradients of input, scale and offset."""
    z, r = _layer_normalized(x, epsilon)
    g = _scaled(gradient, scale)
    mean, slope = (v.mean(axis=1, keepdims=True) for v in (g, g * z))
    return r * (g - mean - slope * z), ((gradient * z).sum(axis=0), gradient.sum(axis=0))


def _layer_normalized(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    centred = x - x.mean(axis=1, keepdims=True)
    r = 1 / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + x.dtype.type(epsilon))
    return centred * r, r


def rms_normalization(x: np.ndarray, scale: Weight, *, epsilon: float) -> np.ndarray:
    """Return the rows divided by their root mean square, scaled.

    References
    ----------
    B. Zhang, R. Sennrich (2019). Root mean square layer normalization. arXiv:1910.07467.
    """
    return _scaled(x * _inverse_rms(x, epsilon), scale)


def rms_normalization_gradient(
    gradient: np.ndarray, x: np.ndarray, scale: Weight, *, epsilon: float
) -> Gradients:
    """Return the gradients of input and scale."""
    r = _inverse_rms(x, epsilon)
    z, g = x * r, _scaled(gradient, scale)
    slope = (g * z).mean(axis=1, keepdims=True)
    return r * (g - slope * z), ((gradient * z).sum(axis=0),)


def _inverse_rms(x: np.ndarray, epsilon: float) -> np.ndarray:
    return 1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + x.dtype.type(epsilon))


def unit_normalization(x: np.ndarray) -> np.ndarray:
    """Return the rows divided by their Euclidean length, of which 1e-12 is the least."""
    return x * _inverse_length(x)


def unit_normalization_gradient(gradient: np.ndarray, x: np.ndarray) -> Gradients:
    """Return the gradient of the input."""
    r = _inverse_length(x)
    z = x * r
    slope = np.where(r == r.dtype.type(UNIT_LIMIT), 0, (gradient * z).sum(axis=1, keepdims=True))
    return r * (gradient - slope * z), ()


def _inverse_length(x: np.ndarray) -> np.ndarray:
    squares = np.square(x).sum(axis=1, keepdims=True)
    return np.minimum(1 / np.sqrt(squares), x.dtype.type(UNIT_LIMIT))


# Normalisation of columns


def batch_normalization(
    x: np.ndarray,
    scale: Weight,
    offset: Weight,
    moving_mean: np.ndarray,
    moving_variance: np.ndarray,
    *,
    momentum: float,
    epsilon: float,
    training: bool,
) -> np.ndarray:
    """Return the columns with mean 0 and variance 1, scaled and moved.

    In training by their own mean and variance, otherwise by the moving ones.

    References
    ----------
    S. Ioffe, C. Szegedy (2015). Batch normalization: accelerating deep network training by
    reducing internal covariate shift. arXiv:1502.03167.
    """
    mean, variance = moments(x) if training else (moving_mean, moving_variance)
    z = (x - mean) / np.sqrt(variance + x.dtype.type(epsilon))
    return _moved(_scaled(z, scale), offset)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each column."""
    mean = x.mean(axis=0)
    return mean, np.square(x - mean).mean(axis=0)


def batch_normalization_gradient(
    gradient: np.ndarray,
    x: np.ndarray,
    scale: Weight,
    offset: Weight,
    moving_mean: np.ndarray,
    moving_variance: np.ndarray,
    *,
    momentum: float,
    epsilon: float,
    training: bool,
) -> Gradients:
    """Return the gradients of input, scale and offset."""
    mean, variance = moments(x) if training else (moving_mean, moving_variance)
    r = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    z, g = (x - mean) * r, _scaled(gradient, scale)
    grad_x = r * (g - g.mean(axis=0) - z * (g * z).mean(axis=0)) if training else r * g
    return grad_x, ((gradient * z).sum(axis=0), gradient.sum(axis=0), None, None)


def normalization(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, *, epsilon: float
) -> np.ndarray:
    """Return the columns less a mean, divided by a standard deviation of at least `epsilon`."""
    return (x - mean) / np.maximum(np.sqrt(variance), x.dtype.type(epsilon))


def normalization_gradient(
    gradient: np.ndarray, x: np.ndarray, mean: np.ndarray, variance: np.ndarray, *, epsilon: float
) -> Gradients:
    """Return the gradient of the input."""
    return gradient / np.maximum(np.sqrt(variance), x.dtype.type(epsilon)), (None, None)


# Noise


def normals(shape: tuple[int, ...], seed: int, step: int) -> np.ndarray:
    """Return normal variates for each row and column, from the same words as dropout's mask.

    The upper 24 bits of words 0 and 1 give those of columns 0 and 1, of words 2 and 3 those of
    columns 2 and 3, and so on.

    References
    ----------
    G. E. P. Box, M. E. Muller (1958). A note on the generation of random normal deviates.
    """
    rows, columns = shape
    words = random_words((rows, -(-columns // 4) * 4), seed, step) >> np.uint64(8)
    first, second = words[:, 0::2].astype(np.float64), words[:, 1::2].astype(np.float64)
    radius = np.sqrt(-2 * np.log((first + 1) / 2**24))
    angle = 2 * np.pi * second / 2**24
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(rows, -1)[:, :columns]


def gaussian_noise(x: np.ndarray, *, stddev: float, seed: int, step: int) -> np.ndarray:
    """Return x plus normal noise of this standard deviation."""
    return x + (stddev * normals(x.shape, seed, step)).astype(x.dtype)


def gaussian_noise_gradient(
    gradient: np.ndarray, x: np.ndarray, *, stddev: float, seed: int, step: int
) -> Gradients:
    """Return the gradient of the input."""
    return gradient, ()


def gaussian_dropout(x: np.ndarray, *, rate: float, seed: int, step: int) -> np.ndarray:
    """Return x times normal noise of mean 1 and variance ``rate / (1 - rate)``.

    References
    ----------
    N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting, section 10.
    """
    deviation = np.sqrt(rate / (1 - rate))
    return x * (1 + deviation * normals(x.shape, seed, step)).astype(x.dtype)


def gaussian_dropout_gradient(
    gradient: np.ndarray, x: np.ndarray, *, rate: float, seed: int, step: int
) -> Gradients:
    """Return the gradient of the input."""
    return gaussian_dropout(gradient, rate=rate, seed=seed, step=step), ()


def alpha_dropout(x: np.ndarray, *, rate: float, seed: int, step: int) -> np.ndarray:
    """Return x with some elements set to selu's lowest value, rescaled to its mean and variance.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter (2017). Self-normalizing neural networks.
    arXiv:1706.02515.
    """
    scale = _alpha_scale(rate)
    kept = np.where(_kept(x.shape, rate, seed, step), x, x.dtype.type(SELU_SATURATION))
    return x.dtype.type(scale) * kept - x.dtype.type(scale * SELU_SATURATION * rate)


def alpha_dropout_gradient(
    gradient: np.ndarray, x: np.ndarray, *, rate: float, seed: int, step: int
) -> Gradients:
    """Return the gradient of the input."""
    kept = np.where(_kept(x.shape, rate, seed, step), gradient, 0)
    return x.dtype.type(_alpha_scale(rate)) * kept, ()


def _alpha_scale(rate: float) -> float:
    return float(1 / np.sqrt((1 - rate) * (1 + rate * SELU_SATURATION**2)))


def _kept(shape: tuple[int, ...], rate: float, seed: int, step: int) -> np.ndarray:
    return random_words(shape, seed, step) >= int(rate * 2**32)


# Recurrence


def simple_rnn(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: Weight,
    *,
    steps: int,
    activation: ActivationFunction,
    return_sequences: bool,
) -> np.ndarray:
    """Return the last state of ``h_t = activation(x_t kernel + h_{t-1} recurrent_kernel + bias)``.

    A row of `x` holds the features of all steps in turn. With `return_sequences` the states of
    all steps are returned, likewise in turn.
    """
    states, _ = _states(x, kernel, recurrent_kernel, bias, steps, activation)
    return np.concatenate(states, axis=1) if return_sequences else states[-1]


def _states(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: Weight,
    steps: int,
    activation: ActivationFunction,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the states of all steps, and what the activation was taken of."""
    states: list[np.ndarray] = []
    inputs = []
    for part in np.split(x, steps, axis=1):
        z = _moved(part @ kernel, bias)
        if states:
            z = z + states[-1] @ recurrent_kernel
        inputs.append(z)
        states.append(activation_forward(z, activation.name, options=activation.options))
    return states, inputs


def simple_rnn_gradient(
    gradient: np.ndarray,
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: Weight,
    *,
    steps: int,
    activation: ActivationFunction,
    return_sequences: bool,
) -> Gradients:
    """Return the gradients of input, kernel, recurrent kernel and bias.

    References
    ----------
    P. J. Werbos (1990). Backpropagation through time: what it does and how to do it.
    """
    states, inputs = _states(x, kernel, recurrent_kernel, bias, steps, activation)
    parts = np.split(x, steps, axis=1)
    given = [np.zeros_like(states[0])] * (steps - 1) + [gradient]
    if return_sequences:
        given = np.split(gradient, steps, axis=1)
    of_kernel, of_recurrent = np.zeros_like(kernel), np.zeros_like(recurrent_kernel)
    of_bias = np.zeros(kernel.shape[1], kernel.dtype)
    of_inputs = [np.empty(0)] * steps
    from_later = np.zeros_like(states[0])
    for t in reversed(range(steps)):
        of_z = activation_backward(
            given[t] + from_later, inputs[t], states[t], activation.name, options=activation.options
        )
        of_kernel += parts[t].T @ of_z
        of_bias += of_z.sum(axis=0)
        if t > 0:
            of_recurrent += states[t - 1].T @ of_z
        of_inputs[t] = of_z @ kernel.T
        from_later = of_z @ recurrent_kernel.T
    return np.concatenate(of_inputs, axis=1), (of_kernel, of_recurrent, of_bias)


def _scaled(x: np.ndarray, scale: Weight) -> np.ndarray:
    return x if scale is None else x * scale


def _moved(x: np.ndarray, offset: Weight) -> np.ndarray:
    return x if offset is None else x + offset


class Kernel(NamedTuple):
    """A layer's two functions; `random` ones also take `seed` and `step`."""

    forward: Callable[..., np.ndarray]
    gradient: Callable[..., Gradients]
    random: bool = False


KERNELS: dict[str, Kernel] = {
    "prelu": Kernel(prelu, prelu_gradient),
    "maxout": Kernel(maxout, maxout_gradient),
    "embedding": Kernel(embedding, embedding_gradient),
    "layer_normalization": Kernel(layer_normalization, layer_normalization_gradient),
    "rms_normalization": Kernel(rms_normalization, rms_normalization_gradient),
    "unit_normalization": Kernel(unit_normalization, unit_normalization_gradient),
    "batch_normalization": Kernel(batch_normalization, batch_normalization_gradient),
    "normalization": Kernel(normalization, normalization_gradient),
    "rescaling": Kernel(rescaling, rescaling_gradient),
    "gaussian_noise": Kernel(gaussian_noise, gaussian_noise_gradient, random=True),
    "gaussian_dropout": Kernel(gaussian_dropout, gaussian_dropout_gradient, random=True),
    "alpha_dropout": Kernel(alpha_dropout, alpha_dropout_gradient, random=True),
    "activity_regularization": Kernel(activity_regularization, activity_regularization_gradient),
    "simple_rnn": Kernel(simple_rnn, simple_rnn_gradient),
}
"""Kernels of `fastnn.program.LayerOp`, by name."""


@ieee_arithmetic()
def layer_forward(kernel: str, x: np.ndarray, *weights: Weight, **options: Any) -> np.ndarray:
    """Return the output of the kernel of this name."""
    return KERNELS[kernel].forward(x, *weights, **options)


@ieee_arithmetic()
def layer_gradient(
    kernel: str, gradient: np.ndarray, x: np.ndarray, *weights: Weight, **options: Any
) -> Gradients:
    """Return the gradients of the input and of the weights."""
    return KERNELS[kernel].gradient(gradient, x, *weights, **options)
