"""Targets and predictions in the forms that metrics count them in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._validation import numeric_array, whole_number
from fastnn.losses import as_rows, as_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def as_outputs(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None,
    labels: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, predictions and float64 weights, one for each output: shape (n, outputs).

    Class numbers, if `labels` allows them, become rows with a 1 at the class; arrays of one axis
    are n samples with one output. Weights are given for each sample or for each output.

    Raises
    ------
    ValueError
        If the shapes do not go together, or a class number is out of range or no whole number.
    """
    true, pred = numeric_array(y_true, "y_true"), numeric_array(y_pred, "y_pred")
    whole = pred.shape
    if pred.ndim == 1:
        pred = pred[:, np.newaxis]
    samples, outputs = pred.shape[:-1], pred.shape[-1:]
    sparse = labels and outputs > (1,) and true.shape in (samples, (*samples, 1))
    true, pred, shape = as_rows(true, pred, sparse)
    if sparse:
        true = np.equal.outer(true, np.arange(pred.shape[1])).astype(pred.dtype)
    if sample_weight is None:
        return true, pred, np.ones(pred.shape)
    each_output = np.shape(sample_weight) == whole
    weights = as_weights(sample_weight, whole if each_output else shape).astype(np.float64)
    weights = weights.reshape(pred.shape if each_output else (-1, 1))
    return true, pred, np.broadcast_to(weights, pred.shape)


def as_classes(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return true and predicted class and float64 weight of each sample, and the classes' number.

    With one output there are two classes, predicted as 1 where it is greater than `threshold`;
    with several, the class is where the largest is.
    """
    true, pred, _ = as_outputs(y_true, y_pred, None)
    weights = np.ones(len(pred))
    if sample_weight is not None:
        shape = np.shape(y_pred)[:-1] if np.ndim(y_pred) > 1 else np.shape(y_pred)
        weights = as_weights(sample_weight, shape).reshape(-1).astype(np.float64)
    if pred.shape[1] == 1:
        return true[:, 0] != 0, pred[:, 0] > threshold, weights, 2
    return true.argmax(axis=1), pred.argmax(axis=1), weights, pred.shape[1]


def count_pairs(
    true: np.ndarray, pred: np.ndarray, weights: np.ndarray, classes: int
) -> np.ndarray:
    """Return the weight of the samples of each true (row) and predicted (column) class."""
    cell = true.astype(np.intp) * classes + pred
    return np.bincount(cell, weights, classes**2).reshape(classes, classes)


def check_outputs(name: str, before: int, now: int) -> None:
    """Check that a metric is given the same number of outputs as before."""
    if before != now:
        raise ValueError(
            f"metric '{name}' has counted {before} outputs or classes so far, got {now}: call "
            "reset_state() in between"
        )


def chosen_class(class_id: Any, outputs: int) -> slice:
    """Return the column of `class_id`, or all columns if it is None."""
    if class_id is None:
        return slice(None)
    if class_id >= outputs:
        raise ValueError(f"class_id must be less than the {outputs} outputs, got {class_id}")
    return slice(class_id, class_id + 1)


def checked_class(class_id: Any) -> int | None:
    """Return `class_id` as an int of at least 0, or None."""
    return None if class_id is None else whole_number(class_id, "class_id", minimum=0)


def ratio(part: Any, whole: Any) -> np.ndarray:
    """Return ``part / whole``, and 0 where `whole` is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)
