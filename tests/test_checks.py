"""Bad arguments of the kernels: the right exception, a message that helps, nothing changed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn import reference

X = np.ones((3, 2))
KERNEL = np.ones((2, 4))
LABELS = np.array([0, 1, 0], np.int32)
READ_ONLY = np.ones((3, 2))
READ_ONLY.flags.writeable = False
SINGLE = np.ones((3, 2), np.float32)

CASES = [
    # Types.
    ("dense_forward", ([[1.0]], KERNEL), {}, TypeError, "x must be a NumPy array, got list"),
    ("dense_forward", (X.astype(int), KERNEL), {}, TypeError, "float32 or float64, got int64"),
    ("dense_forward", (X.astype(">f8"), KERNEL), {}, TypeError, "float32 or float64, got >f8"),
    ("dense_forward", (X + 0j, KERNEL), {}, TypeError, "float32 or float64, got complex128"),
    ("dense_forward", (SINGLE, KERNEL), {}, TypeError, "one float type, got x float32, kernel"),
    ("softmax", (np.array(["a"]),), {}, TypeError, "float32 or float64, got <U1"),
    ("sgd", (X, SINGLE), {"learning_rate": 0.1}, TypeError, "one float type"),
    ("softmax", (X,), {"out": [0.0]}, TypeError, "out must be a NumPy array, got list"),
    ("softmax", (X,), {"out": SINGLE}, TypeError, "out must be of float64"),
    # Shapes.
    ("dense_forward", (X[0], KERNEL), {}, ValueError, "x must have shape (n, inputs), got (2,)"),
    ("dense_forward", (X, X), {}, ValueError, "kernel must have shape (2, units)"),
    ("dense_forward", (X, KERNEL, np.ones(3)), {}, ValueError, "bias must have shape (4,)"),
    ("dense_forward", (X, KERNEL), {"out": X}, ValueError, "shape (3, 4) of the result"),
    ("dense_backward", (X, X, KERNEL), {}, ValueError, "grad must have shape (3, 4)"),
    ("dense_backward", (X @ KERNEL, X, KERNEL), {"y": X}, ValueError, "y must have shape (3, 4)"),
    ("activation_backward", (X, X[:1], X, "relu"), {}, ValueError, "y must have shape (1, 2)"),
    ("activation_backward", (X[:1], X, X, "relu"), {}, ValueError, "grad must have shape (3, 2)"),
    ("softmax", (np.ones(()),), {}, ValueError, "one axis or more"),
    ("softmax", (X,), {"out": READ_ONLY}, ValueError, "writable"),
    # Names.
    ("activation_forward", (X, "rleu"), {}, ValueError, "Did you mean 'relu'"),
    ("activation_forward", (X, "?"), {}, ValueError, "Unknown activation '?'. Known: celu,"),
    ("activation_forward", (X, None), {}, TypeError, "activation must be a name"),
    ("activation_backward", (X, X, X, "step"), {}, ValueError, "fastnn.Perceptron"),
    ("dense_backward", (X @ KERNEL, X, KERNEL), {"out": (X, KERNEL)}, TypeError, "three arrays"),
    ("dense_backward", (X @ KERNEL, X, KERNEL), {"out": (X, X, None)}, ValueError, "(2, 4) of"),
    ("dense_backward", (X @ KERNEL, X, KERNEL), {"out": (X, KERNEL, X)}, ValueError, "give None"),
    ("dense_backward", (X, X, KERNEL, None, "step"), {}, ValueError, "fastnn.Perceptron"),
    ("loss_forward", (X, X, "mean_square_error"), {}, ValueError, "'mean_squared_error'"),
    ("metric_values", (X, X, "acuracy"), {}, ValueError, "Unknown metric"),
    # Alpha.
    ("activation_forward", (X, "tanh"), {"options": {"alpha": 0.1}}, ValueError, "no options"),
    ("activation_forward", (X, "elu"), {"options": {"beta": 0.1}}, ValueError, "takes 'alpha'"),
    ("activation_forward", (X, "elu"), {"options": {"alpha": np.inf}}, ValueError, "alpha must"),
    ("activation_forward", (X, "elu"), {"options": {"alpha": np.nan}}, ValueError, "alpha must"),
    ("activation_forward", (X, "elu"), {"options": {"alpha": "1"}}, TypeError, "be a number"),
    ("activation_forward", (X, "elu"), {"options": 0.1}, TypeError, "map names to numbers"),
    # Dropout.
    ("dropout", (X[0], 0.5, 0, 0), {}, ValueError, "x must have shape (n, width)"),
    ("dropout", (X, 1.0, 0, 0), {}, ValueError, "rate must lie in [0, 1)"),
    ("dropout", (X, np.nan, 0, 0), {}, ValueError, "rate must lie in [0, 1)"),
    ("dropout", (X, 0.5, -1, 0), {}, ValueError, "seed must lie in [0, 2**64)"),
    ("dropout", (X, 0.5, 0, 2**64), {}, ValueError, "step must lie in [0, 2**64)"),
    ("dropout", (X, 0.5, 0.5, 0), {}, TypeError, "seed must be an integer"),
    ("dropout", (X, 0.5, True, 0), {}, TypeError, "seed must be an integer"),
    # Losses and metrics.
    ("loss_forward", (X[:2], X, "hinge"), {}, ValueError, "y_true must have shape (3, 2)"),
    ("loss_forward", (X[0], X[0], "hinge"), {}, ValueError, "y_pred must have shape (n, k)"),
    ("loss_forward", (X[:, :0], X[:, :0], "hinge"), {}, ValueError, "k of at least 1"),
    ("loss_forward", (X, SINGLE, "hinge"), {}, TypeError, "one float type"),
    ("loss_forward", (X, X, "hinge"), {"delta": 2.0}, ValueError, "delta is for 'huber'"),
    ("loss_forward", (X, X, "huber"), {"delta": 0.0}, ValueError, "in (0, inf)"),
    ("loss_forward", (X, X, "huber"), {"from_logits": True}, ValueError, "from_logits is for"),
    (
        "loss_forward",
        (X, X, "binary_crossentropy"),
        {"label_smoothing": 1.5},
        ValueError,
        "label_smoothing must be a finite number in [0, 1], got 1.5",
    ),
    (
        "loss_forward",
        (X, X, "binary_crossentropy"),
        {"from_logits": "yes"},
        TypeError,
        "from_logits must be True or False",
    ),
    ("loss_forward", (X, X, "huber"), {"detla": 2.0}, TypeError, "'detla' is no option of a loss"),
    ("loss_forward", (X, X, "tweedie"), {"power": 2.0}, ValueError, "in (1, 2), got 2.0"),
    ("loss_forward", (X, X, "quantile_loss"), {"quantile": True}, TypeError, "must be a number"),
    ("loss_forward", (X, X, "tweedie"), {"log_link": 1}, TypeError, "log_link must be True or"),
    ("loss_forward", (X, X, "gaussian_nll"), {}, ValueError, "y_true must have shape (3, 1)"),
    (
        "loss_forward",
        (X[:, :1], X[:, :1], "gaussian_nll"),
        {},
        ValueError,
        "loss 'gaussian_nll' needs 2 outputs for each target, got 1 outputs",
    ),
    (
        "loss_forward",
        (LABELS, X, "sparse_categorical_crossentropy"),
        {"label_smoothing": 0.1},
        ValueError,
        "label_smoothing is for",
    ),
    (
        "loss_forward",
        (np.array([0, 2, -1], np.int32), X, "sparse_categorical_crossentropy"),
        {},
        ValueError,
        "got 2 in row 1",
    ),
    (
        "loss_forward",
        (LABELS.astype(np.int64), X, "sparse_categorical_crossentropy"),
        {},
        TypeError,
        "int32 class numbers, got int64",
    ),
    (
        "metric_values",
        (LABELS[:2], X, "sparse_categorical_accuracy"),
        {},
        ValueError,
        "y_true must have shape (3,)",
    ),
    (
        "loss_backward",
        (X, X, "hinge"),
        {"sample_weight": X},
        ValueError,
        "sample_weight must have shape (3,)",
    ),
    # Optimizer steps.
    ("sgd", (X.copy(), X[:1]), {"learning_rate": 0.1}, ValueError, "gradient must have shape"),
    ("sgd", (READ_ONLY, X), {"learning_rate": 0.1}, ValueError, "parameter must be writable"),
    ("sgd", (X.T.copy().T, X), {"learning_rate": 0.1}, ValueError, "C-contiguous"),
    ("sgd", (X, X), {"learning_rate": 0.1}, ValueError, "must not share memory"),
    ("sgd", (X.copy(), X), {"learning_rate": -1}, ValueError, "learning_rate must lie in [0, inf)"),
    ("sgd", (X.copy(), X), {"learning_rate": "a"}, TypeError, "learning_rate must be a number"),
    ("sgd", (X.copy(), X), {"learning_rate": 1, "momentum": 0.9}, ValueError, "velocity must be"),
    (
        "adam",
        (X.copy(), X, X.copy(), X.copy()),
        {"learning_rate": 1, "step": 0},
        ValueError,
        "step must lie in [1, inf)",
    ),
    (
        "adam",
        (X.copy(), X, X.copy(), X.copy()),
        {"learning_rate": 1, "step": 1, "beta_2": 1.0},
        ValueError,
        "beta_2 must lie in [0, 1)",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "options", "error", "message"), CASES)
def test_bad_arguments(function, arguments, options, error, message):
    arrays = [a for a in [*arguments, *options.values()] if isinstance(a, np.ndarray)]
    before = [array.copy() for array in arrays]
    with pytest.raises(error, match=re.escape(message)):
        getattr(reference, function)(*arguments, **options)
    for array, copy in zip(arrays, before, strict=True):
        assert_array_equal(array, copy)
