"""Metrics of predicted numbers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from fastnn._validation import whole_number
from fastnn.losses import (
    log_cosh,
    mean_absolute_percentage_error,
    mean_squared_logarithmic_error,
)
from fastnn.metrics._metric import MeanMetric, Metric
from fastnn.metrics._moments import Moments
from fastnn.metrics._targets import as_outputs, check_outputs
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class MeanSquaredError(MeanMetric):
    """Mean over samples and outputs of ``(y_pred - y_true)**2``.

    Parameters
    ----------
    name : str, default "mean_squared_error"

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    kernel = "mean_squared_error"
    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean over samples and outputs of ``(y_pred - y_true)**2``.

    Parameters
    ----------
    name : str, default "root_mean_squared_error"

    Examples
    --------
    >>> RootMeanSquaredError()([[0.0, 0.0]], [[1.0, 7.0]])
    5.0
    """

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    @ieee_arithmetic()
    def result(self) -> float:
        return float(np.sqrt(super().result()))


class MeanAbsoluteError(MeanMetric):
    """Mean over samples and outputs of ``|y_pred - y_true|``.

    Parameters
    ----------
    name : str, default "mean_absolute_error"

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, -3.0]])
    2.0
    """

    kernel = "mean_absolute_error"
    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)


class MeanAbsolutePercentageError(MeanMetric):
    """Mean over samples and outputs of ``100 * |y_pred - y_true| / max(|y_true|, 1e-7)``.

    Parameters
    ----------
    name : str, default "mean_absolute_percentage_error"

    Examples
    --------
    >>> MeanAbsolutePercentageError()([[1.0, 2.0]], [[2.0, 1.0]])
    75.0
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_absolute_percentage_error") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return mean_absolute_percentage_error(y_true, y_pred)


class MeanSquaredLogarithmicError(MeanMetric):
    """Mean over samples and outputs of ``(log(1 + y_pred) - log(1 + y_true))**2``.

    Values below 1e-7 count as 1e-7.

    Parameters
    ----------
    name : str, default "mean_squared_logarithmic_error"

    Examples
    --------
    >>> round(MeanSquaredLogarithmicError()([[1.0]], [[3.0]]), 6)
    0.480453
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_squared_logarithmic_error") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return mean_squared_logarithmic_error(y_true, y_pred)


class LogCoshError(MeanMetric):
    """Mean over samples and outputs of ``log(cosh(y_pred - y_true))``.

    About half the squared error where that is small, and the absolute error less log(2) where it
    is large.

    Parameters
    ----------
    name : str, default "logcosh"

    Examples
    --------
    >>> round(LogCoshError()([[0.0, 0.0]], [[1.0, 0.0]]), 6)
    0.21689
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "logcosh") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return log_cosh(y_true, y_pred)


class CosineSimilarity(MeanMetric):
    """Mean over samples of the cosine of the angle between `y_true` and `y_pred`.

    ``sum(y_true * y_pred) / (|y_true| * |y_pred|)`` over the outputs of a sample, with lengths
    below 1e-12 taken as 1e-12: it is 0 where one of the two is 0. (The loss of that name is its
    negative.)

    Parameters
    ----------
    name : str, default "cosine_similarity"

    Examples
    --------
    >>> round(CosineSimilarity()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]), 6)
    0.5
    """

    sparse = False
    direction = "up"

    def __init__(self, name: str = "cosine_similarity") -> None:
        super().__init__(name)

    @ieee_arithmetic()
    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        true, pred = y_true.astype(np.float64), y_pred.astype(np.float64)
        lengths = [np.maximum(np.linalg.norm(rows, axis=1), 1e-12) for rows in (true, pred)]
        return (true * pred).sum(axis=1) / (lengths[0] * lengths[1])


AGGREGATIONS = ("uniform_average", "variance_weighted_average", None)


class R2Score(Metric):
    """Coefficient of determination: the share of the targets' variance that is predicted.

        1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2)

    for each output: 1 if all is right, 0 as good as the mean. It is 0 where targets do not vary,
    and NaN if they do not and all is right, or there are none. The mean is followed as it moves,
    so that one far from 0 does no harm.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        What becomes of the outputs' scores: their mean (the default), their mean weighted by the
        variance of the targets, or an array of all of them.
    num_regressors : int, default 0
        Number p of inputs by which to adjust the score for n samples:
        ``1 - (1 - score) * (n - 1) / (n - p - 1)``. A warning tells where n is too small for that.
        (Keras takes the number of all targets for n, which is the same with one output.)
    name : str, default "r2_score"

    Examples
    --------
    >>> round(R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]), 6)
    0.571429
    """

    sparse = False
    direction = "up"
    _moments: Moments | None

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        super().__init__(name)
        if class_aggregation not in AGGREGATIONS:
            raise ValueError(
                f"class_aggregation must be one of {AGGREGATIONS}, got {class_aggregation!r}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = whole_number(num_regressors, "num_regressors", minimum=0)
        self.reset_state()

    @ieee_arithmetic()
    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights = as_outputs(y_true, y_pred, sample_weight, labels=False)
        if self._moments is None:
            self._moments = Moments(1, true.shape[1])
            self._residual = np.zeros(true.shape[1])
        check_outputs(self.name, len(self._residual), true.shape[1])
        true = true.astype(np.float64)
        self._moments.add(true[np.newaxis], weights)
        self._residual += (weights * np.square(true - pred)).sum(axis=0)
        self.num_samples += len(true)

    @ieee_arithmetic()
    def result(self) -> float | np.ndarray:
        if self._moments is None:
            return float("nan")
        total = self._moments.products[0, 0]
        scores = 1 - self._residual / total
        scores[np.isinf(scores)] = 0.0
        if self.class_aggregation == "uniform_average":
            return float(self._adjusted(scores.mean()))
        if self.class_aggregation == "variance_weighted_average":
            return float(self._adjusted(scores @ total / total.sum()))
        return self._adjusted(scores)

    def _adjusted(self, score: np.ndarray) -> np.ndarray:
        if not self.num_regressors:
            return score
        left = self.num_samples - self.num_regressors - 1
        if left <= 0:
            warnings.warn(
                f"R2Score cannot be adjusted for {self.num_regressors} regressors with "
                f"{self.num_samples} samples: the unadjusted score is given",
                stacklevel=4,
            )
            return score
        return 1 - (1 - score) * (self.num_samples - 1) / left

    def reset_state(self) -> None:
        self.num_samples = 0
        self._moments = None
