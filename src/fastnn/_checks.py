"""Argument checks of the kernels, shared by `fastnn.kernels` and `fastnn.reference`.

Every check returns what the kernel goes on with (or nothing) and raises before anything is
computed: `TypeError` for what is not an array of the right type, `ValueError` for a wrong shape,
an unknown name or a number out of range.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np

from fastnn._registry import real

FLOAT_TYPES = (np.dtype(np.float32), np.dtype(np.float64))

ACTIVATIONS = (
    "linear",
    "step",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "silu",
    "gelu",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "exponential",
    "relu6",
    "hard_tanh",
    "hard_silu",
    "celu",
    "mish",
    "log_sigmoid",
    "squareplus",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "threshold",
    "sparse_plus",
    "sparse_sigmoid",
    "softmax",
    "log_softmax",
    "sparsemax",
    "glu",
)

ACTIVATION_OPTIONS: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "relu": {
        "negative_slope": (0.0, "(-inf, inf)"),
        "max_value": (math.inf, "[0, inf]"),
        "threshold": (0.0, "[0, inf)"),
    },
    "leaky_relu": {"negative_slope": (0.01, "(-inf, inf)")},
    "elu": {"alpha": (1.0, "(-inf, inf)")},
    "celu": {"alpha": (1.0, "(0, inf)")},
    "squareplus": {"b": (4.0, "(0, inf)")},
    "soft_shrink": {"threshold": (0.5, "[0, inf)")},
    "hard_shrink": {"threshold": (0.5, "[0, inf)")},
    "threshold": {"threshold": (0.0, "(-inf, inf)"), "default_value": (0.0, "(-inf, inf)")},
}
"""The options of the activations that take any, each with its default and its interval."""

ROW_ACTIVATIONS = ("softmax", "log_softmax", "sparsemax", "glu")
"""The activations that look at a whole row."""

FLAG = "True or False"
SMOOTH_LOGITS: Mapping[str, str] = {"from_logits": FLAG, "label_smoothing": "[0, 1]"}

LOSS_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "mean_absolute_percentage_error": {},
    "mean_squared_logarithmic_error": {},
    "huber": {"delta": "(0, inf)"},
    "log_cosh": {},
    "quantile_loss": {"quantile": "(0, 1)"},
    "cosine_similarity": {},
    "poisson": {},
    "tweedie": {"power": "(1, 2)", "log_link": FLAG},
    "gaussian_nll": {"full": FLAG},
    "binary_crossentropy": SMOOTH_LOGITS,
    "binary_focal_crossentropy": {
        **SMOOTH_LOGITS,
        "apply_class_balancing": FLAG,
        "alpha": "[0, 1]",
        "gamma": "[0, inf)",
    },
    "categorical_crossentropy": SMOOTH_LOGITS,
    "categorical_focal_crossentropy": {
        **SMOOTH_LOGITS,
        "alpha": "[0, inf)",
        "gamma": "[0, inf)",
    },
    "sparse_categorical_crossentropy": {"from_logits": FLAG},
    "kl_divergence": {},
    "hinge": {},
    "squared_hinge": {},
    "categorical_hinge": {},
    "perceptron_loss": {},
}
"""The losses, each with the options that it takes and where their values have to lie."""

LOSS_DEFAULTS: Mapping[str, float] = {
    "from_logits": False,
    "label_smoothing": 0.0,
    "delta": 1.0,
    "quantile": 0.5,
    "power": 1.5,
    "log_link": False,
    "full": False,
    "apply_class_balancing": False,
    "alpha": 0.25,
    "gamma": 2.0,
}

OUTPUTS_PER_TARGET: Mapping[str, int] = {"gaussian_nll": 2}
"""Losses that take more columns of predictions than of targets, with the ratio."""

METRICS = (
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "mean_squared_error",
    "mean_absolute_error",
)

UPDATES: Mapping[str, tuple[int, int]] = {
    "sgd": (0, 1),
    "rmsprop": (1, 3),
    "adagrad": (1, 1),
    "adam": (2, 3),
    "adadelta": (2, 2),
    "adamax": (2, 2),
    "nadam": (2, 2),
    "ftrl": (2, 2),
    "lion": (1, 1),
}
"""The optimizer steps, each with the least and the largest number of its state arrays."""

UPDATE_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("learning_rate", "momentum", "nesterov", "weight_decay"),
    "rmsprop": ("learning_rate", "rho", "momentum", "epsilon", "weight_decay"),
    "adagrad": ("learning_rate", "epsilon", "weight_decay"),
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon", "step", "weight_decay"),
    "adadelta": ("learning_rate", "rho", "epsilon", "weight_decay"),
    "adamax": ("learning_rate", "beta_1", "beta_2", "epsilon", "step", "weight_decay"),
    "nadam": (
        *("learning_rate", "beta_1", "beta_2", "epsilon", "step"),
        *("momentum_product", "weight_decay"),
    ),
    "ftrl": (
        *("learning_rate", "learning_rate_power", "l1_regularization_strength"),
        *("l2_regularization_strength", "l2_shrinkage_regularization_strength"),
        *("beta", "weight_decay"),
    ),
    "lion": ("learning_rate", "beta_1", "beta_2", "weight_decay"),
}
"""Their keyword arguments, in the order in which native code reads them."""

HYPERPARAMETER_RANGES: Mapping[str, tuple[float, float, bool]] = {
    "learning_rate": (0.0, math.inf, True),
    "momentum": (0.0, 1.0, False),
    "rho": (0.0, 1.0, False),
    "beta_1": (0.0, 1.0, True),
    "beta_2": (0.0, 1.0, True),
    "epsilon": (0.0, math.inf, True),
    "step": (1.0, math.inf, True),
    "momentum_product": (0.0, 1.0, True),
    "learning_rate_power": (-math.inf, 0.0, False),
    "l1_regularization_strength": (0.0, math.inf, True),
    "l2_regularization_strength": (0.0, math.inf, True),
    "l2_shrinkage_regularization_strength": (0.0, math.inf, True),
    "beta": (0.0, math.inf, True),
    "weight_decay": (0.0, math.inf, True),
}
"""Lowest and highest value, and whether the highest is left out."""

WITH_SPARSE_LABELS = ("sparse_categorical_crossentropy", "sparse_categorical_accuracy")
"""Losses and metrics whose `y_true` holds class numbers."""


# Names and numbers


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Check that `name` is one of the `known` names of that `kind` ("activation", "loss", ...).

    Raises
    ------
    TypeError
        If `name` is not a string.
    ValueError
        If it is unknown; the message gives the near matches.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} must be a name (str), got {type(name).__name__}")
    if name in known:
        return
    import difflib  # for messages only

    near = difflib.get_close_matches(name, known)
    hint = f" Did you mean {_listed(near, 'or')}?" if near else ""
    raise ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(sorted(known))}.")


def check_number(name: str, value: float, low: float, high: float, *, below: bool = False) -> float:
    """Return `value` as a float; check that it lies in [low, high], or [low, high) if `below`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If it lies outside, or is NaN.
    """
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if low <= number < high or (number == high and not below):
        return number
    interval = f"[{low:g}, {high:g}{')' if below else ']'}"
    raise ValueError(f"{name} must lie in {interval}, got {number!r}")


def _check_integer(name: str, value: int, limit: int) -> int:
    """Return `value` as an int; check that it lies in [0, limit)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 0 <= value < limit:
        raise ValueError(f"{name} must lie in [0, 2**{limit.bit_length() - 1}), got {value}")
    return int(value)


