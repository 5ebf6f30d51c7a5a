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

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastnn._registry import Registry
from fastnn.metrics._metric import MeanMetric, Metric
from fastnn.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
)
from fastnn.metrics.confusion import Precision, Recall
from fastnn.metrics.ranking import AUC
from fastnn.metrics.reduction import MeanMetricWrapper
from fastnn.metrics.regression import MeanAbsoluteError, MeanSquaredError

if TYPE_CHECKING:
    from fastnn.losses import Loss

__all__ = [
    "AUC",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "SparseCategoricalAccuracy",
    "deserialize",
    "get",
    "serialize",
]

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
