"""Metrics of predicted probabilities."""

from __future__ import annotations

import numpy as np

from fastnn import losses
from fastnn._registry import real
from fastnn.losses import kl_divergence, poisson
from fastnn.metrics._metric import MeanMetric


class BinaryCrossentropy(MeanMetric):
    """Mean over samples and outputs of ``-t * log(p) - (1 - t) * log(1 - p)``.

    Predictions are treated as by `fastnn.losses.BinaryCrossentropy`.

    Parameters
    ----------
    name : str, default "binary_crossentropy"
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]; see the loss of that name.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]), 6)
    0.693147
    """

    sparse = False
    direction = "down"

    def __init__(
        self,
        name: str = "binary_crossentropy",
        *,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = real(label_smoothing, "label_smoothing", "[0, 1]")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        options = self.from_logits, self.label_smoothing
        return losses.binary_crossentropy(y_true, y_pred, *options)


class CategoricalCrossentropy(MeanMetric):
    """Mean over samples of ``-sum(t * log(p))`` for one of k classes, with one-hot targets.

    Predictions are treated as by `fastnn.losses.CategoricalCrossentropy`.

    Parameters
    ----------
    name : str, default "categorical_crossentropy"
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]; see the loss of that name.

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.693147
    """

    sparse = False
    direction = "down"

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        *,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = real(label_smoothing, "label_smoothing", "[0, 1]")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        options = self.from_logits, self.label_smoothing
        return losses.categorical_crossentropy(y_true, y_pred, *options)


class SparseCategoricalCrossentropy(MeanMetric):
    """Mean over samples of ``-log(p[t])`` for one of k classes, with class numbers t as targets.

    Predictions are treated as by `fastnn.losses.SparseCategoricalCrossentropy`.

    Parameters
    ----------
    name : str, default "sparse_categorical_crossentropy"
    from_logits : bool, default False
        Whether predictions are logits rather than probabilities.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 6)
    0.693147
    """

    sparse = True
    direction = "down"

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        *,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return losses.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)


class KLDivergence(MeanMetric):
    """Mean over samples of ``sum(y_true * log(y_true / y_pred))``, of values held in [1e-7, 1].

    Parameters
    ----------
    name : str, default "kl_divergence"

    References
    ----------
    S. Kullback and R. A. Leibler (1951). On information and sufficiency. Annals of Mathematical
    Statistics 22(1), 79-86.

    Examples
    --------
    >>> round(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "kl_divergence") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return kl_divergence(y_true, y_pred)


class Poisson(MeanMetric):
    """Mean over samples and outputs of ``y_pred - y_true * log(y_pred + 1e-7)``.

    The negative log-likelihood of counts `y_true` of which `y_pred` are expected, but for a term
    without `y_pred`.

    Parameters
    ----------
    name : str, default "poisson"

    Examples
    --------
    >>> round(Poisson()([[2.0, 0.0]], [[1.0, 1.0]]), 6)
    1.0
    """

    sparse = False
    direction = "down"

    def __init__(self, name: str = "poisson") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return poisson(y_true, y_pred)
