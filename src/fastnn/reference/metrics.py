"""Metrics: a number for each row, to be averaged over the rows."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_metric
from fastnn.reference._arrays import ieee_arithmetic
from fastnn.reference.losses import loss_forward


@ieee_arithmetic()
def metric_values(
    y_true: np.ndarray, y_pred: np.ndarray, metric: str, *, threshold: float = 0.5
) -> np.ndarray:
    """Return the metric of each row.

    ===========================  ========================================================
    binary_accuracy              share of the columns in which y_true is the prediction: 1
                                 where y_pred > threshold, else 0
    categorical_accuracy         1 if y_true and y_pred are greatest in the same column
    sparse_categorical_accuracy  1 if y_pred is greatest in the column of the label
    mean_squared_error           mean of (y_pred - y_true)^2
    mean_absolute_error          mean of abs(y_pred - y_true)
    ===========================  ========================================================

    Among equals, the first counts as the greatest; NaN is greater than any number.

    Parameters
    ----------
    y_true : ndarray
        Of the shape and dtype of `y_pred`; int32 labels of shape (n,), in [0, k), for
        sparse_categorical_accuracy.
    y_pred : ndarray of float32 or float64, shape (n, k)
    metric : str
        A name of the table.
    threshold : float, default 0.5
        For binary_accuracy; the others do not look at it.

    Returns
    -------
    ndarray of the dtype of `y_pred`, shape (n,)

    Raises
    ------
    TypeError
        If the dtypes are not as above.
    ValueError
        If the shapes do not agree, a label is out of range, or the metric is unknown.

    Examples
    --------
    >>> y_pred = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])
    >>> metric_values(np.array([1, 1], dtype=np.int32), y_pred, "sparse_categorical_accuracy")
    array([1., 0.])
    """
    threshold = check_metric(y_true, y_pred, metric, threshold)
    if metric == "binary_accuracy":
        decided = y_pred > y_pred.dtype.type(threshold)
        return np.mean(y_true == decided, axis=1, dtype=y_pred.dtype)
    if metric == "categorical_accuracy":
        hit = np.argmax(y_true, axis=1) == np.argmax(y_pred, axis=1)
        return hit.astype(y_pred.dtype)
    if metric == "sparse_categorical_accuracy":
        return (y_true == np.argmax(y_pred, axis=1)).astype(y_pred.dtype)
    return loss_forward(y_true, y_pred, metric)
