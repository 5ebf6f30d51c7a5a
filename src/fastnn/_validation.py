"""Checks of what users pass in: everything is looked at before anything is changed.

Arrays are converted here, once, to C-contiguous arrays of the model's dtype; one that already
is so is passed on as it is. Every message says what was expected, what came, and what to do.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import FLOAT_TYPES, target_width
from fastnn._registry import real
from fastnn.native.kernels import all_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fastnn.losses import Loss

_INT32 = np.dtype(np.int32)
_PROBABILITIES = (0, 1, "probabilities")
_TARGET_RANGES = {
    "binary_crossentropy": _PROBABILITIES,
    "binary_focal_crossentropy": _PROBABILITIES,
    "categorical_crossentropy": _PROBABILITIES,
    "categorical_focal_crossentropy": _PROBABILITIES,
    "categorical_hinge": _PROBABILITIES,
    "kl_divergence": _PROBABILITIES,
    "poisson": (0, math.inf, "numbers"),
    "tweedie": (0, math.inf, "numbers"),
}
"""Where the targets of a loss have to lie, and what they are called then."""

_NEGLIGIBLE = 2**20
"""Bytes that are not worth asking the system for."""

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


# Numbers


def whole_number(value: Any, what: str, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`.

    Raises
    ------
    TypeError
        If it is no number, or a bool.
    ValueError
        If it is not an integer type, or too small.
    """
    if type(value) is int and value >= minimum:
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real | np.number):
        raise TypeError(f"{what} must be a whole number, got {value!r} ({type(value).__name__})")
    if not isinstance(value, numbers.Integral):
        raise ValueError(f"{what} must be a whole number, got {value!r}: pass an int")
    if value < minimum:
        raise ValueError(f"{what} must be at least {minimum}, got {value}")
    return int(value)


def feature_shape(value: Any, what: str) -> tuple[int, ...]:
    """Return the shape of one sample as a tuple of ints of at least 1."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{what} must be a tuple such as (4,), got {value!r}")
    if not value:
        raise ValueError(f"{what} must have at least one axis, such as (4,), got {value!r}")
    return tuple(whole_number(size, f"a size in {what}") for size in value)


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """Return `dtype` as one of the two that models compute in."""
    try:
        chosen = np.dtype(dtype)
    except TypeError:
        chosen = None
    if dtype is None or chosen not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return chosen


# Arrays


def numeric_array(values: ArrayLike, what: str) -> np.ndarray:
    """Return `values` as an array of real numbers, in whatever dtype it came."""
    if values is None:
        raise ValueError(f"{what} is missing: pass an array")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{what} must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} must hold real numbers, got dtype {array.dtype}: "
            "convert it first, for example with astype('float32')"
        )
    return array


def float_array(values: ArrayLike, dtype: np.dtype, what: str, finite: bool = True) -> np.ndarray:
    """Return `values` as a C-contiguous, aligned array of `dtype`; no copy if it is one.

    Raises
    ------
    ValueError
        If `finite` is asked for and a value is not, in `dtype`.
    """
    array = given = numeric_array(values, what)
    if given.dtype != dtype or not given.flags.c_contiguous or not given.flags.aligned:
        with np.errstate(over="ignore"):
            array = np.require(given, dtype=dtype, requirements=["C", "A"])
    if finite and given.dtype.kind == "f":  # all whole numbers are finite in `dtype`
        _check_finite(array, given, what)
    return array


def _check_finite(array: np.ndarray, given: np.ndarray, what: str) -> None:
    """Raise with the first position of a value that is not finite."""
    if all_finite(array) if array.dtype in FLOAT_TYPES else np.isfinite(array).all():
        return
    position = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
    place = [int(i) for i in position]
    value = given[position]
    if np.isfinite(value):
        raise ValueError(
            f"{what} holds {value} at {place}, too large for {array.dtype}: "
            "scale it, or make the model with dtype='float64'"
        )
    name = "NaN" if np.isnan(value) else ("infinity" if value > 0 else "-infinity")
    raise ValueError(f"{what} contains {name} at {place}; remove or replace such values")


def rows(
    values: ArrayLike,
    shape: tuple[int, ...],
    dtype: np.dtype,
    what: str = "x",
    finite: bool = True,
) -> np.ndarray:
    """Return inputs of shape (n, \\*`shape`) as an array of shape (n, features).

    A 1-D array is taken as n samples where there is one feature. Unless `finite`, NaN and
    infinity are let through.
    """
    given = numeric_array(values, what)
    if given.ndim == 1 and shape == (1,):
        given = given[:, np.newaxis]
    if given.ndim == 0 or given.shape[1:] != shape:
        raise ValueError(_shape_message(given.shape, shape, what))
    array = float_array(given, dtype, what, finite)
    return array.reshape(len(given), math.prod(shape))


def _shape_message(got: tuple[int, ...], shape: tuple[int, ...], what: str) -> str:
    expected = ", ".join(["n", *map(str, shape)])
    message = f"the model expects {what} of shape ({expected}), got {got}"
    if got == shape:
        message += ": for one sample put an axis in front, as x[None] does"
    return message


# Targets


def targets(
    values: ArrayLike,
    count: int,
    outputs: int,
    loss: Loss,
    dtype: np.dtype,
    what: str = "y",
) -> np.ndarray:
    """Return y as `loss` needs it: int32 labels (n,), or (n, width) in `dtype`.

    Parameters
    ----------
    values : array_like
    count : int
        Rows of x.
    outputs : int
        Width of the model's output.
    loss : Loss
    dtype : dtype
    what : str, default "y"
        How messages call it.
    """
    given = numeric_array(values, what)
    if given.ndim == 0 or len(given) != count:
        raise ValueError(
            f"{what} must have as many rows as x ({count}), got an array of shape {given.shape}"
        )
    if loss.sparse:
        return _labels(given, outputs, what)
    return _dense(given, outputs, loss, dtype, what)


def _labels(given: np.ndarray, outputs: int, what: str) -> np.ndarray:
    """Return class numbers 0, 1, ..., outputs - 1 as int32 of shape (n,)."""
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1:
        raise ValueError(
            f"a sparse loss expects {what} of shape (n,) with class numbers, got {given.shape}: "
            "for one-hot rows use loss='categorical_crossentropy'"
        )
    if given.dtype.kind == "f":
        _check_finite(given, given, what)
        if (fractional := given != np.floor(given)).any():
            at = int(np.argmax(fractional))
            raise ValueError(f"{what} must hold whole class numbers, got {given[at]} at [{at}]")
    if given.size:
        _check_range(given, 0, outputs - 1, f"{what} must hold class numbers")
    return np.ascontiguousarray(given, dtype=_INT32)


def _dense(given: np.ndarray, outputs: int, loss: Loss, dtype: np.dtype, what: str) -> np.ndarray:
    """Return targets of shape (n, width), where width is the number of outputs for most losses."""
    width = target_width(loss.name, outputs, loss.outputs_per_target)
    if given.ndim == 1 and width == 1:
        given = given[:, np.newaxis]
    if given.ndim != 2 or given.shape[1] != width:
        message = f"{what} must have shape (n, {width}) for loss '{loss.name}', got {given.shape}"
        wants_one_hot = ("categorical_crossentropy", "categorical_focal_crossentropy")
        if loss.kernel in wants_one_hot and given.size == len(given):
            message += ": for class numbers use loss='sparse_categorical_crossentropy'"
        raise ValueError(message)
    array = float_array(given, dtype, what)
    if loss.kernel in _TARGET_RANGES and array.size:
        low, high, noun = _TARGET_RANGES[loss.kernel]
        _check_range(array, low, high, f"for loss '{loss.name}' {what} must hold {noun}")
    return array


def _check_range(array: np.ndarray, low: float, high: float, demand: str) -> None:
    """Raise, with the first offender, unless all values lie from `low` to `high`."""
    if array.min() >= low and array.max() <= high:
        return
    outside = (array < low) | (array > high)
    position = np.unravel_index(int(np.argmax(outside)), array.shape)
    place = [int(i) for i in position]
    raise ValueError(f"{demand} from {low} to {high}, got {array[position]} at {place}")


# Weights


def sample_weights(
    values: ArrayLike, count: int, dtype: np.dtype, what: str = "sample_weight"
) -> np.ndarray:
    """Return each sample's factor, finite and not negative, shape (n,)."""
    given = numeric_array(values, what)
    if given.shape not in ((count,), (count, 1)):
        raise ValueError(f"{what} must have shape ({count},), got {given.shape}")
    factors = float_array(given.reshape(count), dtype, what)
    if factors.size and factors.min() < 0:
        at = int(np.argmax(factors < 0))
        raise ValueError(f"{what} must not be negative, got {factors[at]} at [{at}]")
    return factors


