"""Metrics of predicted numbers."""

from __future__ import annotations

from fastnn.metrics._metric import MeanMetric


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
