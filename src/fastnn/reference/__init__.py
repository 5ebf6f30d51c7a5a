"""The kernels in plain NumPy: the specification of `fastnn.kernels`.

The public functions have the same names, arguments, results and errors as those of
`fastnn.kernels`, and say in the plainest code what these compute. Slower, they serve to read, to
test against, and to run a whole model (``engine="reference"``).

Arrays are float32 or float64, one of the two in each call. Overflow gives infinity and undefined
operations give NaN, without a warning.
"""

from __future__ import annotations

from fastnn.reference.activations import (
    activation_backward,
    activation_forward,
    log_softmax,
    softmax,
)
from fastnn.reference.constraints import min_max_norm, non_neg
from fastnn.reference.dense import dense_backward, dense_forward
from fastnn.reference.dropout import dropout
from fastnn.reference.finite import all_finite
from fastnn.reference.losses import loss_backward, loss_forward
from fastnn.reference.metrics import metric_values
from fastnn.reference.optimizers import (
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
from fastnn.reference.regularizers import orthogonal_gradient, orthogonal_penalty
from fastnn.reference.shuffle import permutation

__all__ = [
    "activation_backward",
    "activation_forward",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "all_finite",
    "dense_backward",
    "dense_forward",
    "dropout",
    "ftrl",
    "lion",
    "log_softmax",
    "loss_backward",
    "loss_forward",
    "metric_values",
    "min_max_norm",
    "nadam",
    "non_neg",
    "orthogonal_gradient",
    "orthogonal_penalty",
    "permutation",
    "rmsprop",
    "sgd",
    "softmax",
]
