"""The native kernels: each operation on its own, on arrays of float32 or float64.

Every function has a twin of the same name and signature in `fastnn.reference`, which is its
specification and whose docstring it shares. Arrays of any strides and order will do; results are
C-contiguous.
"""

from fastnn import reference
from fastnn.native.kernels import (
    activation_backward,
    activation_forward,
    adadelta,
    adagrad,
    adam,
    adamax,
    all_finite,
    dense_backward,
    dense_forward,
    dropout,
    ftrl,
    lion,
    log_softmax,
    loss_backward,
    loss_forward,
    metric_values,
    min_max_norm,
    nadam,
    non_neg,
    orthogonal_gradient,
    orthogonal_penalty,
    permutation,
    rmsprop,
    sgd,
    softmax,
)

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

for _name in __all__:
    globals()[_name].__doc__ = getattr(reference, _name).__doc__
