"""Metrics against the numbers that Keras 3.15.1 gives for the same data, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import metrics

ROWS = 12
NUMBER = np.arange(1, 3 * ROWS + 1)
SPREAD = np.modf(np.abs(np.sin(12.9898 * NUMBER) * 43758.5453))[0].reshape(ROWS, 3)
DATA = {
    "real": (4 * SPREAD[:, :2] - 2, 4 * SPREAD[:, 1:] - 2.5),
    "positive": (SPREAD[:, :2] + 0.1, SPREAD[:, 1:] + 0.1),
    "logits": ((SPREAD[:, :2] > 0.5) * 1.0, 3 * SPREAD[:, 1:] - 1.5),
    "signs": (2.0 * (SPREAD[:, :2] > 0.5) - 1, 3 * SPREAD[:, 1:] - 1.5),
    # All predictions differ, and lie between two of Keras' thresholds.
    "binary": ((SPREAD[:, :1] > 0.4) * 1.0, (NUMBER[:ROWS, None] * 37 % 101 + 0.5) / 101),
    "binary_2": ((SPREAD[:, :2] > 0.4) * 1.0, (NUMBER[:24].reshape(-1, 2) * 37 % 101 + 0.5) / 101),
    "distributions": (
        SPREAD[::-1] / SPREAD[::-1].sum(axis=1, keepdims=True),
        SPREAD / SPREAD.sum(axis=1, keepdims=True),
    ),
    "one_hot": (
        np.eye(3)[NUMBER[:ROWS] ** 2 % 7 % 3],
        SPREAD / SPREAD.sum(axis=1, keepdims=True),
    ),
    "labels": (NUMBER[:ROWS] ** 2 % 7 % 3, SPREAD / SPREAD.sum(axis=1, keepdims=True)),
    "classes": (NUMBER[:ROWS, None] ** 2 % 7 % 3, NUMBER[:ROWS, None] % 3),
}
WEIGHTS = NUMBER[:ROWS] % 4
"""Targets and predictions."""

# Data, metric, and what Keras makes of them, without weights and with `WEIGHTS`. Predictions of
# "binary" and "binary_2" are told apart by its 200 thresholds, so that its areas are exact too.
KERAS = [
    ("real", metrics.MeanSquaredError(), 2.158249421, 2.195336708),
    ("real", metrics.RootMeanSquaredError(), 1.469098166, 1.481666868),
    ("real", metrics.MeanAbsoluteError(), 1.172759317, 1.212708546),
    ("real", metrics.MeanAbsolutePercentageError(), 464.367507646, 355.945153203),
    ("real", metrics.CosineSimilarity(), -0.039721706, -0.290884383),
    ("real", metrics.LogCoshError(), 0.679742133, 0.714635819),
    ("real", metrics.R2Score(), -0.809095025, -0.916436672),
    (
        "real",
        metrics.R2Score(class_aggregation=None),
        [-0.748562827, -0.869627243],
        [-1.316866411, -0.516007009],
    ),
    (
        "real",
        metrics.R2Score(class_aggregation="variance_weighted_average"),
        -0.783391624,
        -1.066016123,
    ),
    ("binary", metrics.R2Score(num_regressors=3), -1.073844895, -1.432717651),
    ("positive", metrics.MeanSquaredLogarithmicError(), 0.057110327, 0.050635432),
    ("positive", metrics.Poisson(), 0.947020327, 0.969673057),
    ("distributions", metrics.PearsonCorrelation(), -0.137433986, -0.504465931),
    ("one_hot", metrics.ConcordanceCorrelation(), -0.081064898, -0.154167611),
    ("distributions", metrics.KLDivergence(), 0.401800673, 0.269035025),
    ("one_hot", metrics.KLDivergence(), 1.340639087, 1.379017336),
    ("signs", metrics.Hinge(), 0.942595576, 1.098602275),
    ("binary_2", metrics.Hinge(), 0.950495059, 0.950220032),
    ("signs", metrics.SquaredHinge(), 1.323759546, 1.496756771),
    ("binary_2", metrics.SquaredHinge(), 1.231349862, 1.178830506),
    ("one_hot", metrics.CategoricalHinge(), 1.157208412, 1.20753566),
    ("binary_2", metrics.BinaryCrossentropy(), 1.023214894, 1.117497318),
    (
        "logits",
        metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        0.708961705,
        0.76686829,
    ),
    ("one_hot", metrics.CategoricalCrossentropy(), 1.340642042, 1.379020324),
    (
        "distributions",
        metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        1.113429625,
        1.121123188,
    ),
    ("labels", metrics.SparseCategoricalCrossentropy(), 1.340642042, 1.379020324),
    ("labels", metrics.SparseCategoricalCrossentropy(from_logits=True), 1.135203566, 1.165278857),
    ("classes", metrics.Accuracy(), 0.166666667, 0.222222222),
    ("binary_2", metrics.BinaryAccuracy(threshold=0.3), 0.5, 0.5),
    ("one_hot", metrics.CategoricalAccuracy(), 0.166666667, 0.111111111),
    ("labels", metrics.SparseCategoricalAccuracy(), 0.166666667, 0.111111111),
    ("one_hot", metrics.TopKCategoricalAccuracy(k=2), 0.583333333, 0.611111111),
    ("labels", metrics.SparseTopKCategoricalAccuracy(k=2), 0.583333333, 0.611111111),
    ("binary_2", metrics.TruePositives(), 5.0, 6.0),
    ("binary", metrics.TruePositives(thresholds=[0.25, 0.6]), [4.0, 2.0], [4.0, 2.0]),
    ("binary_2", metrics.TrueNegatives(), 4.0, 6.0),
    ("binary", metrics.TrueNegatives(thresholds=[0.25, 0.6]), [1.0, 4.0], [3.0, 6.0]),
    ("binary_2", metrics.FalsePositives(), 6.0, 8.0),
    ("binary", metrics.FalsePositives(thresholds=[0.25, 0.6]), [5.0, 2.0], [6.0, 3.0]),
    ("binary_2", metrics.FalseNegatives(), 9.0, 16.0),
    ("binary", metrics.FalseNegatives(thresholds=[0.25, 0.6]), [2.0, 4.0], [5.0, 7.0]),
    ("binary_2", metrics.Precision(), 0.454545455, 0.428571429),
    ("one_hot", metrics.Precision(top_k=2), 0.291666667, 0.305555556),
    (
        "one_hot",
        metrics.Precision(class_id=1, thresholds=[0.2, 0.4]),
        [0.6, 0.0],
        [0.352941176, 0.0],
    ),
    ("one_hot", metrics.Precision(top_k=2, class_id=2), 0.333333333, 0.444444444),
    ("one_hot", metrics.Precision(top_k=2, thresholds=0.4), 0.166666667, 0.111111111),
    ("binary_2", metrics.Recall(), 0.357142857, 0.272727273),
    ("one_hot", metrics.Recall(top_k=2), 0.583333333, 0.611111111),
    (
        "one_hot",
        metrics.Recall(class_id=1, thresholds=[0.2, 0.4]),
        [0.857142857, 0.0],
        [0.857142857, 0.0],
    ),
    ("one_hot", metrics.Recall(top_k=2, class_id=2), 1.0, 1.0),
    ("one_hot", metrics.Recall(top_k=2, thresholds=0.4), 0.166666667, 0.111111111),
    ("binary", metrics.PrecisionAtRecall(recall=0.6), 0.5, 0.5),
    ("binary_2", metrics.PrecisionAtRecall(recall=0.8, class_id=1), 0.727272727, 0.866666667),
    ("binary", metrics.RecallAtPrecision(precision=0.6), 0.166666667, 0.0),
    ("binary", metrics.RecallAtPrecision(precision=0.99), 0.166666667, 0.0),
    ("binary", metrics.SensitivityAtSpecificity(specificity=0.5), 0.333333333, 0.222222222),
    ("binary_2", metrics.SpecificityAtSensitivity(sensitivity=0.7), 0.3, 0.357142857),
    ("binary", metrics.AUC(curve="ROC"), 0.361111111, 0.296296296),
    ("binary_2", metrics.AUC(curve="ROC", multi_label=True), 0.409722209, 0.497530878),
    ("binary", metrics.AUC(curve="ROC", summation_method="minoring"), 0.361111111, 0.296296296),
    ("binary", metrics.AUC(curve="ROC", summation_method="majoring"), 0.361111111, 0.296296296),
    ("binary", metrics.AUC(curve="PR"), 0.519865479, 0.377093163),
    ("binary_2", metrics.AUC(curve="PR", multi_label=True), 0.558057189, 0.622141123),
    ("binary", metrics.AUC(curve="PR", summation_method="minoring"), 0.315506253, 0.287037037),
    ("binary", metrics.AUC(curve="PR", summation_method="majoring"), 0.553240741, 0.448148148),
    ("binary", metrics.AUC(curve="PRGAIN"), -0.286666667, -0.25),
    ("binary_2", metrics.AUC(curve="PRGAIN", multi_label=True), -0.045416668, 0.096806124),
    ("binary", metrics.AUC(curve="PRGAIN", summation_method="minoring"), -0.448333333, -0.5),
    ("binary", metrics.AUC(curve="PRGAIN", summation_method="majoring"), -0.125, 0.0),
    ("binary_2", metrics.AUC(), 0.435714286, 0.428571429),
    ("binary_2", metrics.AUC(label_weights=[1.0, 3.0]), 0.412962963, 0.491319444),
    (
        "binary_2",
        metrics.AUC(multi_label=True, num_labels=2, label_weights=[1.0, 3.0]),
        0.392361111,
        0.548765432,
    ),
    ("logits", metrics.AUC(from_logits=True), 0.569444444, 0.401234568),
    ("one_hot", metrics.F1Score(average=None), [0.0, 0.0, 0.363636311], [0.0, 0.0, 0.285714233]),
    (
        "binary_2",
        metrics.FBetaScore(average=None, beta=2.0, threshold=0.3),
        [0.606060572, 0.731707287],
        [0.612244867, 0.573770471],
    ),
    ("one_hot", metrics.F1Score(average="micro"), 0.166666612, 0.11111106),
    (
        "binary_2",
        metrics.FBetaScore(average="micro", beta=2.0, threshold=0.3),
        0.675675631,
        0.590909064,
    ),
    ("one_hot", metrics.F1Score(average="macro"), 0.12121211, 0.095238082),
    (
        "binary_2",
        metrics.FBetaScore(average="macro", beta=2.0, threshold=0.3),
        0.66888392,
        0.593007684,
    ),
    ("one_hot", metrics.F1Score(average="weighted"), 0.121212103, 0.126984103),
    (
        "binary_2",
        metrics.FBetaScore(average="weighted", beta=2.0, threshold=0.3),
        0.67785869,
        0.589509994,
    ),
    ("classes", metrics.IoU(num_classes=3, target_class_ids=[0, 2]), 0.071428575, 0.13636364),
    (
        "labels",
        metrics.IoU(num_classes=3, target_class_ids=[0, 2], sparse_y_pred=False, ignore_class=1),
        0.25,
        0.125,
    ),
    ("classes", metrics.MeanIoU(num_classes=4), 0.080952384, 0.118686877),
    ("classes", metrics.MeanIoU(num_classes=2), 0.100000001, 0.071428575),
    ("binary", metrics.BinaryIoU(), 0.26111111, 0.160416663),
    ("binary", metrics.BinaryIoU(target_class_ids=[1], threshold=0.3), 0.363636345, 0.266666651),
    ("one_hot", metrics.OneHotIoU(num_classes=3, target_class_ids=[1]), 0.0, 0.0),
    ("one_hot", metrics.OneHotMeanIoU(num_classes=3), 0.074074075, 0.055555556),
]


def fresh(metric):
    return type(metric).from_config(metric.get_config())


@pytest.mark.parametrize("parts", [1, 3, ROWS])
@pytest.mark.parametrize(
    ("data", "metric", "plain", "weighted"), KERAS, ids=[f"{row[0]}-{row[1]!r}" for row in KERAS]
)
def test_it_says_what_keras_says(data, metric, plain, weighted, parts):
    """Within 2e-6, as Keras adds 1e-7 to some denominators, and sums in float32 at times."""
    y_true, y_pred = DATA[data]
    for weights, expected in [(None, plain), (WEIGHTS, weighted)]:
        streamed = fresh(metric)
        for part in np.array_split(np.arange(ROWS), parts):
            given = None if weights is None else weights[part]
            streamed.update_state(y_true[part], y_pred[part], given)
        assert np.shape(streamed.result()) == np.shape(expected)
        np.testing.assert_allclose(streamed.result(), expected, rtol=2e-6, atol=2e-9)


def test_every_metric_of_keras_is_compared():
    compared = {type(metric) for _, metric, *_ in KERAS}
    others = {
        metrics.ConfusionMatrix,
        metrics.MatthewsCorrelationCoefficient,
        metrics.CohensKappa,
        metrics.Mean,
        metrics.Sum,
    }
    assert set(metrics._registry.entries.values()) - compared == others


# Functions, with the values per sample that Keras returns

Y_TRUE, Y_PRED = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]


@pytest.mark.parametrize(
    ("function", "y_true", "expected"),
    [
        ("mean_squared_error", Y_TRUE, [0.12666667, 0.28666667]),
        ("mean_absolute_error", Y_TRUE, [0.33333333, 0.46666667]),
        ("huber", Y_TRUE, [0.06333333, 0.14333333]),
        ("mean_absolute_percentage_error", Y_TRUE, [166666690.0, 233333350.0]),
        ("mean_squared_logarithmic_error", Y_TRUE, [0.061612345, 0.13852042]),
        ("log_cosh", Y_TRUE, [0.06144112, 0.13413242]),
        ("poisson", Y_TRUE, [0.56438231, 0.73465753]),
        ("kl_divergence", Y_TRUE, [0.69314424, 1.2039699]),
        ("pearson_correlation", Y_TRUE, [0.94491118, -0.11470786]),
        ("concordance_correlation", Y_TRUE, [0.46728963, -0.08403359]),
        ("hinge", Y_TRUE, [1.0, 1.1333334]),
        ("squared_hinge", Y_TRUE, [1.1266668, 1.4200001]),
        ("categorical_hinge", Y_TRUE, [0.8, 1.3]),
        ("binary_crossentropy", Y_TRUE, [0.42432189, 0.74187469]),
        ("categorical_crossentropy", Y_TRUE, [0.69314718, 1.2039728]),
        ("sparse_categorical_crossentropy", [0, 2], [0.69314718, 1.2039728]),
        ("binary_accuracy", Y_TRUE, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
        ("categorical_accuracy", Y_TRUE, [1.0, 0.0]),
        ("sparse_categorical_accuracy", [0, 2], [1.0, 0.0]),
        ("top_k_categorical_accuracy", Y_TRUE, [1.0, 1.0]),
        ("sparse_top_k_categorical_accuracy", [0, 2], [1.0, 1.0]),
    ],
)
def test_function(function, y_true, expected):
    values = getattr(metrics, function)(np.array(y_true), np.array(Y_PRED))
    assert np.shape(values) == np.shape(expected)
    np.testing.assert_allclose(values, expected, rtol=2e-6)


@pytest.mark.parametrize("kind", [metrics.BinaryAccuracy, metrics.Accuracy])
def test_each_of_a_row_of_decisions_counts(kind):
    metric, weighted = kind(), kind()
    for true, pred in (([1.0], [1.0]), ([1.0, 1, 1], [0.0, 0, 0])):
        metric.update_state(true, pred)
        weighted.update_state(true, pred, np.ones(len(true)))
    assert metric.result() == weighted.result() == 0.25


@pytest.mark.parametrize(
    "kind",
    [
        metrics.Accuracy,
        metrics.BinaryAccuracy,
        metrics.CosineSimilarity,
        metrics.MeanAbsolutePercentageError,
        metrics.MeanSquaredError,
    ],
)
def test_an_empty_row_is_nothing(kind):
    metric, same = kind(), kind()
    metric.update_state([], [])
    for each in (metric, same):
        each.update_state([[1.0, 2.0]], [[1.0, 3.0]])
    assert metric.result() == same.result()


def test_correlation_of_a_row_is_that_of_one_sample():
    true, pred = [0.0, 1.0, 2.0], [0.0, 1.0, 3.0]
    expected = np.corrcoef(true, pred)[0, 1]
    assert metrics.PearsonCorrelation()(true, pred) == pytest.approx(expected, rel=1e-6)
    assert metrics.pearson_correlation(true, pred) == pytest.approx([expected], rel=1e-6)
    assert metrics.ConcordanceCorrelation()(true, true) == pytest.approx(1, rel=1e-6)
    columns = np.column_stack([true, pred])
    assert metrics.PearsonCorrelation(axis=0)(columns, columns) == pytest.approx(1, rel=1e-6)
