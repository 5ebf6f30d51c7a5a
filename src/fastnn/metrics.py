"""Metrics: what is counted on the way, over all samples seen since the last reset.

>>> from fastnn import metrics
>>> accuracy = metrics.SparseCategoricalAccuracy()
>>> accuracy.update_state([0, 1], [[0.9, 0.1], [0.8, 0.2]])
>>> accuracy.update_state([1, 1], [[0.3, 0.7], [0.4, 0.6]])
>>> accuracy.result()
0.75
>>> accuracy.reset_state()

Targets and predictions have the shapes that `fastnn.losses` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._naming import automatic_name
from fastnn._registry import Configurable, Registry, real
from fastnn.losses import as_rows, as_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.losses import Loss


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
    sparse: ClassVar[bool | None] = None
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
        """Return the metric over all samples since the last reset: a float in most cases."""
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def reset_state(self) -> None:
        """Forget all samples."""
        raise NotImplementedError(f"{type(self).__name__} must define reset_state")


# Means


class MeanMetric(Metric):
    """Base of the metrics that are a mean of one value for each sample; 0 before the first.

    A subclass names a kernel, or defines `values`.

    Parameters
    ----------
    name : str, optional
        Under which it appears in logs. Default: the class' name in lower case, counted.
    """

    _own_kernel: ClassVar[str | None] = None

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
        true, pred, shape = as_rows(y_true, y_pred, bool(self.sparse))
        values = self.values(true, pred).astype(np.float64, copy=False)
        if sample_weight is None:
            self.accumulate(float(values.sum()), values.size)
        else:
            weights = as_weights(sample_weight, shape).reshape(-1).astype(np.float64)
            self.accumulate(float(values @ weights), float(weights.sum()))

    def accumulate(self, total: float, count: float) -> None:
        self.total += total
        self.count += count

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0


class MeanSquaredError(MeanMetric):
    """Mean over samples and outputs of ``(y_pred - y_true)**2``.

    Parameters
    ----------
    name : str, default "mean_squared_error"

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    kernel = "mean_squared_error"
    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)


class MeanAbsoluteError(MeanMetric):
    """Mean over samples and outputs of ``|y_pred - y_true|``.

    Parameters
    ----------
    name : str, default "mean_absolute_error"

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, -3.0]])
    2.0
    """

    kernel = "mean_absolute_error"
    sparse = False
    direction = "down"

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)


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


class MeanMetricWrapper(Metric):
    """Mean of the values of a function of targets and predictions, written in NumPy.

    Passing the function itself where a metric is wanted comes to the same.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred)`` returns an array, usually with one value for each sample. Training
        calls it with arrays as `fastnn.losses` describes.
    name : str, optional
        Default: the name of the function.

    Examples
    --------
    >>> def bias(y_true, y_pred):
    ...     return (y_pred - y_true).mean(axis=-1)
    >>> MeanMetricWrapper(bias)(np.zeros((2, 1)), np.array([[1.0], [2.0]]))
    1.5
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be a function of y_true and y_pred, got {fn!r}")
        super().__init__(name or getattr(fn, "__name__", type(fn).__name__))
        self.fn = fn
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        values = np.asarray(self.fn(np.asarray(y_true), np.asarray(y_pred)), dtype=np.float64)
        weights = as_weights(1.0 if sample_weight is None else sample_weight, values.shape)
        self.total += float((values * weights).sum())
        self.count += float(weights.sum())

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0


# Binary classification


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
        true, pred, weights = _flat_binary(y_true, y_pred, sample_weight)
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
        true, pred, weights = _flat_binary(y_true, y_pred, sample_weight)
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


def _flat_binary(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets as truth values, predictions and float64 weights, one for each output."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    weights = np.ones(pred.size)
    if sample_weight is not None:
        whole = np.shape(y_pred)
        each_output = np.shape(sample_weight) == whole
        given = as_weights(sample_weight, whole if each_output else shape)
        weights = np.repeat(np.ravel(given), 1 if each_output else pred.shape[1])
    return true.reshape(-1) != 0, pred.reshape(-1), weights.astype(np.float64, copy=False)


# Names

_registry: Registry[Metric] = Registry(
    "metric",
    Metric,
    {
        "binary_accuracy": BinaryAccuracy,
        "categorical_accuracy": CategoricalAccuracy,
        "sparse_categorical_accuracy": SparseCategoricalAccuracy,
        "mean_squared_error": MeanSquaredError,
        "mean_absolute_error": MeanAbsoluteError,
        "auc": AUC,
        "precision": Precision,
        "recall": Recall,
    },
    aliases={
        "mse": "mean_squared_error",
        "MSE": "mean_squared_error",
        "mae": "mean_absolute_error",
        "MAE": "mean_absolute_error",
    },
)


def get(
    identifier: Any,
    loss: Loss | None = None,
    outputs: int | None = None,
) -> Metric:
    """Return the metric that `identifier` stands for.

    The names ``"accuracy"`` and ``"acc"`` stand for the accuracy that goes with the loss and the
    width of the output: sparse categorical where the loss takes class numbers, else binary where
    there is one output, else categorical.

    Parameters
    ----------
    identifier : str, class, Metric, function or dict
        A name such as ``"auc"``, ``"AUC"`` or ``"mse"``, which is also what the metric is called
        then; a function of y_true and y_pred, for `MeanMetricWrapper`; or a dict of the form of
        `serialize`.
    loss : Loss, optional
        What the model is trained with. Given, the metric is checked to take the same targets.
    outputs : int, optional
        Width of the model's output.

    Raises
    ------
    ValueError
        If the name is unknown, the metric does not take the targets of the loss, or "accuracy"
        is asked for without `loss` and `outputs`.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> from fastnn import losses
    >>> get("mae")
    MeanAbsoluteError(name='mae')
    >>> get("accuracy", losses.get("binary_crossentropy"), outputs=1)
    BinaryAccuracy(name='accuracy')
    """
    if identifier in ("accuracy", "acc"):
        return _accuracy(loss, outputs)(identifier)
    metric = _made(identifier)
    if loss is not None and metric.sparse is not None and metric.sparse != loss.sparse:
        wants, has = _TARGETS[metric.sparse], _TARGETS[loss.sparse]
        raise ValueError(
            f"metric '{metric.name}' expects {wants} as targets, but loss '{loss.name}' takes "
            f"{has}; for the accuracy pass metrics=['accuracy']"
        )
    return metric


_TARGETS = {True: "class numbers", False: "targets of the shape of the output"}


def _accuracy(loss: Loss | None, outputs: int | None) -> Callable[[str], Metric]:
    if loss is None or outputs is None:
        raise ValueError(
            "'accuracy' depends on loss and output: name 'binary_accuracy', "
            "'categorical_accuracy' or 'sparse_categorical_accuracy'"
        )
    if loss.sparse:
        return SparseCategoricalAccuracy
    return BinaryAccuracy if outputs == 1 else CategoricalAccuracy


def _made(identifier: Any) -> Metric:
    if isinstance(identifier, str):
        cls: Any = _registry.find(identifier)
        named: Metric = cls(name=identifier)
        return named
    is_function = callable(identifier) and not isinstance(identifier, type | Metric)
    return MeanMetricWrapper(identifier) if is_function else _registry.get(identifier)


def serialize(metric: Metric) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``, without the state."""
    return _registry.serialize(metric)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Metric]] | None = None
) -> Metric:
    """Return a new metric from what `serialize` returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict of str to class, optional
        Classes by name that are not fastnn's own.
    """
    return _registry.deserialize(config, custom_objects)
