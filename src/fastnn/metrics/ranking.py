"""Metrics that rank all predictions, and keep them for that.

They are exact: every score that was predicted is a threshold of its own, and equal scores are
one. Keras counts at 200 thresholds that are given beforehand, which comes to the same as long as
no two scores lie between two of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number
from fastnn.metrics._metric import Metric
from fastnn.metrics._targets import as_outputs, check_outputs, checked_class, chosen_class, ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Counts = tuple[np.ndarray, np.ndarray]


class _Growing:
    """An array that is added to at its end.

    It doubles when full, so that all in all each value is moved only a few times.
    """

    def __init__(self, dtype: type) -> None:
        self._array: np.ndarray = np.empty(1024, dtype)
        self._size = 0

    def add(self, values: np.ndarray) -> None:
        size = self._size + len(values)
        dtype = np.promote_types(self._array.dtype, values.dtype)
        if size > len(self._array) or dtype != self._array.dtype:
            grown = np.empty(max(size, 2 * len(self._array)), dtype)
            grown[: self._size] = self.filled
            self._array = grown
        self._array[self._size : size] = values
        self._size = size

    @property
    def filled(self) -> np.ndarray:
        """The values so far, as a view."""
        return self._array[: self._size]


class _Ranked(Metric):
    """Keeps all targets, predictions and weights, for thresholds between any two predictions.

    Targets may also be class numbers, which stand for one-hot rows.
    """

    direction = "up"
    _outputs: int
    _true: _Growing
    _pred: _Growing
    _weights: _Growing

    def __init__(self, class_id: int | None, name: str | None) -> None:
        super().__init__(name)
        self.class_id = checked_class(class_id)
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights = as_outputs(y_true, y_pred, sample_weight)
        column = chosen_class(self.class_id, pred.shape[1])
        self._outputs = self._outputs or pred.shape[1]
        check_outputs(self.name, self._outputs, pred.shape[1])
        self._true.add((true[:, column] != 0).reshape(-1))
        self._pred.add(pred[:, column].reshape(-1))
        self._weights.add(weights[:, column].reshape(-1))

    def reset_state(self) -> None:
        self._outputs = 0
        self._true = _Growing(np.bool_)
        self._pred = _Growing(np.float32)
        self._weights = _Growing(np.float64)


def _counts(true: np.ndarray, pred: np.ndarray, weights: np.ndarray) -> Counts:
    """Return the weight of true and of false positives at each threshold, from high to low.

    At the first threshold nothing is predicted as positive, at the last everything.
    """
    order = np.argsort(-pred, kind="stable")
    falling = pred[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    weights, positive = weights[order], true[order]
    hits, alarms = np.cumsum(weights * positive)[ends], np.cumsum(weights * ~positive)[ends]
    return np.append(0.0, hits), np.append(0.0, alarms)


# Areas

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "step", "minoring", "majoring")


class AUC(_Ranked):
    """Area under a curve that a falling threshold draws, exact.

    With ``curve="ROC"``, the receiver operating characteristic, true positive over false positive
    rate, it is the probability that a positive sample, drawn at random, has a greater prediction
    than a negative one, where equal predictions count half:

        sum over positives i and negatives j of (1 if p_i > p_j, 1/2 if p_i == p_j, else 0),
        divided by the number of such pairs; 0 if there are none.

    ``"PR"`` is the curve of precision over recall, ``"PRGAIN"`` that of precision gain over
    recall gain.

    It is computed by ranking all predictions, which are kept for that: 13 bytes for each, 17 if
    they are of float64, and up to twice that as the store grows. Keras approximates the curve by
    200 thresholds. Only the order of the predictions matters, so logits do as well as
    probabilities. With several outputs, each counts as a sample, unless `multi_label` is set.
    Targets of several outputs may also be class numbers.

    Parameters
    ----------
    num_thresholds : int, default 200
        Taken for the sake of Keras' code, and without effect.
    curve : {"ROC", "PR", "PRGAIN"}, default "ROC"
    summation_method : {"interpolation", "step", "minoring", "majoring"}, default "interpolation"
        What the curve is between two thresholds. ``"interpolation"``: for "PR" true and false
        positives grow linearly, which makes the curve a hyperbola (Davis and Goadrich); else it
        is a straight line. ``"step"``: its value at the lower threshold, which with "PR" gives
        the average precision of scikit-learn. ``"minoring"`` and ``"majoring"``: the smaller and
        the greater of its values at the two.
    name : str, optional
    multi_label : bool, default False
        Whether to take the area of each output, and of these the mean.
    num_labels : int, optional
        With `multi_label`: the number of outputs, to be checked.
    label_weights : sequence of float, optional
        Weight of each output: in the mean with `multi_label`, else of all its predictions.
    from_logits : bool, default False
        Whether predictions are logits: without effect, as only their order matters.

    References
    ----------
    J. A. Hanley and B. J. McNeil (1982). The meaning and use of the area under a receiver
    operating characteristic (ROC) curve. Radiology 143(1), 29-36.
    J. Davis and M. Goadrich (2006). The relationship between precision-recall and ROC curves.
    ICML, 233-240.
    P. Flach and M. Kull (2015). Precision-recall-gain curves: PR analysis done right. NIPS 28.

    Examples
    --------
    >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> round(AUC(curve="PR", summation_method="step")([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        *,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        self.num_thresholds = whole_number(num_thresholds, "num_thresholds", minimum=2)
        self.curve = _choice(curve, "curve", CURVES, str.upper)
        self.summation_method = _choice(summation_method, "summation_method", SUMMATIONS, str.lower)
        self.multi_label = bool(multi_label)
        self.num_labels = None if num_labels is None else whole_number(num_labels, "num_labels")
        if self.num_labels and not self.multi_label:
            raise ValueError("num_labels is for multi_label=True: leave it out, or set that")
        self.label_weights = _checked_label_weights(label_weights)
        self.from_logits = bool(from_logits)
        super().__init__(None, name)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        outputs = np.shape(y_pred)[-1] if np.ndim(y_pred) > 1 else 1
        if self.num_labels:
            check_outputs(self.name, self.num_labels, outputs)
        if self.label_weights is not None and len(self.label_weights) != outputs:
            raise ValueError(
                f"label_weights must hold a weight for each output, {outputs}, "
                f"got {len(self.label_weights)}"
            )
        super().update_state(y_true, y_pred, sample_weight)

    def result(self) -> float:
        outputs = max(self._outputs, 1)
        kept = (self._true, self._pred, self._weights)
        true, pred, weights = (part.filled.reshape(-1, outputs) for part in kept)
        if np.isnan(pred).any():
            return float("nan")
        label_weights = np.ones(outputs)
        if self.label_weights is not None and self._outputs:
            label_weights = np.array(self.label_weights)
        if not self.multi_label:
            weights = weights * label_weights
            return self._area(true.reshape(-1), pred.reshape(-1), weights.reshape(-1))
        areas = [self._area(true[:, i], pred[:, i], weights[:, i]) for i in range(outputs)]
        return float(ratio(label_weights @ areas, label_weights.sum()))

    def _area(self, true: np.ndarray, pred: np.ndarray, weights: np.ndarray) -> float:
        if not len(pred):
            return 0.0
        hits, alarms = _counts(true, pred, weights)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _area_of_hyperbolas(hits, alarms)
        if self.curve == "ROC":
            # Counts first and one division at the end: exact for weights that are whole numbers.
            area = self._sum(alarms, hits)
            return float(ratio(area, hits[-1] * alarms[-1]))
        if self.curve == "PR":
            return self._sum(_recall(hits), _precision(hits, alarms))
        return self._sum(*_gains(hits, alarms))

    def _sum(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the area under the points (x, y)."""
        before, after = y[:-1], y[1:]
        heights = {
            "interpolation": (before + after) / 2,
            "step": after,
            "minoring": np.minimum(before, after),
            "majoring": np.maximum(before, after),
        }
        return float(np.diff(x) @ heights[self.summation_method])


def _choice(value: str, what: str, choices: Sequence[str], spelling: Callable[[str], str]) -> str:
    """Return `value` in the `spelling` of the `choices`, of which it has to be one."""
    spelt = spelling(value) if isinstance(value, str) else value
    if spelt not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{what} must be one of {listed}, got {value!r}")
    return spelt


def _checked_label_weights(given: Sequence[float] | None) -> list[float] | None:
    if given is None:
        return None
    return [real(weight, "a label weight", "[0, inf)") for weight in np.ravel(given).tolist()]


def _area_of_hyperbolas(hits: np.ndarray, alarms: np.ndarray) -> float:
    """Return the area under precision over recall, between linear counts of both kinds."""
    predicted = hits + alarms
    slope = ratio(np.diff(hits), np.diff(predicted))
    intercept = hits[:-1] - slope * predicted[:-1]
    growth = ratio(predicted[1:], predicted[:-1])
    growth = np.log(growth, out=np.zeros(len(slope)), where=growth > 0)
    areas = slope * (np.diff(hits) + intercept * growth)
    return float(ratio(areas.sum(), hits[-1]))


def _gains(hits: np.ndarray, alarms: np.ndarray) -> Counts:
    """Return recall gain, held at 0 or above, and precision gain; 0 and 1 without any hit."""
    odds = ratio(hits[-1], alarms[-1])
    recall = 1 - odds * ratio(hits[-1] - hits, hits)
    precision = 1 - odds * ratio(alarms, hits)
    return np.where(hits > 0, np.maximum(recall, 0), 0.0), np.where(hits > 0, precision, 1.0)


# Points of a curve


class _Best(_Ranked):
    """The best of one rate at the thresholds where another is at least a given value."""

    def __init__(self, num_thresholds: int, class_id: int | None, name: str | None) -> None:
        self.num_thresholds = whole_number(num_thresholds, "num_thresholds")
        super().__init__(class_id, name)

    def result(self) -> float:
        pred = self._pred.filled
        if not len(pred):
            return 0.0
        if np.isnan(pred).any():
            return float("nan")
        hits, alarms = _counts(self._true.filled, pred, self._weights.filled)
        given, rate, wanted = self._rates(hits, alarms)
        return float(np.max(rate, where=given >= wanted, initial=0.0))

    def _rates(self, hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the rate that is bounded, the one that is wanted, and the bound."""
        raise NotImplementedError


def _recall(hits: np.ndarray) -> np.ndarray:
    return ratio(hits, hits[-1])


def _precision(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    return ratio(hits, hits + alarms)


def _specificity(alarms: np.ndarray) -> np.ndarray:
    return ratio(alarms[-1] - alarms, alarms[-1])


class PrecisionAtRecall(_Best):
    """Greatest precision of the thresholds whose recall is at least `recall`.

    Precision is tp / (tp + fp), recall tp / (tp + fn).
    The predictions are kept, as by `AUC`, and all thresholds are tried; 0 if none will do.
    Targets of several outputs may also be class numbers.

    Parameters
    ----------
    recall : float
        In [0, 1].
    num_thresholds : int, default 200
        Taken for the sake of Keras' code, and without effect.
    class_id : int, optional
        The output to look at. Default: all, each counted as a sample.
    name : str, optional

    Examples
    --------
    >>> PrecisionAtRecall(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    1.0
    """

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        self.recall = real(recall, "recall", "[0, 1]")
        super().__init__(num_thresholds, class_id, name)

    def _rates(self, hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return _recall(hits), _precision(hits, alarms), self.recall


class RecallAtPrecision(_Best):
    """Greatest recall of the thresholds whose precision is at least `precision`.

    Precision is tp / (tp + fp), recall tp / (tp + fn).
    The predictions are kept, as by `AUC`, and all thresholds are tried; 0 if none will do.
    Targets of several outputs may also be class numbers.

    Parameters
    ----------
    precision : float
        In [0, 1].
    num_thresholds : int, default 200
        Taken for the sake of Keras' code, and without effect.
    class_id : int, optional
        The output to look at. Default: all, each counted as a sample.
    name : str, optional

    Examples
    --------
    >>> RecallAtPrecision(0.8)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        self.precision = real(precision, "precision", "[0, 1]")
        super().__init__(num_thresholds, class_id, name)

    def _rates(self, hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return _precision(hits, alarms), _recall(hits), self.precision


class SensitivityAtSpecificity(_Best):
    """Greatest sensitivity of the thresholds whose specificity is at least `specificity`.

    Sensitivity is tp / (tp + fn), specificity tn / (tn + fp).
    The predictions are kept, as by `AUC`, and all thresholds are tried; 0 if none will do.
    Targets of several outputs may also be class numbers.

    Parameters
    ----------
    specificity : float
        In [0, 1].
    num_thresholds : int, default 200
        Taken for the sake of Keras' code, and without effect.
    class_id : int, optional
        The output to look at. Default: all, each counted as a sample.
    name : str, optional

    Examples
    --------
    >>> SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    1.0
    """

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        self.specificity = real(specificity, "specificity", "[0, 1]")
        super().__init__(num_thresholds, class_id, name)

    def _rates(self, hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return _specificity(alarms), _recall(hits), self.specificity


class SpecificityAtSensitivity(_Best):
    """Greatest specificity of the thresholds whose sensitivity is at least `sensitivity`.

    Sensitivity is tp / (tp + fn), specificity tn / (tn + fp).
    The predictions are kept, as by `AUC`, and all thresholds are tried; 0 if none will do.
    Targets of several outputs may also be class numbers.

    Parameters
    ----------
    sensitivity : float
        In [0, 1].
    num_thresholds : int, default 200
        Taken for the sake of Keras' code, and without effect.
    class_id : int, optional
        The output to look at. Default: all, each counted as a sample.
    name : str, optional

    Examples
    --------
    >>> SpecificityAtSensitivity(0.75)([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        self.sensitivity = real(sensitivity, "sensitivity", "[0, 1]")
        super().__init__(num_thresholds, class_id, name)

    def _rates(self, hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return _recall(hits), _specificity(alarms), self.sensitivity
