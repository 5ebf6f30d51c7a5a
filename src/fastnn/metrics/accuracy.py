"""Metrics that count right answers."""

from __future__ import annotations

from fastnn._registry import real
from fastnn.metrics._metric import MeanMetric


class BinaryAccuracy(MeanMetric):
    """Fraction of outputs where ``y_pred > threshold`` says what y_true (0 or 1) says.

    Parameters
    ----------
    name : str, default "binary_accuracy"
    threshold : float, default 0.5
        For predictions that are logits, 0 is the one that corresponds to a probability of 0.5.

    Examples
    --------
    >>> BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1.0], [0.0], [0.6]])
    0.75
    """

    kernel = "binary_accuracy"
    sparse = False
    direction = "up"

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = real(threshold, "threshold")


class CategoricalAccuracy(MeanMetric):
    """Fraction of samples whose largest prediction is where the largest target is.

    Of equal values the first counts as the largest.

    Parameters
    ----------
    name : str, default "categorical_accuracy"

    Examples
    --------
    >>> CategoricalAccuracy()([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]])
    0.5
    """

    kernel = "categorical_accuracy"
    sparse = False
    direction = "up"

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


class SparseCategoricalAccuracy(MeanMetric):
    """Fraction of samples whose largest prediction is that of their class number.

    Of equal predictions the first counts as the largest.

    Parameters
    ----------
    name : str, default "sparse_categorical_accuracy"

    Examples
    --------
    >>> SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]])
    0.5
    """

    kernel = "sparse_categorical_accuracy"
    sparse = True
    direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)
