"""Metrics that sum up values, whatever these are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._validation import numeric_array
from fastnn.metrics._metric import Metric
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Sum(Metric):
    """Sum of all values, each times the weight of its sample.

    It is given values in place of targets and predictions, and so is not for
    `Sequential.compile`.

    Parameters
    ----------
    name : str, default "sum"

    Examples
    --------
    >>> total = Sum()
    >>> total.update_state([1.0, 3.0, 5.0])
    >>> total.update_state([7.0], sample_weight=[2.0])
    >>> total.result()
    23.0
    """

    def __init__(self, name: str = "sum") -> None:
        super().__init__(name)
        self.reset_state()

    def __call__(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Add these values; return the result over all."""
        self.update_state(values, sample_weight)
        return self.result()

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add values.

        Parameters
        ----------
        values : array_like
            The first axis runs over the samples.
        sample_weight : array_like, optional
            One factor for all, for each sample, or for each value.
        """
        products, _ = _samplewise(values, sample_weight, np.sum)
        self.total += float(products.sum())

    def result(self) -> float:
        return self.total

    def reset_state(self) -> None:
        self.total = 0.0


class Mean(Metric):
    """Mean of all values, each sample counted as often as its weight says; 0 before the first.

    It is given values in place of targets and predictions, and so is not for
    `Sequential.compile`.

    Parameters
    ----------
    name : str, default "mean"

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.update_state([5.0], sample_weight=[2.0])
    >>> mean.result()
    3.5
    """

    def __init__(self, name: str = "mean") -> None:
        super().__init__(name)
        self.reset_state()

    def __call__(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Add these values; return the result over all."""
        self.update_state(values, sample_weight)
        return self.result()

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add values.

        Parameters
        ----------
        values : array_like
            The first axis runs over the samples; the values of one are averaged.
        sample_weight : array_like, optional
            One factor for all, for each sample, or for each value.
        """
        products, weights = _samplewise(values, sample_weight, np.mean)
        self.total += float(products.sum())
        self.count += float(weights.sum())

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0


class MeanMetricWrapper(Metric):
    """Mean of the values of a function of targets and predictions, written in NumPy.

    Passing the function itself where a metric is wanted comes to the same.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)`` returns an array, usually with one value for each sample;
        several values of a sample are averaged. Training calls it with arrays as `fastnn.losses`
        describes.
    name : str, optional
        Default: the name of the function.
    **kwargs
        For `fn`.

    Examples
    --------
    >>> def bias(y_true, y_pred):
    ...     return (y_pred - y_true).mean(axis=-1)
    >>> MeanMetricWrapper(bias)(np.zeros((2, 1)), np.array([[1.0], [2.0]]))
    1.5
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, **kwargs: Any) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be a function of y_true and y_pred, got {fn!r}")
        super().__init__(name or getattr(fn, "__name__", type(fn).__name__))
        self.fn = fn
        self.kwargs = kwargs
        self._mean = Mean()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        values = self.fn(np.asarray(y_true), np.asarray(y_pred), **self.kwargs)
        self._mean.update_state(values, sample_weight)

    def result(self) -> float:
        return self._mean.result()

    def reset_state(self) -> None:
        self._mean.reset_state()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; a function of `fastnn.metrics` is given by its name."""
        config = {**super().get_config(), **self.kwargs}
        name = getattr(self.fn, "__name__", "")
        return {**config, "fn": name} if _function(name) is self.fn else config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MeanMetricWrapper:
        """Return a new metric, made with the arguments that `get_config` returned."""
        fn = config.get("fn")
        if not isinstance(fn, str):
            return cls(**config)
        if _function(fn) is None:
            raise ValueError(
                f"fastnn.metrics has no function {fn!r}: give 'fn' as the function itself"
            )
        return cls(**{**config, "fn": _function(fn)})


def _function(name: str) -> Callable[..., Any] | None:
    """Return the function of that name in `fastnn.metrics`."""
    from fastnn import metrics

    found = getattr(metrics, name, None) if name in metrics.__all__ else None
    return found if inspect.isfunction(found) else None


def _samplewise(
    values: ArrayLike, sample_weight: ArrayLike | None, reduce: Callable[..., Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each sample its value times its weight, and its weight.

    Where a sample has several values or weights, `reduce` makes one of them.

    Raises
    ------
    ValueError
        If the weights go neither with the values nor with their samples.
    """
    numbers = np.atleast_1d(numeric_array(values, "values")).astype(np.float64)
    if sample_weight is None:
        weights = np.ones(len(numbers))
    else:
        weights = numeric_array(sample_weight, "sample_weight").astype(np.float64)
    if weights.ndim > 1 and weights.shape == (*numbers.shape[: weights.ndim - 1], 1):
        weights = weights[..., 0]
    if weights.ndim == 0:
        weights = np.broadcast_to(weights, len(numbers))
    if weights.shape != numbers.shape[: weights.ndim]:
        raise ValueError(
            f"sample_weight must have the shape of the samples, {numbers.shape[:1]}, or of their "
            f"values, {numbers.shape}, got {weights.shape}"
        )
    numbers = reduce(numbers, axis=tuple(range(weights.ndim, numbers.ndim)))
    rest = tuple(range(1, weights.ndim))
    with ieee_arithmetic():
        return reduce(numbers * weights, axis=rest), reduce(weights, axis=rest)
