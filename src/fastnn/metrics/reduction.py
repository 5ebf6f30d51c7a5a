"""Metrics that sum up values, whatever these are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.losses import as_weights
from fastnn.metrics._metric import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class MeanMetricWrapper(Metric):
    """Mean of the values of a function of targets and predictions, written in NumPy.

    Passing the function itself where a metric is wanted comes to the same.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred)`` returns an array, usually with one value for each sample. Training
        calls it with arrays as `fastnn.losses` describes.
    name : str, optional
        Default: the name of the function.

    Examples
    --------
    >>> def bias(y_true, y_pred):
    ...     return (y_pred - y_true).mean(axis=-1)
    >>> MeanMetricWrapper(bias)(np.zeros((2, 1)), np.array([[1.0], [2.0]]))
    1.5
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be a function of y_true and y_pred, got {fn!r}")
        super().__init__(name or getattr(fn, "__name__", type(fn).__name__))
        self.fn = fn
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        values = np.asarray(self.fn(np.asarray(y_true), np.asarray(y_pred)), dtype=np.float64)
        weights = as_weights(1.0 if sample_weight is None else sample_weight, values.shape)
        self.total += float((values * weights).sum())
        self.count += float(weights.sum())

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0