def class_weights(class_weight: Mapping[int, float], y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the factor of each row's class, shape (n,); classes that are not named weigh 1.

    `y` are checked targets.
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight must be a dict of class number to weight, got "
            f"{type(class_weight).__name__}: for a list w pass dict(enumerate(w))"
        )
    for number, weight in class_weight.items():
        whole_number(number, "a class number in class_weight", minimum=0)
        real(weight, f"class_weight[{number}]", "[0, inf)")
    classes = _classes(y)
    factors = np.ones(len(y), dtype=dtype)
    for number, weight in class_weight.items():
        factors[classes == number] = weight
    return factors


def _classes(y: np.ndarray) -> np.ndarray:
    """Return class numbers: labels, rounded if need be, or the largest entry of a one-hot row."""
    if y.ndim == 1:
        return y
    return np.rint(y[:, 0]).astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)


# Memory


def check_memory(needed: int, what: str) -> None:
    """Raise if `needed` bytes cannot be had, before they are asked for.

    The system hands out memory that it does not have and ends the process once it is used, so
    the failure of an allocation cannot be waited for.

    Raises
    ------
    ValueError
        If no address space could hold it.
    MemoryError
        If the machine, or the limit of its container, has less.
    """
    if needed <= _NEGLIGIBLE:
        return
    if needed > np.iinfo(np.intp).max:
        raise ValueError(
            f"{what} needs {needed} bytes, more than can be addressed: use fewer units"
        )
    available = available_memory()
    if needed > available:
        raise MemoryError(
            f"{what} needs {needed / 2**30:.1f} GiB, but {available / 2**30:.1f} GiB "
            "of memory are available: use fewer units or a smaller batch"
        )


def available_memory() -> int:
    """Return the bytes that this process may still use, as far as the system tells."""
    limits = [_free_memory()]
    for path in _CGROUP_LIMITS:
        try:
            with open(path) as file:
                limits.append(int(file.read()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limits)


def _free_memory() -> int:
    """Return ``MemAvailable`` where the system has it (Linux), else all physical memory."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
