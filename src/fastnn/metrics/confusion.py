"""Metrics made of counts of right and wrong decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn._registry import real
from fastnn.metrics._metric import Metric
from fastnn.metrics._targets import flat_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Thresholded(Metric):
    """Counts of right and wrong decisions, one for each threshold.

    A prediction says yes where it is greater than the threshold. The outputs of a sample are
    counted each for itself (micro-averaging).
    """

    sparse = False
    direction = "up"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        given = 0.5 if thresholds is None else thresholds
        several = given if isinstance(given, Sequence | np.ndarray) else [given]
        self._levels = [real(level, "a threshold") for level in several]
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights = flat_binary(y_true, y_pred, sample_weight)
        positive, negative = weights * true, weights * ~true
        for i, level in enumerate(self._levels):
            says_yes = pred > level
            self.true_positives[i] += positive @ says_yes
            self.false_positives[i] += negative @ says_yes
            self.false_negatives[i] += positive @ ~says_yes

    def reset_state(self) -> None:
        self.true_positives = np.zeros(len(self._levels))
        self.false_positives = np.zeros(len(self._levels))
        self.false_negatives = np.zeros(len(self._levels))

    def _fraction_right(self, wrong: np.ndarray) -> float | np.ndarray:
        """Return true positives / (true positives + wrong), or 0 where that is 0 / 0."""
        total = self.true_positives + wrong
        fraction = np.divide(self.true_positives, total, out=np.zeros_like(total), where=total > 0)
        return float(fraction[0]) if len(fraction) == 1 else fraction


class Precision(_Thresholded):
    """Of what was predicted as positive, the fraction that is; 0 if nothing was.

    ``true positives / (true positives + false positives)``, over all samples and outputs.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> round(Precision()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]), 6)
    0.666667
    """

    def result(self) -> float | np.ndarray:
        return self._fraction_right(self.false_positives)


class Recall(_Thresholded):
    """Of what is positive, the fraction that was predicted so; 0 if nothing is.

    ``true positives / (true positives + false negatives)``, over all samples and outputs.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction greater than it is positive. Default: 0.5. For several there is a result for
        each.
    name : str, optional

    Examples
    --------
    >>> round(Recall()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]), 6)
    0.666667
    """

    def result(self) -> float | np.ndarray:
        return self._fraction_right(self.false_negatives)
