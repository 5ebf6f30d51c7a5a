"""Targets and predictions in the forms that metrics count them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn.losses import as_rows, as_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def flat_binary(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets as truth values, predictions and float64 weights, one for each output."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    weights = np.ones(pred.size)
    if sample_weight is not None:
        whole = np.shape(y_pred)
        each_output = np.shape(sample_weight) == whole
        given = as_weights(sample_weight, whole if each_output else shape)
        weights = np.repeat(np.ravel(given), 1 if each_output else pred.shape[1])
    return true.reshape(-1) != 0, pred.reshape(-1), weights.astype(np.float64, copy=False)
