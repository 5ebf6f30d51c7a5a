"""Metrics that count right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number
from fastnn.losses import as_rows
from fastnn.metrics._metric import MeanMetric, per_sample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Accuracy(MeanMetric):
    """Fraction of outputs where `y_pred` equals `y_true`.

    For predictions that are decisions already. The name ``"accuracy"`` in
    `Sequential.compile` stands for the accuracy that goes with the loss, not for this one.

    Parameters
    ----------
    name : str, default "accuracy"

    Examples
    --------
    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    sparse = False
    direction = "up"
    _of_outputs = True

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (y_true == y_pred).mean(axis=1)


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
    _of_outputs = True

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


class TopKCategoricalAccuracy(MeanMetric):
    """Fraction of samples whose largest target is where one of the `k` largest predictions is.

    A prediction is among them if fewer than `k` others are greater: of equal ones all are, and
    NaN is not.

    Parameters
    ----------
    k : int, default 5
    name : str, default "top_k_categorical_accuracy"

    Examples
    --------
    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.3, 0.2, 0.5]])
    0.5
    """

    sparse = False
    direction = "up"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = whole_number(k, "k")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _in_top_k(y_true.argmax(axis=1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """Fraction of samples where the prediction of the right class is one of the `k` largest.

    Of equal predictions all count, as in `TopKCategoricalAccuracy`.

    Parameters
    ----------
    k : int, default 5
    name : str, default "sparse_top_k_categorical_accuracy"

    Examples
    --------
    >>> SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.1, 0.9, 0.8], [0.3, 0.2, 0.5]])
    0.5
    """

    sparse = True
    direction = "up"

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = whole_number(k, "k")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _in_top_k(y_true, y_pred, self.k)


def _in_top_k(labels: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    """Return for each row whether fewer than `k` values are greater than that at the label."""
    at_label = np.take_along_axis(y_pred, labels.reshape(-1, 1).astype(np.intp), axis=1)
    greater = np.count_nonzero(y_pred > at_label, axis=1)
    return (greater < k) & ~np.isnan(at_label[:, 0])


# Functions


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """Return 1 for each output where ``y_pred > threshold`` is what y_true (0 or 1) says, else 0.

    Unlike the other functions it returns a value for each output, as in Keras.
    """
    true, pred, _ = as_rows(y_true, y_pred, sparse=False)
    right = true == (pred > pred.dtype.type(real(threshold, "threshold")))
    return right.astype(pred.dtype).reshape(np.shape(y_pred))


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `CategoricalAccuracy` per sample."""
    return per_sample(CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `SparseCategoricalAccuracy` per sample."""
    return per_sample(SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> np.ndarray:
    """Return the values of `TopKCategoricalAccuracy` per sample, as 0.0 and 1.0."""
    return per_sample(TopKCategoricalAccuracy(k), y_true, y_pred).astype(np.float64)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5
) -> np.ndarray:
    """Return the values of `SparseTopKCategoricalAccuracy` per sample, as 0.0 and 1.0."""
    return per_sample(SparseTopKCategoricalAccuracy(k), y_true, y_pred).astype(np.float64)
