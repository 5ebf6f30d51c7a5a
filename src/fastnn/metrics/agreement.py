"""Metrics made of a confusion matrix: how often each class was taken for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn._registry import real
from fastnn._validation import numeric_array, whole_number
from fastnn.metrics._metric import Metric
from fastnn.metrics._targets import as_classes, as_outputs, check_outputs, count_pairs, ratio
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class ConfusionMatrix(Metric):
    """How often each class, in the rows, was taken for each class, in the columns.

    With one output there are two classes, 0 and 1; with several, a sample's class is where its
    largest output is. Targets may be class numbers or of the shape of the predictions. The result
    is an array of float64: a matrix in logs and history, which progress output leaves out.

    Parameters
    ----------
    name : str, default "confusion_matrix"
    threshold : float, default 0.5
        A single output greater than it stands for class 1.

    Examples
    --------
    >>> ConfusionMatrix()([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    array([[1., 0.],
           [1., 1.]])
    """

    _matrix: np.ndarray

    def __init__(self, name: str = "confusion_matrix", *, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = real(threshold, "threshold")
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights, classes = as_classes(y_true, y_pred, sample_weight, self.threshold)
        if not self._matrix.size:
            self._matrix = np.zeros((classes, classes))
        check_outputs(self.name, len(self._matrix), classes)
        self._matrix += count_pairs(true, pred, weights, classes)

    def result(self) -> float | np.ndarray:
        return self._matrix.copy()

    def reset_state(self) -> None:
        self._matrix = np.zeros((0, 0))


class MatthewsCorrelationCoefficient(ConfusionMatrix):
    """Correlation of true and predicted class: 1 if all are right, 0 as good as chance.

    With two classes

        (tp * tn - fp * fn) / sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),

    with more of them Gorodkin's generalisation; 0 where all samples are of one class, or were all
    taken for one. Classes are found as by `ConfusionMatrix`.

    Parameters
    ----------
    name : str, default "matthews_correlation_coefficient"
    threshold : float, default 0.5
        A single output greater than it stands for class 1.

    References
    ----------
    B. W. Matthews (1975). Comparison of the predicted and observed secondary structure of T4
    phage lysozyme. Biochimica et Biophysica Acta 405(2), 442-451.
    J. Gorodkin (2004). Comparing two K-category assignments by a K-category correlation
    coefficient. Computational Biology and Chemistry 28(5-6), 367-374.

    Examples
    --------
    >>> round(MatthewsCorrelationCoefficient()([1, 1, 1, 0], [0.9, 0.2, 0.8, 0.7]), 6)
    -0.333333
    """

    direction = "up"

    def __init__(
        self, name: str = "matthews_correlation_coefficient", *, threshold: float = 0.5
    ) -> None:
        super().__init__(name, threshold=threshold)

    @ieee_arithmetic()
    def result(self) -> float:
        matrix = ratio(self._matrix, self._matrix.sum())
        actual, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
        together = np.trace(matrix) - actual @ predicted
        # sum(p) - sum(p**2), without the difference of nearly equal numbers.
        alone = (actual @ (1 - actual)) * (predicted @ (1 - predicted))
        return float(ratio(together, np.sqrt(alone)))


class CohensKappa(ConfusionMatrix):
    """Agreement of true and predicted class beyond that by chance: 1 if all are right.

    ``1 - sum(w * observed) / sum(w * expected)``, where `observed` is the confusion matrix,
    `expected` the one of independent classes that are as frequent, and w for classes i and j

        1 where i != j    |i - j| if "linear"    (i - j)**2 if "quadratic";

    0 where true and predicted class are always one and the same. Classes are found as by
    `ConfusionMatrix`.

    Parameters
    ----------
    weights : {None, "linear", "quadratic"}, default None
        How much a confusion counts; other than None for classes that have an order.
    name : str, default "cohens_kappa"
    threshold : float, default 0.5
        A single output greater than it stands for class 1.

    References
    ----------
    J. Cohen (1960). A coefficient of agreement for nominal scales. Educational and Psychological
    Measurement 20(1), 37-46.
    J. Cohen (1968). Weighted kappa. Psychological Bulletin 70(4), 213-220.

    Examples
    --------
    >>> CohensKappa()([0, 0, 1, 1], [0.1, 0.8, 0.7, 0.9])
    0.5
    """

    direction = "up"

    def __init__(
        self,
        weights: str | None = None,
        name: str = "cohens_kappa",
        *,
        threshold: float = 0.5,
    ) -> None:
        if weights not in (None, "linear", "quadratic"):
            raise ValueError(f"weights must be None, 'linear' or 'quadratic', got {weights!r}")
        self.weights = weights
        super().__init__(name, threshold=threshold)

    def result(self) -> float:
        matrix = ratio(self._matrix, self._matrix.sum())
        expected = np.outer(matrix.sum(axis=1), matrix.sum(axis=0))
        number = np.arange(len(matrix))
        apart = np.abs(number[:, np.newaxis] - number)
        costs = {None: apart != 0, "linear": apart, "quadratic": apart**2}[self.weights]
        by_chance = (costs * expected).sum()
        return float(1 - (costs * matrix).sum() / by_chance) if by_chance else 0.0


# Intersection over union


class IoU(Metric):
    """Intersection over union: ``tp / (tp + fp + fn)`` of a class; the mean over some classes.

    Classes that occur neither in targets nor in predictions are left out of the mean; it is 0 if
    none is left. Samples whose true or predicted class is not in [0, num_classes) do not count.

    Parameters
    ----------
    num_classes : int
    target_class_ids : sequence of int
        Numbers of the classes to average over.
    name : str, optional
    ignore_class : int, optional
        Samples of this true class do not count.
    sparse_y_true : bool, default True
        Whether targets are class numbers; one-hot otherwise.
    sparse_y_pred : bool, default True
        Whether predictions are class numbers; otherwise one for each class, of which the largest
        decides, as a network gives them.

    References
    ----------
    P. Jaccard (1912). The distribution of the flora in the alpine zone. New Phytologist 11(2),
    37-50.

    Examples
    --------
    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
    ) -> None:
        super().__init__(name)
        self.num_classes = whole_number(num_classes, "num_classes")
        self.target_class_ids = self._checked_targets(target_class_ids)
        self.ignore_class = None
        if ignore_class is not None:
            self.ignore_class = whole_number(ignore_class, "ignore_class", minimum=-(2**31))
        self.sparse_y_true = bool(sparse_y_true)
        self.sparse_y_pred = bool(sparse_y_pred)
        self.sparse = self.sparse_y_true and not self.sparse_y_pred
        self.reset_state()

    def _checked_targets(self, target_class_ids: Sequence[int]) -> list[int]:
        classes = [whole_number(c, "a target class", minimum=0) for c in target_class_ids]
        if not classes or max(classes) >= self.num_classes:
            raise ValueError(
                f"target_class_ids must be classes from 0 to {self.num_classes - 1}, at least "
                f"one, got {target_class_ids!r}"
            )
        return classes

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true = _class_numbers(y_true, "y_true", self.sparse_y_true)
        pred = _class_numbers(y_pred, "y_pred", self.sparse_y_pred)
        self._count(true, pred, sample_weight)

    def _count(self, true: np.ndarray, pred: np.ndarray, sample_weight: ArrayLike | None) -> None:
        if true.shape != pred.shape:
            raise ValueError(
                f"y_true and y_pred must stand for as many classes, got {true.size} and {pred.size}"
            )
        weights = np.ones(true.shape)
        if sample_weight is not None:
            given = numeric_array(sample_weight, "sample_weight")
            if given.ndim and given.size != true.size:
                raise ValueError(f"sample_weight must have shape {true.shape}, got {given.shape}")
            weights = np.broadcast_to(given.reshape(-1), true.shape).astype(np.float64)
        counted = (true >= 0) & (true < self.num_classes) & (pred >= 0) & (pred < self.num_classes)
        if self.ignore_class is not None:
            counted &= true != self.ignore_class
        self._matrix += count_pairs(
            true[counted], pred[counted], weights[counted], self.num_classes
        )

    def result(self) -> float:
        both = np.diag(self._matrix)
        either = self._matrix.sum(axis=0) + self._matrix.sum(axis=1) - both
        shares = ratio(both, either)[self.target_class_ids]
        return float(ratio(shares.sum(), np.count_nonzero(either[self.target_class_ids])))

    def reset_state(self) -> None:
        self._matrix = np.zeros((self.num_classes, self.num_classes))


