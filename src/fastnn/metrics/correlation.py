"""Metrics of how predictions go along with targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.metrics._metric import Metric
from fastnn.metrics._moments import Moments
from fastnn.metrics._targets import as_outputs, check_outputs, ratio
from fastnn.metrics.reduction import Mean
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Correlation(Metric):
    """A correlation of the outputs of a sample, or of the samples of an output; a mean of these."""

    sparse = False
    direction = "up"
    _moments: Moments | None

    def __init__(self, name: str, axis: int) -> None:
        super().__init__(name)
        self.axis = _checked_axis(axis)
        self._mean = Mean()
        self.reset_state()

    @ieee_arithmetic()
    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        if self.axis == -1:
            y_true, y_pred = _one_sample(y_true), _one_sample(y_pred)
        true, pred, weights = as_outputs(y_true, y_pred, sample_weight, labels=False)
        if self.axis == -1:
            values = self._of(_moments_of_rows(true, pred))
            self._mean.update_state(values, weights.mean(axis=1))
            return
        if self._moments is None:
            self._moments = Moments(2, true.shape[1])
        check_outputs(self.name, len(self._moments.count), true.shape[1])
        self._moments.add(np.stack([true, pred]).astype(np.float64), weights)

    @ieee_arithmetic()
    def result(self) -> float:
        if self._moments is not None and self._moments.count.any():
            return float(self._of(self._moments).mean())
        return self._mean.result()

    def reset_state(self) -> None:
        self._moments = None
        self._mean.reset_state()

    @staticmethod
    def _of(moments: Moments) -> np.ndarray:
        """Return the correlation of the two variables of `moments`, in each column."""
        raise NotImplementedError


def _checked_axis(axis: Any) -> int:
    if axis not in (-1, 0, 1):
        raise ValueError(f"axis must be -1, over the outputs, or 0, over the samples, got {axis!r}")
    return 0 if axis == 0 else -1


def _moments_of_rows(true: np.ndarray, pred: np.ndarray) -> Moments:
    """Return the moments of each row of targets and predictions."""
    moments = Moments(2, len(true))
    moments.add(np.stack([true.T, pred.T]).astype(np.float64), np.ones(true.T.shape))
    return moments


class PearsonCorrelation(_Correlation):
    """Correlation of targets and predictions: their covariance by their standard deviations.

    NaN where one of the two does not vary, and 0 before the first sample.

    Parameters
    ----------
    name : str, default "pearson_correlation"
    axis : {-1, 0}, default -1
        -1 correlates the outputs of each sample, and takes the mean over the samples; 0 correlates
        all samples in each output, and takes the mean over the outputs. (With 0, Keras takes the
        mean of the correlations of the batches.)

    Examples
    --------
    >>> round(PearsonCorrelation()([[0, 1, 0.5], [1, 1, 0.2]], [[0.1, 0.9, 0.5], [1, 0.9, 0.2]]), 6)
    0.9967
    """

    def __init__(self, name: str = "pearson_correlation", *, axis: int = -1) -> None:
        super().__init__(name, axis)

    @staticmethod
    def _of(moments: Moments) -> np.ndarray:
        (true, together), (_, pred) = moments.products
        return together / (np.sqrt(true) * np.sqrt(pred))


class ConcordanceCorrelation(_Correlation):
    """How near predictions lie to targets, as the two vary together: 1 if they are the same.

    ``2 * cov / (var_true + var_pred + (mean_true - mean_pred)**2)``, and 0 where that is 0 / 0.
    (Keras adds 1e-7 to the denominator.)

    Parameters
    ----------
    name : str, default "concordance_correlation"
    axis : {-1, 0}, default -1
        -1 takes the outputs of each sample, and the mean over the samples; 0 takes all samples in
        each output, and the mean over the outputs.

    References
    ----------
    L. I-K. Lin (1989). A concordance correlation coefficient to evaluate reproducibility.
    Biometrics 45(1), 255-268.

    Examples
    --------
    >>> ConcordanceCorrelation()([[1.0, 2.0, 3.0]], [[2.0, 3.0, 4.0]])
    0.5714285714285714
    """

    def __init__(self, name: str = "concordance_correlation", *, axis: int = -1) -> None:
        super().__init__(name, axis)

    @staticmethod
    def _of(moments: Moments) -> np.ndarray:
        (true, together), (_, pred) = moments.products
        apart = np.square(moments.means[0] - moments.means[1]) * moments.count
        return ratio(2 * together, true + pred + apart)


# Functions


def pearson_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> np.ndarray:
    """Return the values of `PearsonCorrelation`, for each sample or with ``axis=0`` each output."""
    return _values(PearsonCorrelation, y_true, y_pred, axis)


def concordance_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> np.ndarray:
    """Return the values of `ConcordanceCorrelation`, for each sample or with ``axis=0`` output."""
    return _values(ConcordanceCorrelation, y_true, y_pred, axis)


def _one_sample(y: ArrayLike) -> ArrayLike:
    """Return outputs without an axis of samples as those of one sample."""
    return np.reshape(y, (1, -1)) if np.ndim(y) == 1 else y


@ieee_arithmetic()
def _values(
    kind: type[_Correlation], y_true: ArrayLike, y_pred: ArrayLike, axis: int
) -> np.ndarray:
    if _checked_axis(axis) == -1:
        y_true, y_pred = _one_sample(y_true), _one_sample(y_pred)
    true, pred, _ = as_outputs(y_true, y_pred, None, labels=False)
    if axis == 0:
        true, pred = true.T, pred.T
    return kind._of(_moments_of_rows(true, pred))
