"""Metrics made of counts of right and wrong decisions, output by output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number
from fastnn.metrics._metric import Metric
from fastnn.metrics._targets import (
    as_outputs,
    check_outputs,
    checked_class,
    chosen_class,
    ratio,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Counts(Metric):
    """Counts of right and wrong decisions, one for each threshold.

    A prediction says yes where it is greater than the threshold. The outputs of a sample are
    counted each for itself (micro-averaging). Targets may also be class numbers, which stand for
    one-hot rows.
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        self.top_k = None if top_k is None else whole_number(top_k, "top_k")
        self.class_id = checked_class(class_id)
        self._levels = self._checked_levels(thresholds)
        self.reset_state()

    def _checked_levels(self, thresholds: float | Sequence[float] | None) -> list[float]:
        if thresholds is None:
            return [0.5 if self.top_k is None else -np.inf]
        several = thresholds if isinstance(thresholds, Sequence | np.ndarray) else [thresholds]
        if len(several) == 0:
            raise ValueError("thresholds must hold at least one number, got none")
        return [real(level, "a threshold") for level in several]

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        targets, pred, weights = as_outputs(y_true, y_pred, sample_weight)
        column = chosen_class(self.class_id, pred.shape[1])
        allowed = self._allowed(pred)[:, column].reshape(-1)
        true, pred = targets[:, column].reshape(-1) != 0, pred[:, column].reshape(-1)
        weights = weights[:, column].reshape(-1)
        positive, negative = weights * true, weights * ~true
        for i, level in enumerate(self._levels):
            says_yes = (pred > level) & allowed
            self.true_positives[i] += positive @ says_yes
            self.false_positives[i] += negative @ says_yes
            self.false_negatives[i] += positive @ ~says_yes
            self.true_negatives[i] += negative @ ~says_yes

    def _allowed(self, pred: np.ndarray) -> np.ndarray:
        """Return where a yes may be: everywhere, or at the `top_k` largest of each row."""
        if self.top_k is None:
            return np.ones(pred.shape, dtype=bool)
        if self.top_k > pred.shape[1]:
            raise ValueError(
                f"top_k must be at most the number of outputs, {pred.shape[1]}, got {self.top_k}"
            )
        order = np.argsort(-pred, axis=1, kind="stable")
        largest = np.zeros(pred.shape, dtype=bool)
        np.put_along_axis(largest, order[:, : self.top_k], True, axis=1)
        return largest

    def reset_state(self) -> None:
        self.true_positives = np.zeros(len(self._levels))
        self.false_positives = np.zeros(len(self._levels))
        self.true_negatives = np.zeros(len(self._levels))
        self.false_negatives = np.zeros(len(self._levels))


def _for_each_threshold(values: np.ndarray) -> float | np.ndarray:
    """Return a copy of `values`, or the number where there is one."""
    return float(values[0]) if len(values) == 1 else values.copy()


class TruePositives(_Counts):
    """Number of outputs, weighted, that were predicted as positive and are.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> TruePositives()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
    2.0
    """

    direction = "up"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name=name)

    def result(self) -> float | np.ndarray:
        return _for_each_threshold(self.true_positives)


class TrueNegatives(_Counts):
    """Number of outputs, weighted, that were predicted as negative and are.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> TrueNegatives()([0, 1, 0, 0], [1.0, 0.0, 0.0, 0.0])
    2.0
    """

    direction = "up"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name=name)

    def result(self) -> float | np.ndarray:
        return _for_each_threshold(self.true_negatives)


class FalsePositives(_Counts):
    """Number of outputs, weighted, that were predicted as positive and are not.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> FalsePositives()([0, 1, 0, 0], [1.0, 0.0, 1.0, 0.0])
    2.0
    """

    direction = "down"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name=name)

    def result(self) -> float | np.ndarray:
        return _for_each_threshold(self.false_positives)


class FalseNegatives(_Counts):
    """Number of outputs, weighted, that were predicted as negative and are not.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> FalseNegatives()([0, 1, 1, 1], [1.0, 0.0, 1.0, 0.0])
    2.0
    """

    direction = "down"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name=name)

    def result(self) -> float | np.ndarray:
        return _for_each_threshold(self.false_negatives)


class Precision(_Counts):
    """Of what was predicted as positive, the fraction that is; 0 if nothing was.

    ``true positives / (true positives + false positives)``, over all samples and outputs, or the
    outputs of one class. Targets of several outputs may also be class numbers.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5, or with `top_k` none. For several
        there is a result for each.
    top_k : int, optional
        Only the `top_k` largest predictions of a sample are positive, the first ones of equals.
    class_id : int, optional
        The output to look at. Default: all.
    name : str, optional

    Examples
    --------
    >>> round(Precision()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]), 6)
    0.666667
    """

    direction = "up"

    def result(self) -> float | np.ndarray:
        predicted = self.true_positives + self.false_positives
        return _for_each_threshold(ratio(self.true_positives, predicted))