def _class_numbers(values: ArrayLike, what: str, sparse: bool) -> np.ndarray:
    """Return class numbers in one row: as they are, or where the largest of the last axis is.

    Values that are far from being class numbers become such that do not count.
    """
    array = numeric_array(values, what)
    if sparse:
        return np.clip(np.nan_to_num(array.reshape(-1), nan=-1), -1, 2**31).astype(np.int64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{what} must have an axis of classes, got shape {array.shape}")
    return array.argmax(axis=-1).reshape(-1)


class BinaryIoU(IoU):
    """Intersection over union of the classes 0 and 1, or one of these, of each output.

    Parameters
    ----------
    target_class_ids : sequence of int, default (0, 1)
        Numbers of the classes to average over.
    threshold : float, default 0.5
        A prediction of at least it stands for class 1.
    name : str, optional

    Examples
    --------
    >>> round(BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 6)
    0.333333
    """

    sparse = False

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name)
        self.sparse = False
        self.threshold = real(threshold, "threshold")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        targets, pred, weights = as_outputs(y_true, y_pred, sample_weight, labels=False)
        true = _class_numbers(targets, "y_true", sparse=True)
        self._count(true, pred.reshape(-1) >= self.threshold, weights)


class MeanIoU(IoU):
    """Mean of intersection over union of all classes; see `IoU`.

    Parameters
    ----------
    num_classes : int
    name : str, optional
    ignore_class : int, optional
        Samples of this true class do not count.
    sparse_y_true : bool, default True
        Whether targets are class numbers; one-hot otherwise.
    sparse_y_pred : bool, default True
        Whether predictions are class numbers; otherwise one for each class, of which the largest
        decides, as a network gives them.

    Examples
    --------
    >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
    ) -> None:
        every = range(whole_number(num_classes, "num_classes"))
        super().__init__(
            num_classes,
            every,
            name,
            ignore_class=ignore_class,
            sparse_y_true=sparse_y_true,
            sparse_y_pred=sparse_y_pred,
        )


class OneHotIoU(IoU):
    """`IoU` with one-hot targets.

    Parameters
    ----------
    num_classes : int
    target_class_ids : sequence of int
        Numbers of the classes to average over.
    name : str, optional
    ignore_class : int, optional
        Samples of this true class do not count.
    sparse_y_pred : bool, default False
        Whether predictions are class numbers; otherwise one for each class, of which the largest
        decides.

    Examples
    --------
    >>> OneHotIoU(num_classes=2, target_class_ids=[1])([[1, 0], [0, 1]], [[0.3, 0.7], [0.2, 0.8]])
    0.5
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            target_class_ids,
            name,
            ignore_class=ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
        )
        self.sparse = False


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` with one-hot targets.

    Parameters
    ----------
    num_classes : int
    name : str, optional
    ignore_class : int, optional
        Samples of this true class do not count.
    sparse_y_pred : bool, default False
        Whether predictions are class numbers; otherwise one for each class, of which the largest
        decides.

    Examples
    --------
    >>> OneHotMeanIoU(num_classes=2)([[1, 0], [0, 1]], [[0.3, 0.7], [0.2, 0.8]])
    0.25
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            name,
            ignore_class=ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
        )
        self.sparse = False