# Arrays


def check_float_arrays(
    optional: Mapping[str, np.ndarray | None] = MappingProxyType({}), /, **arrays: np.ndarray
) -> np.dtype:
    """Return the one float type that all `arrays` have, and the `optional` ones that are not None.

    Raises
    ------
    TypeError
        If one is not a NumPy array, not of float32 or float64, or if the types differ.
    """
    given = arrays | {name: array for name, array in optional.items() if array is not None}
    for name, array in given.items():
        if array is None:
            raise TypeError(f"{name} must be a NumPy array, got None")
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{name} must be a NumPy array, got {type(array).__name__}; "
                f"convert it with np.asarray({name}, dtype=np.float32)"
            )
        if array.dtype not in FLOAT_TYPES:
            raise TypeError(
                f"{name} must be of float32 or float64, got {array.dtype}; "
                f"convert it with {name}.astype(np.float32)"
            )
    types = {array.dtype for array in given.values()}
    if len(types) > 1:
        got = ", ".join(f"{name} {array.dtype}" for name, array in given.items())
        raise TypeError(
            f"{_listed(given, 'and')} must have one float type, got {got}; convert with astype"
        )
    return types.pop()


def check_numbers(x: np.ndarray) -> None:
    """Check the one array of a function that takes any shape.

    Raises
    ------
    TypeError
        If it is not an array of a float type.
    """
    check_float_arrays(x=x)


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...], follows: str) -> None:
    """Check that `array` has this `shape`, which `follows` from another argument."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape} to go with {follows}, got {array.shape}")


def check_out(out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Check that a result of this shape and dtype can be written to `out`, if it is given.

    Raises
    ------
    TypeError
        If `out` is not a NumPy array, or has another dtype.
    ValueError
        If it has another shape, or is read-only.
    """
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(
            f"out must be a NumPy array, got {type(out).__name__}; "
            f"make it with np.empty({shape}, np.{dtype})"
        )
    if out.dtype != dtype:
        raise TypeError(
            f"out must be of {dtype} like the input, got {out.dtype}; "
            f"make it with np.empty({shape}, np.{dtype})"
        )
    if out.shape != shape:
        raise ValueError(
            f"out must have the shape {shape} of the result, got {out.shape}; "
            f"make it with np.empty({shape}, np.{dtype})"
        )
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array; pass a copy of it")


