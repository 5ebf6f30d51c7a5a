"""Metrics of margins: how far decisions are from being clear."""

from __future__ import annotations

import numpy as np

from fastnn import losses
from fastnn.losses import categorical_hinge, squared_hinge
from fastnn.metrics._metric import MeanMetric


class Hinge(MeanMetric):
    """Mean over samples and outputs of ``max(0, 1 - t * y_pred)``, t = 1 where y_true > 0, else -1.

    Parameters
    ----------
    name : str, default "hinge"

    Examples
    --------
    >>> Hinge()([[1.0], [0.0]], [[0.5], [2.0]])
    1.75
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "hinge") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return losses.hinge(y_true, y_pred)


class SquaredHinge(MeanMetric):
    """Mean over samples and outputs of ``max(0, 1 - t * y_pred)**2``, t = 1 or -1 as in `Hinge`.

    Parameters
    ----------
    name : str, default "squared_hinge"

    Examples
    --------
    >>> SquaredHinge()([[1.0], [0.0]], [[0.5], [2.0]])
    4.625
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "squared_hinge") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return squared_hinge(y_true, y_pred)


class CategoricalHinge(MeanMetric):
    """Mean over samples of ``max(0, 1 + max((1 - t) * y_pred) - sum(t * y_pred))``, t = y_true.

    Targets are one-hot: the margin by which the right output is greater than all others.

    Parameters
    ----------
    name : str, default "categorical_hinge"

    Examples
    --------
    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.25]])
    1.25
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "categorical_hinge") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return categorical_hinge(y_true, y_pred)
