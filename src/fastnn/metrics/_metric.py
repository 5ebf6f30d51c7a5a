"""What all metrics have in common, and those that are a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._naming import automatic_name
from fastnn._registry import Configurable
from fastnn.losses import as_rows, as_weights
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Metric(Configurable):
    """Base of all metrics; subclass it for one of your own.

    A subclass defines `update_state`, `result` and `reset_state`. Training calls `update_state`
    after each batch with arrays that it reuses, so what is to be kept must be copied.

    Parameters
    ----------
    name : str, optional
        Under which it appears in logs. Default: the class' name in lower case, counted.

    Attributes
    ----------
    kernel : str or None
        Name of the kernel that gives its values; None if `update_state` is to be called.
    sparse : bool or None
        Whether targets are class numbers; None if it takes both forms.
    direction : {"up", "down", None}
        Which way is better, where that is known.
    threshold : float
        Option of the kernels.

    Examples
    --------
    >>> class LargestError(Metric):
    ...     largest = 0.0
    ...
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest = max(self.largest, float(abs(y_pred - y_true).max()))
    ...
    ...     def result(self):
    ...         return self.largest
    ...
    ...     def reset_state(self):
    ...         self.largest = 0.0
    >>> LargestError()(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    0.5
    """

    kernel: ClassVar[str | None] = None
    sparse: bool | None = None
    direction: ClassVar[str | None] = None
    threshold: float = 0.5

    def __init__(self, name: str | None = None) -> None:
        self.name = name or automatic_name(type(self).__name__)

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Add these samples; return the result over all."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array_like
        sample_weight : array_like, optional
            How often each sample counts. Default: once.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_state")

    def accumulate(self, total: float, count: float) -> None:
        """Add `count` samples whose values, from the kernel, have the sum `total`."""
        raise NotImplementedError(f"{type(self).__name__} has no kernel: call update_state")

    def result(self) -> Any:
        """Return the metric over all samples since the last reset.

        A float in most cases, or an array, which later samples must not change.
        """
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def reset_state(self) -> None:
        """Forget all samples."""
        raise NotImplementedError(f"{type(self).__name__} must define reset_state")


class MeanMetric(Metric):
    """Base of the metrics that are a mean of one value for each sample; 0 before the first.

    A subclass names a kernel, or defines `values`.

    Parameters
    ----------
    name : str, optional
        Under which it appears in logs. Default: the class' name in lower case, counted.
    """

    _own_kernel: ClassVar[str | None] = None
    _of_outputs: ClassVar[bool] = False  # each output counts, of whatever sample it is

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_kernel = cls.kernel or cls._own_kernel
        # Whoever writes one of these anew means it to be called; `super()` still has the kernel.
        if vars(cls).keys() & {"values", "update_state"}:
            cls.kernel = None

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return one value for each sample, shape (n,).

        Parameters
        ----------
        y_true : ndarray
            Shape (n, outputs), or int32 of shape (n,) if `sparse`.
        y_pred : ndarray of shape (n, outputs)
        """
        if self._own_kernel is None:
            raise NotImplementedError(f"{type(self).__name__} must define values(y_true, y_pred)")
        from fastnn import kernels

        return kernels.metric_values(y_true, y_pred, self._own_kernel, threshold=self.threshold)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        if np.ndim(y_true) == np.ndim(y_pred) == 1:
            if np.size(y_true) == np.size(y_pred) == 0:
                return
            if sample_weight is not None or self._of_outputs:
                # Each has a weight or a value of its own: these are samples with one output.
                y_pred = np.reshape(y_pred, (-1, 1))
        true, pred, shape = as_rows(y_true, y_pred, bool(self.sparse))
        values = self.values(true, pred).astype(np.float64, copy=False)
        if sample_weight is None:
            self.accumulate(float(values.sum()), values.size)
        else:
            weights = as_weights(sample_weight, shape).reshape(-1).astype(np.float64)
            with ieee_arithmetic():
                self.accumulate(float(values @ weights), float(weights.sum()))

    def accumulate(self, total: float, count: float) -> None:
        self.total += total
        self.count += count

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0


def per_sample(metric: MeanMetric, y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return the values of `metric`: of the shape of `y_pred` without its last axis."""
    true, pred, shape = as_rows(y_true, y_pred, bool(metric.sparse))
    return metric.values(true, pred).reshape(shape)