# Activations


def check_activation(activation: str, options: Mapping[str, float] | None) -> dict[str, float]:
    """Return the options in force, in the order of `ACTIVATION_OPTIONS`: given ones or defaults.

    Raises
    ------
    TypeError
        If `activation` is not a name, `options` not a mapping or one of them not a number.
    ValueError
        If the name is unknown, the activation does not take one of the options, or it lies
        outside its interval.
    """
    check_name("activation", activation, ACTIVATIONS)
    known = ACTIVATION_OPTIONS.get(activation, {})
    if options is None:
        return {name: default for name, (default, _) in known.items()}
    if not isinstance(options, Mapping):
        raise TypeError(
            f"options must map names to numbers, got {options!r}; write {{'alpha': 0.5}}"
        )
    for name in options:
        if name not in known:
            takes = f"takes {_listed(known, 'and')}" if known else "has no options"
            raise ValueError(f"{activation!r} {takes}, got options={dict(options)!r}")
    return {
        name: real(options[name], name, interval) if name in options else default
        for name, (default, interval) in known.items()
    }


def check_activation_forward(
    x: np.ndarray, activation: str, options: Mapping[str, float] | None, out: np.ndarray | None
) -> dict[str, float]:
    """Check the arguments of `activation_forward`; return the options in force."""
    in_force = check_activation(activation, options)
    dtype = check_float_arrays(x=x)
    check_out(out, activation_shape(activation, x.shape), dtype)
    return in_force


def check_activation_backward(
    grad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    activation: str,
    options: Mapping[str, float] | None,
    out: np.ndarray | None,
) -> dict[str, float]:
    """Check the arguments of `activation_backward`; return the options in force."""
    in_force = check_activation(activation, options)
    _check_differentiable(activation)
    dtype = check_float_arrays(grad=grad, x=x, y=y)
    shape = activation_shape(activation, x.shape)
    check_shape("y", y, shape, f"x of shape {x.shape}")
    check_shape("grad", grad, shape, f"x of shape {x.shape}")
    check_out(out, x.shape, dtype)
    return in_force


