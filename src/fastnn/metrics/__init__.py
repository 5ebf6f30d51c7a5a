"""Metrics: what is counted on the way, over all samples seen since the last reset.

>>> from fastnn import metrics
>>> accuracy = metrics.SparseCategoricalAccuracy()
>>> accuracy.update_state([0, 1], [[0.9, 0.1], [0.8, 0.2]])
>>> accuracy.update_state([1, 1], [[0.3, 0.7], [0.4, 0.6]])
>>> accuracy.result()
0.75
>>> accuracy.reset_state()

Targets and predictions have the shapes that `fastnn.losses` describes. Metrics that count
decisions take class numbers as well as one-hot targets, so they go with any loss. Sums are kept in
float64.

Names, arguments and results are those of Keras 3, with a few differences: what depends on
thresholds without end (`AUC`, `PrecisionAtRecall` and their like) is exact, by ranking all
predictions, and nothing is added to denominators. In training, metrics are not weighted.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastnn._registry import Registry
from fastnn.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastnn.metrics._metric import MeanMetric, Metric
from fastnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastnn.metrics.agreement import (
    BinaryIoU,
    CohensKappa,
    ConfusionMatrix,
    IoU,
    MatthewsCorrelationCoefficient,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from fastnn.metrics.confusion import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from fastnn.metrics.correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from fastnn.metrics.margins import CategoricalHinge, Hinge, SquaredHinge
from fastnn.metrics.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from fastnn.metrics.ranking import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from fastnn.metrics.reduction import Mean, MeanMetricWrapper, Sum
from fastnn.metrics.regression import (
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)

if TYPE_CHECKING:
    from fastnn.losses import Loss

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CohensKappa",
    "ConcordanceCorrelation",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MatthewsCorrelationCoefficient",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetric",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

_registry: Registry[Metric] = Registry(
    "metric",
    Metric,
    {
        "Accuracy": Accuracy,
        "binary_accuracy": BinaryAccuracy,
        "categorical_accuracy": CategoricalAccuracy,
        "sparse_categorical_accuracy": SparseCategoricalAccuracy,
        "top_k_categorical_accuracy": TopKCategoricalAccuracy,
        "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
        "mean_squared_error": MeanSquaredError,
        "root_mean_squared_error": RootMeanSquaredError,
        "mean_absolute_error": MeanAbsoluteError,
        "mean_absolute_percentage_error": MeanAbsolutePercentageError,
        "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
        "log_cosh_error": LogCoshError,
        "cosine_similarity": CosineSimilarity,
        "r2_score": R2Score,
        "pearson_correlation": PearsonCorrelation,
        "concordance_correlation": ConcordanceCorrelation,
        "binary_crossentropy": BinaryCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "kl_divergence": KLDivergence,
        "poisson": Poisson,
        "hinge": Hinge,
        "squared_hinge": SquaredHinge,
        "categorical_hinge": CategoricalHinge,
        "true_positives": TruePositives,
        "true_negatives": TrueNegatives,
        "false_positives": FalsePositives,
        "false_negatives": FalseNegatives,
        "precision": Precision,
        "recall": Recall,
        "fbeta_score": FBetaScore,
        "f1_score": F1Score,
        "auc": AUC,
        "precision_at_recall": PrecisionAtRecall,
        "recall_at_precision": RecallAtPrecision,
        "sensitivity_at_specificity": SensitivityAtSpecificity,
        "specificity_at_sensitivity": SpecificityAtSensitivity,
        "confusion_matrix": ConfusionMatrix,
        "matthews_correlation_coefficient": MatthewsCorrelationCoefficient,
        "cohens_kappa": CohensKappa,
        "io_u": IoU,
        "binary_io_u": BinaryIoU,
        "mean_io_u": MeanIoU,
        "one_hot_io_u": OneHotIoU,
        "one_hot_mean_io_u": OneHotMeanIoU,
        "mean": Mean,
        "sum": Sum,
    },
    aliases={
        "mse": "mean_squared_error",
        "MSE": "mean_squared_error",
        "rmse": "root_mean_squared_error",
        "RMSE": "root_mean_squared_error",
        "mae": "mean_absolute_error",
        "MAE": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error",
        "MAPE": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error",
        "MSLE": "mean_squared_logarithmic_error",
        "logcosh": "log_cosh_error",
        "log_cosh": "log_cosh_error",
        "bce": "binary_crossentropy",
        "BCE": "binary_crossentropy",
        "kld": "kl_divergence",
        "KLD": "kl_divergence",
        "f_beta_score": "fbeta_score",
        "r2": "r2_score",
        "mcc": "matthews_correlation_coefficient",
    },
)

_OF_FUNCTIONS: dict[str, type[Metric]] = {
    "mean_metric_wrapper": MeanMetricWrapper,
    "MeanMetricWrapper": MeanMetricWrapper,
}
"""Known by name where there is a config; without one the name says too little."""


def get(
    identifier: Any,
    loss: Loss | None = None,
    outputs: int | None = None,
) -> Metric:
    """Return the metric that `identifier` stands for.

    The names ``"accuracy"`` and ``"acc"`` stand for the accuracy that goes with the loss and the
    width of the output: sparse categorical where the loss takes class numbers, else binary where
    there is one output, else categorical. ``"crossentropy"`` and ``"ce"`` stand for the
    cross-entropy that goes with them in the same way.

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
        If it is none of these, or a name alone does not say enough for that metric.

    Examples
    --------
    >>> from fastnn import losses
    >>> get("mae")
    MeanAbsoluteError(name='mae')
    >>> get("accuracy", losses.get("binary_crossentropy"), outputs=1)
    BinaryAccuracy(name='accuracy')
    """
    if isinstance(identifier, str) and identifier in _BY_LOSS:
        return _matching(_BY_LOSS[identifier], identifier, loss, outputs)
    metric = _made(identifier)
    if loss is not None:
        _check_targets(metric, loss)
    return metric


_ACCURACIES = (BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy)
_CROSSENTROPIES = (BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy)
_BY_LOSS: dict[str, tuple[Any, Any, Any]] = {
    "accuracy": _ACCURACIES,
    "acc": _ACCURACIES,
    "crossentropy": _CROSSENTROPIES,
    "ce": _CROSSENTROPIES,
}
"""Names that stand for a binary, a categorical or a sparse categorical metric."""

_TARGETS = {True: "class numbers", False: "targets of the shape of the output"}


def _matching(
    kinds: tuple[Any, Any, Any], name: str, loss: Loss | None, outputs: int | None
) -> Metric:
    """Return the one of a binary, a categorical and a sparse metric that goes with the loss."""
    binary, categorical, sparse = kinds
    if loss is None or outputs is None:
        names = [cls().name for cls in kinds]
        raise ValueError(
            f"'{name}' depends on loss and output: name '{names[0]}', '{names[1]}' or '{names[2]}'"
        )
    if loss.sparse:
        return sparse(name)
    return binary(name) if outputs == 1 else categorical(name)


def _check_targets(metric: Metric, loss: Loss) -> None:
    """Check that the metric takes the targets that the loss takes."""
    if isinstance(metric, Mean | Sum):
        raise ValueError(
            f"metric '{metric.name}' is given values in place of targets and predictions: to take "
            "the mean of a function of these, pass the function"
        )
    if metric.sparse is not None and metric.sparse != loss.sparse:
        wants, has = _TARGETS[metric.sparse], _TARGETS[loss.sparse]
        raise ValueError(
            f"metric '{metric.name}' expects {wants} as targets, but loss '{loss.name}' takes "
            f"{has}; for the accuracy pass metrics=['accuracy']"
        )


def _made(identifier: Any) -> Metric:
    if isinstance(identifier, str):
        cls = _OF_FUNCTIONS.get(identifier) or _registry.find(identifier)
        return _named(cls, identifier)
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    is_function = callable(identifier) and not isinstance(identifier, type | Metric)
    return MeanMetricWrapper(identifier) if is_function else _registry.get(identifier)


def _named(cls: Any, name: str) -> Metric:
    parameters = inspect.signature(cls).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing:
        arguments = ", ".join(f"{argument}=..." for argument in missing)
        raise TypeError(
            f"the name '{name}' says too little: pass fastnn.metrics.{cls.__name__}({arguments})"
        )
    metric: Metric = cls(name=name)
    return metric


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
    return _registry.deserialize(config, {**_OF_FUNCTIONS, **(custom_objects or {})})
