"""Metrics that rank all predictions, and keep them for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn.metrics._metric import Metric
from fastnn.metrics._targets import flat_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class AUC(Metric):
    """Area under the receiver operating characteristic (ROC) curve, exact.

    The probability that a positive sample, drawn at random, has a greater prediction than a
    negative one, where equal predictions count half:

        sum over positives i and negatives j of (1 if p_i > p_j, 1/2 if p_i == p_j, else 0),
        divided by the number of such pairs; 0 if there are none.

    It is computed by ranking all predictions, which are kept for that: 17 bytes for each. Keras
    approximates the curve by 200 thresholds. Only the order of the predictions matters, so
    logits do as well as probabilities. With several outputs, each counts as a sample.

    Parameters
    ----------
    name : str, optional

    References
    ----------
    J. A. Hanley and B. J. McNeil (1982). The meaning and use of the area under a receiver
    operating characteristic (ROC) curve. Radiology 143(1), 29-36.

    Examples
    --------
    >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    sparse = False
    direction = "up"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weights = flat_binary(y_true, y_pred, sample_weight)
        self._batches.append((true, pred.astype(np.float64), weights))

    def result(self) -> float:
        if not self._batches:
            return 0.0
        true, pred, weights = (np.concatenate(part) for part in zip(*self._batches, strict=True))
        if np.isnan(pred).any():
            return float("nan")
        _, rank = np.unique(pred, return_inverse=True)
        positive = np.bincount(rank, weights * true)
        negative = np.bincount(rank, weights * ~true)
        below = np.cumsum(negative) - negative
        pairs = positive.sum() * negative.sum()
        return float(positive @ (below + 0.5 * negative) / pairs) if pairs else 0.0

    def reset_state(self) -> None:
        self._batches: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