def activation_shape(activation: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the result for an `x` of `shape`.

    Raises
    ------
    ValueError
        If the activation works along the last axis and there is none, or halves it and its size
        is odd.
    """
    if activation in ROW_ACTIVATIONS and not shape:
        raise ValueError(f"{activation} needs an array of one axis or more, got shape ()")
    return (*shape[:-1], output_width(activation, shape[-1])) if shape else ()


def output_width(activation: str, inputs: int) -> int:
    """Return how many columns come out where so many go in.

    Raises
    ------
    ValueError
        If it is glu, which makes one of every two, and their number is odd.
    """
    if activation != "glu":
        return inputs
    if inputs % 2:
        raise ValueError(
            f"glu halves the number of columns, which must be even, got {inputs}; "
            f"make it {inputs + 1}"
        )
    return inputs // 2


def _check_differentiable(activation: str) -> None:
    if activation == "step":
        raise ValueError(
            "expected an activation with a gradient, got 'step', which is flat wherever it has "
            "one; train a threshold unit with fastnn.Perceptron, or take 'sigmoid' instead"
        )


# Dense


def check_dense(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    activation: str,
    out: np.ndarray | None,
) -> tuple[int, int]:
    """Check that x (n, inputs), kernel (inputs, units), bias (units,) and out agree.

    Returns
    -------
    tuple of int
        The shape of the result: (n, units), or half as many columns if the activation is glu.

    Raises
    ------
    TypeError
        If they are not arrays of one float type.
    ValueError
        If the shapes do not agree, or `out` is read-only.
    """
    dtype = check_float_arrays({"bias": bias}, x=x, kernel=kernel)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (n, inputs), got {x.shape}; reshape it to two axes")
    n, inputs = x.shape
    if kernel.ndim != 2 or kernel.shape[0] != inputs:
        raise ValueError(
            f"kernel must have shape ({inputs}, units) to go with x of shape {x.shape}, "
            f"got {kernel.shape}"
        )
    units = kernel.shape[1]
    if bias is not None:
        check_shape("bias", bias, (units,), f"kernel of shape {kernel.shape}")
    result = (n, output_width(activation, units))
    check_out(out, result, dtype)
    return result


def check_dense_backward(
    grad: np.ndarray,
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    activation: str,
    options: Mapping[str, float] | None,
    y: np.ndarray | None,
    out: Sequence[np.ndarray | None] | None,
) -> None:
    """Check the arguments of `dense_backward`."""
    check_activation(activation, options)
    _check_differentiable(activation)
    check_float_arrays({"bias": bias, "y": y}, grad=grad, x=x, kernel=kernel)
    result = check_dense(x, kernel, bias, activation, None)
    operands = f"x of shape {x.shape} and kernel of shape {kernel.shape}"
    check_shape("grad", grad, result, operands)
    if y is not None:
        check_shape("y", y, result, operands)
    if out is not None:
        _check_gradients(out, x, kernel, bias)


def _check_gradients(
    out: Sequence[np.ndarray | None], x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None
) -> None:
    if not isinstance(out, tuple | list) or len(out) != 3:
        raise TypeError(
            f"out must be three arrays, for the gradients of x, kernel and bias, got {out!r}"
        )
    for place, like in zip(out, (x, kernel, bias), strict=True):
        if like is not None:
            check_out(place, like.shape, x.dtype)
    if bias is None and out[2] is not None:
        raise ValueError("out has an array for the gradient of bias, but there is none; give None")


# Dropout


def check_dropout(
    x: np.ndarray, rate: float, seed: int, step: int, out: np.ndarray | None
) -> tuple[float, int, int]:
    """Check the arguments of `dropout`; return `rate`, `seed` and `step` as Python numbers.

    Raises
    ------
    TypeError
        If `x` is not a float array, `rate` not a number, `seed` or `step` not an integer.
    ValueError
        If `x` has not two axes, `rate` lies outside [0, 1), or `seed` or `step` outside
        [0, 2**64).
    """
    dtype = check_float_arrays(x=x)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (n, width), got {x.shape}; reshape it to two axes")
    check_out(out, x.shape, dtype)
    return (
        check_number("rate", rate, 0.0, 1.0, below=True),
        _check_integer("seed", seed, 2**64),
        _check_integer("step", step, 2**64),
    )


def check_permutation(n: int, seed: int | np.ndarray) -> tuple[int, np.ndarray]:
    """Check the arguments of `permutation`; return `n` and an array of the seed or seeds.

    Raises
    ------
    TypeError
        If `n` is not an integer, or `seed` neither one nor an array of uint64.
    ValueError
        If `n` lies outside [0, 2**32), `seed` outside [0, 2**64), or an array has not one axis.
    """
    n = _check_integer("n", n, 2**32)
    if not isinstance(seed, np.ndarray):
        return n, np.array(_check_integer("seed", seed, 2**64), np.uint64)
    if seed.dtype != np.uint64:
        raise TypeError(f"seed must be an integer or an array of uint64, got {seed.dtype}")
    if seed.ndim != 1:
        raise ValueError(f"seed must be one integer or have shape (k,), got {seed.shape}")
    return n, np.ascontiguousarray(seed)


# Losses and metrics


def check_loss(
    y_true: np.ndarray, y_pred: np.ndarray, loss: str, given: Mapping[str, float]
) -> dict[str, float]:
    """Check the arguments of `loss_forward`; return the options of the loss, with all defaults.

    Raises
    ------
    TypeError
        If `y_pred` is not a float array, `y_true` not of the same type (int32 for
        sparse_categorical_crossentropy), or an option unknown or of the wrong type.
    ValueError
        If the shapes do not agree, a label is out of range, the loss is unknown, it does not
        take an option that is set, or the option is out of range.
    """
    check_name("loss", loss, LOSS_OPTIONS)
    taken = LOSS_OPTIONS[loss]
    options = {name: LOSS_DEFAULTS[name] for name in taken}
    for name, value in given.items():
        if name in taken:
            options[name] = _option(name, value, taken[name])
        else:
            _check_left_out(loss, name, value)
    _check_targets(y_true, y_pred, loss)
    return options


def _option(name: str, value: float, interval: str) -> float:
    """Return `value`, which has to lie in the interval, or to be a bool."""
    if interval != FLAG:
        return real(value, name, interval)
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _check_left_out(loss: str, name: str, value: float) -> None:
    """Check that an option which the loss does not take is at its default."""
    if name not in LOSS_DEFAULTS:
        known = ", ".join(LOSS_DEFAULTS)
        raise TypeError(f"{name!r} is no option of a loss; known: {known}")
    if value != LOSS_DEFAULTS[name]:
        takers = [known for known, names in LOSS_OPTIONS.items() if name in names]
        raise ValueError(
            f"{name} is for {_listed(takers, 'and')}, got {name}={value!r} for {loss!r}; "
            "leave it out"
        )


def check_loss_backward(
    y_pred: np.ndarray, sample_weight: np.ndarray | None, out: np.ndarray | None
) -> None:
    """Check what `loss_backward` takes besides the arguments that `check_loss` covers."""
    dtype = check_float_arrays({"sample_weight": sample_weight}, y_pred=y_pred)
    if sample_weight is not None:
        follows = f"y_pred of shape {y_pred.shape}"
        check_shape("sample_weight", sample_weight, y_pred.shape[:1], follows)
    check_out(out, y_pred.shape, dtype)


def check_metric(y_true: np.ndarray, y_pred: np.ndarray, metric: str, threshold: float) -> float:
    """Check the arguments of `metric_values`; return `threshold` as a float.

    Raises
    ------
    TypeError
        If `y_pred` is not a float array, or `y_true` not of the same type (int32 for
        sparse_categorical_accuracy).
    ValueError
        If the shapes do not agree, a label is out of range, or the metric is unknown.
    """
    check_name("metric", metric, METRICS)
    _check_targets(y_true, y_pred, metric)
    return check_number("threshold", threshold, -math.inf, math.inf)


def _check_targets(y_true: np.ndarray, y_pred: np.ndarray, user: str) -> None:
    """Check `y_true` against `y_pred` for the loss or metric called `user`."""
    if user not in WITH_SPARSE_LABELS:
        check_float_arrays(y_true=y_true, y_pred=y_pred)
        _check_predictions(y_pred)
        n, columns = y_pred.shape
        width = target_width(user, columns, OUTPUTS_PER_TARGET.get(user, 1))
        check_shape("y_true", y_true, (n, width), f"y_pred of shape {y_pred.shape}")
        return
    check_float_arrays(y_pred=y_pred)
    _check_predictions(y_pred)
    if not isinstance(y_true, np.ndarray) or y_true.dtype != np.int32:
        got = y_true.dtype if isinstance(y_true, np.ndarray) else type(y_true).__name__
        raise TypeError(
            f"y_true of {user} must be an array of int32 class numbers, got {got}; "
            "convert it with np.asarray(y_true, dtype=np.int32)"
        )
    check_shape("y_true", y_true, y_pred.shape[:1], f"y_pred of shape {y_pred.shape}")
    _check_labels(y_true, y_pred.shape[1])


def target_width(loss: str, outputs: int, outputs_per_target: int) -> int:
    """Return how many columns of targets go with so many outputs.

    Raises
    ------
    ValueError
        If `outputs_per_target` is not an int of at least 1, or the number of outputs no multiple
        of it.
    """
    if not isinstance(outputs_per_target, int) or outputs_per_target < 1:
        raise ValueError(
            f"outputs_per_target of loss {loss!r} must be an int of at least 1, got "
            f"{outputs_per_target!r}; correct it in the class"
        )
    if outputs % outputs_per_target:
        raise ValueError(
            f"loss {loss!r} needs {outputs_per_target} outputs for each target, got "
            f"{outputs} outputs; use a multiple of {outputs_per_target}"
        )
    return outputs // outputs_per_target


def _check_predictions(y_pred: np.ndarray) -> None:
    if y_pred.ndim != 2 or y_pred.shape[1] == 0:
        raise ValueError(
            f"y_pred must have shape (n, k) with k of at least 1, got {y_pred.shape}; "
            "reshape it to two axes"
        )


def _check_labels(labels: np.ndarray, classes: int) -> None:
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"labels must lie in [0, {classes}) for {classes} columns of y_pred, "
            f"got {labels[row]} in row {row}; number the classes from 0"
        )


# Optimizer steps


def check_update(
    parameter: np.ndarray,
    gradient: np.ndarray,
    *,
    optional: Mapping[str, np.ndarray | None] | None = None,
    **slots: np.ndarray,
) -> np.dtype:
    """Check the arrays of an optimizer step, which all but `gradient` are changed in place.

    Those that are `optional` may be None.

    Returns
    -------
    dtype
        The float type that they all have.

    Raises
    ------
    TypeError
        If they are not arrays of one float type.
    ValueError
        If the shapes differ, two of them share memory, or one that is to be changed is
        read-only or not C-contiguous.
    """
    given = {"parameter": parameter, "gradient": gradient, **slots}
    optional = optional or {}
    dtype = check_float_arrays(optional, **given)
    given |= {name: array for name, array in optional.items() if array is not None}
    for name, array in given.items():
        check_shape(name, array, parameter.shape, f"parameter of shape {parameter.shape}")
        if name != "gradient":
            _check_changing(name, array)
    for (name, array), (other_name, other) in combinations(given.items(), 2):
        if np.may_share_memory(array, other):
            raise ValueError(
                f"{name} and {other_name} must not share memory, as each step changes one and "
                "then reads the other; pass a copy of one"
            )
    return dtype


def _check_changing(name: str, array: np.ndarray) -> None:
    """Check that a kernel can change `array` in place."""
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be C-contiguous, got strides {array.strides} for shape "
            f"{array.shape}; pass np.ascontiguousarray({name}) and copy the result back"
        )
    if not array.flags.writeable:
        raise ValueError(f"{name} must be writable, got a read-only array; pass a copy of it")


def check_hyperparameters(**values: float) -> list[float]:
    """Return the `values` of an optimizer step as floats, in order, each in its range.

    Raises
    ------
    TypeError
        If one is not a number.
    ValueError
        If one is NaN or outside `HYPERPARAMETER_RANGES`.
    """
    numbers = []
    for name, value in values.items():
        low, high, below = HYPERPARAMETER_RANGES[name]
        numbers.append(check_number(name, value, low, high, below=below))
    return numbers


def check_velocity(velocity: np.ndarray | None, momentum: float) -> None:
    """Check that there is a velocity where `momentum` needs one."""
    if velocity is None and momentum != 0.0:
        raise ValueError(
            f"velocity must be an array when momentum is not 0, got None with momentum={momentum}; "
            "pass np.zeros_like(parameter) before the first step"
        )


# Constraints and penalties


def check_constrained(parameter: np.ndarray) -> None:
    """Check the array that a constraint changes in place.

    Raises
    ------
    TypeError
        If it is not an array of a float type.
    ValueError
        If it has no axis, is read-only or not C-contiguous.
    """
    if parameter is None:
        raise TypeError("parameter must be a NumPy array, got None")
    check_float_arrays(parameter=parameter)
    _check_changing("parameter", parameter)
    if parameter.ndim == 0:
        raise ValueError("parameter must have one axis or more, got a single number")


def check_norm_bounds(min_value: float, max_value: float, rate: float) -> list[float]:
    """Return the numbers of a constraint on norms as floats, each in its range.

    Raises
    ------
    TypeError
        If one is not a number.
    ValueError
        If one is NaN or out of range, or the bounds are in the wrong order.
    """
    low = check_number("min_value", min_value, 0.0, math.inf)
    high = check_number("max_value", max_value, 0.0, math.inf)
    if low > high:
        raise ValueError(f"min_value must not exceed max_value, got {min_value} and {max_value}")
    return [low, high, check_number("rate", rate, 0.0, 1.0)]


def check_orthogonal(w: np.ndarray, factor: float, mode: str) -> float:
    """Check the arguments of the orthogonal penalty; return `factor` as a float.

    Raises
    ------
    TypeError
        If `w` is not an array of a float type, or `factor` no number.
    ValueError
        If `w` does not have two axes, `factor` is out of range or `mode` is unknown.
    """
    check_float_arrays(w=w)
    if w.ndim != 2:
        raise ValueError(
            f"w must have two axes for its rows or columns to be orthogonal, got shape {w.shape}; "
            "choose another regularizer for it"
        )
    check_name("mode", mode, ("rows", "columns"))
    return check_number("factor", factor, 0.0, math.inf, below=True)


# Wording


def _listed(names: Collection[str], conjunction: str) -> str:
    """Return ``'a', 'b' and 'c'``."""
    quoted = [f"'{name}'" for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def user_gradients(result: Any, weights: int) -> list[Any]:
    """Return what a user's `backward` returned as a list: of the input, then of the weights."""
    parts = list(result) if isinstance(result, tuple) else [result]
    if len(parts) != 1 + weights:
        raise ValueError(
            f"backward must return the gradients of the input and of {weights} weights as a "
            f"tuple, got {len(parts)} arrays"
        )
    return parts