class Recall(_Counts):
    """Of what is positive, the fraction that was predicted so; 0 if nothing is.

    ``true positives / (true positives + false negatives)``, over all samples and outputs, or the
    outputs of one class. Targets of several outputs may also be class numbers.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5, or with `top_k` none. For several
        there is a result for each.
    top_k : int, optional
        Only the `top_k` largest predictions of a sample are positive, the first ones of equals.
    class_id : int, optional
        The output to look at. Default: all.
    name : str, optional

    Examples
    --------
    >>> round(Recall()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]), 6)
    0.666667
    """

    direction = "up"

    def result(self) -> float | np.ndarray:
        actual = self.true_positives + self.false_negatives
        return _for_each_threshold(ratio(self.true_positives, actual))


# F-scores

AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """Weighted harmonic mean of precision P and recall R, in which R counts `beta` times as much.

    ``(1 + beta**2) * P * R / (beta**2 * P + R)``, and 0 where that is 0 / 0. (Keras adds 1e-7 to
    each denominator.) Targets of several outputs may also be class numbers.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}, default None
        None gives a score for each output, as an array. ``"micro"`` counts all outputs together;
        ``"macro"`` is the mean of the outputs' scores, ``"weighted"`` that weighted by how often
        each is positive.
    beta : float, default 1.0
        Greater than 0.
    threshold : float, optional
        A prediction greater than it is positive. Default: the largest of each sample is, if it is
        not 0.
    name : str, default "fbeta_score"

    References
    ----------
    C. J. van Rijsbergen (1979). Information retrieval, 2nd edition. Butterworths.

    Examples
    --------
    >>> FBetaScore("micro", beta=2.0, threshold=0.5)([[1, 1], [1, 0]], [[0.2, 0.6], [0.9, 0.1]])
    0.7142857142857143
    """

    direction = "up"
    threshold: float | None  # type: ignore[assignment]
    _counts: np.ndarray | None

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
    ) -> None:
        super().__init__(name)
        if average not in AVERAGES:
            raise ValueError(f"average must be one of {AVERAGES}, got {average!r}")
        self.average = average
        self.beta = real(beta, "beta", "(0, inf)")
        self.threshold = None if threshold is None else real(threshold, "threshold")
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights = as_outputs(y_true, y_pred, sample_weight)
        if self._counts is None:
            self._counts = np.zeros((3, pred.shape[1]))
        check_outputs(self.name, self._counts.shape[1], pred.shape[1])
        says_yes = self._decisions(pred)
        positive = weights * true
        self._counts += [
            (positive * says_yes).sum(axis=0),
            (weights * says_yes).sum(axis=0),
            positive.sum(axis=0),
        ]

    def _decisions(self, pred: np.ndarray) -> np.ndarray:
        if self.threshold is not None:
            return pred > self.threshold
        return (pred >= pred.max(axis=1, keepdims=True)) & (np.abs(pred) > 1e-9)

    def result(self) -> float | np.ndarray:
        counts = np.zeros((3, 0)) if self._counts is None else self._counts
        if self.average == "micro":
            return float(self._score(counts.sum(axis=1)))
        scores = self._score(counts)
        if self.average is None:
            return scores
        weights = counts[2] if self.average == "weighted" else np.ones(len(scores))
        return float(ratio(scores @ weights, weights.sum()))

    def _score(self, counts: np.ndarray) -> np.ndarray:
        """Return the score for counts of right yeses, of all yeses, and of all positives."""
        hits, predicted, actual = counts
        square = self.beta**2
        return ratio((1 + square) * hits, square * actual + predicted)

    def reset_state(self) -> None:
        self._counts = None


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall: ``2 * P * R / (P + R)``, and 0 where that is 0 / 0.

    `FBetaScore` with `beta` = 1.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}, default None
        None gives a score for each output, as an array. ``"micro"`` counts all outputs together;
        ``"macro"`` is the mean of the outputs' scores, ``"weighted"`` that weighted by how often
        each is positive.
    threshold : float, optional
        A prediction greater than it is positive. Default: the largest of each sample is, if it is
        not 0.
    name : str, default "f1_score"

    Examples
    --------
    >>> F1Score(threshold=0.5)([[1, 1], [1, 0], [1, 1]], [[0.2, 0.6], [0.2, 0.8], [0.6, 0.7]])
    array([0.5, 0.8])
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
    ) -> None:
        super().__init__(average, threshold=threshold, name=name)
