"""Metrics: values worked by hand, streaming, weights, and the area under the curve exactly."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    fbeta_score,
    matthews_corrcoef,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from fastnn import losses, metrics
from fastnn.metrics import AUC, Precision, Recall

MEANS = {
    "mean_squared_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 4.5]),
    "mean_absolute_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 1.5]),
    "binary_accuracy": ([[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.5]], [1, 0]),
    "categorical_accuracy": ([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]], [1, 0]),
    "sparse_categorical_accuracy": ([1, 0], [[0.1, 0.9], [0.2, 0.8]], [1, 0]),
}
"""Metrics that have a kernel: targets, predictions and the value of each sample."""

SPECIFIED = {
    "precision_at_recall": lambda: metrics.PrecisionAtRecall(0.7),
    "recall_at_precision": lambda: metrics.RecallAtPrecision(0.5),
    "sensitivity_at_specificity": lambda: metrics.SensitivityAtSpecificity(0.5),
    "specificity_at_sensitivity": lambda: metrics.SpecificityAtSensitivity(0.5),
    "io_u": lambda: metrics.IoU(2, [0, 1], sparse_y_true=False, sparse_y_pred=False),
    "mean_io_u": lambda: metrics.MeanIoU(2, sparse_y_pred=False),
    "one_hot_io_u": lambda: metrics.OneHotIoU(2, [0, 1]),
    "one_hot_mean_io_u": lambda: metrics.OneHotMeanIoU(2),
}
"""Metrics of which a name does not say enough."""

OF_VALUES = {"mean", "sum"}
EVERY = sorted(metrics._registry.entries.keys() - OF_VALUES)
Y_PRED = [[0.9, 0.2], [0.7, 0.3], [0.4, 0.6]]


def made(name):
    metric = SPECIFIED[name]() if name in SPECIFIED else metrics.get(name)
    return metric, [0, 1, 1] if metric.sparse else [[1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("name", EVERY)
class TestEveryMetric:
    def test_parts_give_the_same_as_the_whole(self, name):
        (whole, y_true), (parts, _) = made(name), made(name)
        whole.update_state(y_true, Y_PRED)
        for i in range(len(y_true)):
            parts.update_state(y_true[i : i + 1], Y_PRED[i : i + 1])
        np.testing.assert_allclose(parts.result(), whole.result(), rtol=1e-12)
        assert isinstance(whole.result(), float | np.ndarray)

    def test_a_weight_counts_a_sample_so_often(self, name):
        (weighted, y_true), (repeated, _) = made(name), made(name)
        weighted.update_state(y_true, Y_PRED, sample_weight=[3, 0, 1])
        again = [np.repeat(values, [3, 0, 1], axis=0) for values in (y_true, Y_PRED)]
        repeated.update_state(*again)
        np.testing.assert_allclose(weighted.result(), repeated.result(), rtol=1e-12)

    def test_weights_may_be_a_column_or_one_for_all(self, name):
        (row, y_true), (column, _), (one, _), (none, _) = (made(name) for _ in range(4))
        row.update_state(y_true, Y_PRED, [2, 1, 3])
        column.update_state(y_true, Y_PRED, [[2], [1], [3]])
        np.testing.assert_array_equal(row.result(), column.result())
        one.update_state(y_true, Y_PRED, 2.0)
        none.update_state(np.repeat(y_true, 2, axis=0), np.repeat(Y_PRED, 2, axis=0))
        np.testing.assert_allclose(one.result(), none.result(), rtol=1e-12)

    def test_reset_forgets(self, name):
        metric, y_true = made(name)
        metric.update_state(y_true, Y_PRED)
        metric.reset_state()
        np.testing.assert_equal(metric.result(), made(name)[0].result())
        nothing = np.nan if name == "r2_score" else 0.0
        metric.update_state(np.array(y_true)[:0], np.array(Y_PRED, "f4")[:0])
        np.testing.assert_equal(np.unique(metric.result()), nothing)

    def test_arrays_may_be_reused(self, name):
        metric, y_true = made(name)
        true = np.array(y_true, "i4" if metric.sparse else "f8")
        pred = np.array(Y_PRED, "f8")
        metric.update_state(true, pred)
        before = metric.result()
        true[...] = 0
        pred[...] = 0
        np.testing.assert_array_equal(metric.result(), before)

    def test_results_stay_as_they_are(self, name):
        metric, y_true = made(name)
        first = metric(y_true, Y_PRED)
        kept = np.array(first)
        metric.update_state(y_true, np.array(Y_PRED)[:, ::-1])
        np.testing.assert_array_equal(first, kept)

    def test_wrong_shapes_are_refused(self, name):
        metric, y_true = made(name)
        with pytest.raises(ValueError, match="y_true"):
            metric.update_state(y_true[:1], Y_PRED)
        with pytest.raises(ValueError, match="sample_weight must have shape"):
            metric.update_state(y_true, Y_PRED, [1, 1, 1, 1])
        np.testing.assert_equal(metric.result(), made(name)[0].result())

    def test_other_things_than_numbers_are_refused(self, name):
        metric, y_true = made(name)
        with pytest.raises(TypeError, match="y_pred must hold real numbers"):
            metric.update_state(y_true, [["a", "b"]] * 3)

    def test_nan_does_not_stop_it(self, name):
        metric, y_true = made(name)
        metric.update_state(y_true, [[np.nan, 0.2], [0.7, np.nan], [0.4, 0.6]])
        assert isinstance(metric.result(), float | np.ndarray)

    @pytest.mark.parametrize("size", [1e300, np.inf])
    def test_no_prediction_is_too_large(self, name, size):
        """Warnings would be errors here."""
        metric, y_true = made(name)
        metric.update_state(y_true, [[size, 0.2], [-size, size], [0.4, -size]], [0, 1, 2])
        assert isinstance(metric.result(), float | np.ndarray)

    def test_float32_is_enough(self, name):
        (narrow, y_true), (wide, _) = made(name), made(name)
        narrow.update_state(y_true, np.array(Y_PRED, "f4"))
        wide.update_state(y_true, np.array(Y_PRED, "f4").astype("f8"))
        np.testing.assert_allclose(narrow.result(), wide.result(), rtol=1e-6)

    def test_string_names_the_metric(self, name):
        if name in SPECIFIED:
            with pytest.raises(TypeError, match=f"'{name}' says too little: pass fastnn.metrics"):
                metrics.get(name)
        else:
            assert metrics.get(name).name == name

    def test_a_call_adds_and_returns(self, name):
        metric, y_true = made(name)
        np.testing.assert_array_equal(metric(y_true, Y_PRED), metric.result())


@pytest.mark.parametrize(("name", "case"), MEANS.items())
class TestMeans:
    def test_mean_of_the_values(self, name, case):
        y_true, y_pred, values = case
        metric = metrics.get(name)
        assert metric(y_true, y_pred) == pytest.approx(np.mean(values))
        assert metric.kernel == name

    def test_sums_of_an_engine_count_like_samples(self, name, case):
        y_true, y_pred, values = case
        metric = metrics.get(name)
        metric.accumulate(sum(values), len(values))
        metric.update_state(y_true, y_pred)
        assert metric.result() == pytest.approx(np.mean(values))


def test_threshold_itself_is_no_yes():
    metric = metrics.BinaryAccuracy(threshold=0.25)
    assert metric([[0], [1], [0]], [[0.25], [0.26], [0.3]]) == pytest.approx(2 / 3)


def test_first_of_equal_values_is_the_largest():
    assert metrics.CategoricalAccuracy()([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]) == 0.5
    assert metrics.SparseCategoricalAccuracy()([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == 0.5


class TestAUC:
    def test_worked_by_hand(self):
        assert AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
        assert AUC()([0, 1], [0.3, 0.3]) == 0.5
        assert AUC()([0, 0, 1], [0.1, 0.5, 0.5]) == 0.75

    @pytest.mark.parametrize("decimals", [1, 2, 8])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equals_scikit_learn(self, decimals, weighted):
        rng = np.random.default_rng(decimals)
        true = rng.integers(0, 2, 500)
        pred = np.round(rng.normal(true, 1.5), decimals)
        weights = rng.integers(0, 4, 500) if weighted else None
        metric = AUC()
        for part in np.array_split(np.arange(500), 7):
            taken = None if weights is None else weights[part]
            metric.update_state(true[part], pred[part], taken)
        expected = roc_auc_score(true, pred, sample_weight=weights)
        assert metric.result() == pytest.approx(expected, rel=1e-12)

    def test_only_order_matters(self):
        rng = np.random.default_rng(0)
        true, logits = rng.integers(0, 2, 100), rng.normal(size=100)
        assert AUC()(true, logits) == AUC()(true, 1 / (1 + np.exp(-logits)))

    def test_without_one_of_the_classes_it_is_zero(self):
        assert AUC()([1, 1], [0.2, 0.8]) == 0.0

    def test_nan_shows(self):
        assert np.isnan(AUC()([0, 1], [0.2, np.nan]))
        assert np.isnan(metrics.PrecisionAtRecall(0.5)([0, 1], [0.2, np.nan]))

    @pytest.mark.parametrize("decimals", [1, 2, 8])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_steps_give_average_precision(self, decimals, weighted):
        rng = np.random.default_rng(decimals)
        true = rng.integers(0, 2, 300)
        pred = np.round(rng.normal(true, 1.5), decimals)
        weights = rng.integers(0, 4, 300) if weighted else None
        area = AUC(curve="pr", summation_method="step")(true, pred, weights)
        expected = average_precision_score(true, pred, sample_weight=weights)
        assert area == pytest.approx(expected, rel=1e-12)

    def test_labels_apart(self):
        rng = np.random.default_rng(0)
        true, pred = rng.integers(0, 2, (80, 3)), rng.random((80, 3)).round(1)
        expected = roc_auc_score(true, pred, average=None)
        assert AUC(multi_label=True)(true, pred) == pytest.approx(expected.mean(), rel=1e-12)
        weighted = AUC(multi_label=True, label_weights=[1, 0, 3])(true, pred)
        assert weighted == pytest.approx(expected @ [0.25, 0, 0.75], rel=1e-12)

    def test_areas_of_a_curve_that_is_known(self):
        """Of (recall, precision) = (1/2, 1), (1/2, 1/2), (1, 2/3), (1, 1/2)."""
        true, pred = [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]
        areas = {
            "step": 1 / 2 + 1 / 3,
            "minoring": 1 / 4,
            "majoring": 1 / 2 + 1 / 3,
            "interpolation": 1 / 2 + (1 - np.log(3 / 2)) / 2,
        }
        for method, area in areas.items():
            assert AUC(curve="PR", summation_method=method)(true, pred) == pytest.approx(area)

    def test_many_more_than_the_store_holds_at_first(self):
        rng = np.random.default_rng(0)
        true, pred = rng.integers(0, 2, 5000), rng.random(5000)
        metric = AUC()
        for part in np.array_split(np.arange(5000), 100):
            metric.update_state(true[part], pred[part])
        assert metric.result() == pytest.approx(roc_auc_score(true, pred), rel=1e-12)

    def test_close_scores_are_told_apart(self):
        """Narrow ones first, then wide ones, which are kept as wide."""
        metric = AUC()
        metric.update_state([0], np.array([0.5], "f4"))
        metric.update_state([1], [0.5 + 1e-12])
        assert metric.result() == 1.0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"curve": "AOC"}, "curve must be one of 'ROC', 'PR', 'PRGAIN', got 'AOC'"),
            ({"summation_method": None}, "summation_method must be one of"),
            ({"num_labels": 2}, "num_labels is for multi_label=True"),
            ({"label_weights": [1.0, -1.0]}, "a label weight must be"),
        ],
    )
    def test_wrong_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            AUC(**options)

    def test_other_outputs_than_before_are_refused(self):
        metric = AUC(multi_label=True)
        metric.update_state([[1, 0]], [[0.9, 0.8]])
        with pytest.raises(ValueError, match="counted 2 outputs or classes so far, got 3"):
            metric.update_state([[1, 0, 0]], [[0.9, 0.8, 0.1]])
        with pytest.raises(ValueError, match="counted 2 outputs"):
            AUC(multi_label=True, num_labels=2)([1, 0], [0.9, 0.8])
        with pytest.raises(ValueError, match="label_weights must hold a weight for each output, 2"):
            AUC(label_weights=[1.0])([[1, 0]], [[0.9, 0.8]])


class TestPointsOfACurve:
    """Against every threshold, tried one by one."""

    @pytest.mark.parametrize("decimals", [1, 8])
    def test_every_threshold_was_tried(self, decimals):
        rng = np.random.default_rng(decimals)
        true = rng.integers(0, 2, 60)
        pred = np.round(rng.normal(true, 1.5), decimals)
        weights = rng.integers(0, 4, 60)
        levels = np.append(np.unique(pred), pred.min() - 1)
        hits, alarms, misses, rest = (
            count(thresholds=levels.tolist())(true, pred, weights)
            for count in (
                metrics.TruePositives,
                metrics.FalsePositives,
                metrics.FalseNegatives,
                metrics.TrueNegatives,
            )
        )
        precision = hits / np.maximum(hits + alarms, 1e-300)
        recall, specificity = hits / (hits + misses), rest / (rest + alarms)
        for metric, bounded, wanted in [
            (metrics.PrecisionAtRecall, recall, precision),
            (metrics.RecallAtPrecision, precision, recall),
            (metrics.SensitivityAtSpecificity, specificity, recall),
            (metrics.SpecificityAtSensitivity, recall, specificity),
        ]:
            for bound in (0.0, 0.3, 0.6, 0.9, 1.0):
                expected = wanted[bounded >= bound].max(initial=0.0)
                assert metric(bound)(true, pred, weights) == pytest.approx(expected, rel=1e-12)

    def test_bound_must_be_a_rate(self):
        with pytest.raises(ValueError, match=r"recall must be a finite number in \[0, 1\]"):
            metrics.PrecisionAtRecall(1.5)

    def test_weights_may_be_given_for_each_output(self):
        true, pred = [[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.4]]
        assert AUC()(true, pred, [[1, 0], [1, 1]]) == 1.0


class TestPrecisionAndRecall:
    def test_worked_by_hand(self):
        assert Precision()([0, 1, 1, 1], [1, 0, 1, 1]) == pytest.approx(2 / 3)
        assert Recall()([0, 1, 1, 1], [1, 0, 1, 1]) == pytest.approx(2 / 3)
        weights = [0, 0, 1, 0]
        assert Precision()([0, 1, 1, 1], [1, 0, 1, 1], weights) == 1.0
        assert Recall()([0, 1, 1, 1], [1, 0, 1, 1], weights) == 1.0

    def test_outputs_are_counted_together(self):
        rng = np.random.default_rng(0)
        true = rng.integers(0, 2, (50, 4))
        pred = rng.random((50, 4))
        says = pred > 0.5
        assert Precision()(true, pred) == pytest.approx(
            precision_score(true, says, average="micro")
        )
        assert Recall()(true, pred) == pytest.approx(recall_score(true, says, average="micro"))

    def test_several_thresholds_give_several_results(self):
        true, pred = [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]
        np.testing.assert_allclose(Precision([0.0, 0.5, 0.95])(true, pred), [0.5, 0.5, 0.0])
        np.testing.assert_allclose(Recall((0.0, 0.5, 0.95))(true, pred), [1.0, 0.5, 0.0])

    def test_threshold_is_rounded_like_the_predictions(self):
        pred = np.array([0.3], dtype=np.float32)
        assert Precision(0.3)([1], pred) == 0.0

    def test_thresholds_must_be_numbers(self):
        with pytest.raises(TypeError, match="threshold"):
            Precision("half")
        with pytest.raises(ValueError, match="at least one"):
            Precision([])

    def test_the_first_of_equals_is_among_the_largest(self):
        true, pred = [[0, 1, 0], [1, 0, 0]], [[0.2, 0.2, 0.6], [0.3, 0.3, 0.3]]
        assert Recall(top_k=2)(true, pred) == 0.5
        assert Recall(top_k=1)(true, pred) == 0.5

    def test_more_than_there_is_is_refused(self):
        with pytest.raises(ValueError, match="top_k must be at most the number of outputs, 2"):
            Precision(top_k=3)([[1, 0]], [[0.9, 0.1]])
        for metric in (Precision(class_id=2), metrics.PrecisionAtRecall(0.5, class_id=2)):
            with pytest.raises(ValueError, match="class_id must be less than the 2 outputs, got 2"):
                metric([[1, 0]], [[0.9, 0.1]])
        with pytest.raises(ValueError, match="class_id must be at least 0"):
            Precision(class_id=-1)


# Classes


def classes_at_random(seed, classes=4, n=90):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    pred = rng.dirichlet(np.ones(classes), n) + 0.4 * np.eye(classes)[labels]
    return labels, pred, rng.integers(0, 4, n)


def streamed(metric, y_true, y_pred, weights):
    for part in np.array_split(np.arange(len(y_true)), 4):
        metric.update_state(y_true[part], y_pred[part], weights[part])
    return metric.result()


EITHER_FORM = [
    AUC(),
    AUC(multi_label=True),
    Precision(top_k=2),
    Recall(class_id=1, thresholds=0.3),
    metrics.FalseNegatives(),
    metrics.F1Score(),
    metrics.FBetaScore("weighted", beta=2.0, threshold=0.4),
    metrics.SpecificityAtSensitivity(0.8, class_id=2),
    metrics.ConfusionMatrix(),
    metrics.MatthewsCorrelationCoefficient(),
    metrics.CohensKappa("linear"),
]


@pytest.mark.parametrize("metric", EITHER_FORM, ids=repr)
def test_class_numbers_stand_for_one_hot_targets(metric):
    labels, pred, weights = classes_at_random(0)
    metric.reset_state()
    sparse = metric(labels, pred, weights)
    metric.reset_state()
    np.testing.assert_array_equal(metric(labels[:, np.newaxis], pred, weights), sparse)
    metric.reset_state()
    np.testing.assert_array_equal(metric(np.eye(4)[labels], pred, weights), sparse)
    metrics.get(metric, losses.get("sparse_categorical_crossentropy"), 4)
    with pytest.raises(ValueError, match="class numbers from 0 to 3, got 4"):
        metric([4], pred[:1])


@pytest.mark.parametrize("seed", range(3))
class TestAgainstScikitLearn:
    def test_matthews(self, seed):
        labels, pred, weights = classes_at_random(seed)
        expected = matthews_corrcoef(labels, pred.argmax(axis=1), sample_weight=weights)
        result = streamed(metrics.MatthewsCorrelationCoefficient(), labels, pred, weights)
        assert result == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("kind", [None, "linear", "quadratic"])
    def test_kappa(self, seed, kind):
        labels, pred, weights = classes_at_random(seed)
        decided = pred.argmax(axis=1)
        expected = cohen_kappa_score(labels, decided, weights=kind, sample_weight=weights)
        result = streamed(metrics.CohensKappa(kind), labels, pred, weights)
        assert result == pytest.approx(expected, rel=1e-12)

    def test_confusion_matrix(self, seed):
        labels, pred, weights = classes_at_random(seed)
        expected = confusion_matrix(labels, pred.argmax(axis=1), sample_weight=weights)
        result = streamed(metrics.ConfusionMatrix(), labels, pred, weights)
        np.testing.assert_array_equal(result, expected)

    @pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
    def test_f_scores(self, seed, average):
        labels, pred, weights = classes_at_random(seed)
        expected = fbeta_score(
            labels, pred.argmax(axis=1), beta=2.5, average=average, sample_weight=weights
        )
        result = streamed(metrics.FBetaScore(average, 2.5), labels, pred, weights)
        np.testing.assert_allclose(result, expected, rtol=1e-12)

    def test_top_k(self, seed):
        labels, pred, weights = classes_at_random(seed)
        expected = top_k_accuracy_score(labels, pred, k=2, sample_weight=weights)
        result = streamed(metrics.SparseTopKCategoricalAccuracy(2), labels, pred, weights)
        assert result == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("mean", [0.0, 1e8])
    @pytest.mark.parametrize(
        ("aggregation", "multioutput"),
        [
            ("uniform_average", "uniform_average"),
            ("variance_weighted_average", "variance_weighted"),
            (None, "raw_values"),
        ],
    )
    def test_r2(self, seed, mean, aggregation, multioutput):
        rng = np.random.default_rng(seed)
        true = mean + rng.normal(size=(50, 3)) * [1, 2, 3]
        pred, weights = true + rng.normal(size=(50, 3)), rng.integers(0, 4, 50)
        expected = r2_score(true, pred, multioutput=multioutput, sample_weight=weights)
        result = streamed(metrics.R2Score(aggregation), true, pred, weights)
        np.testing.assert_allclose(result, expected, rtol=1e-12 if mean == 0 else 1e-6)


class TestClasses:
    def test_one_output_makes_two(self):
        true, pred = [0, 1, 1, 0], [[0.2], [0.4], [0.9], [0.8]]
        for targets in (true, np.reshape(true, (4, 1))):
            np.testing.assert_array_equal(
                metrics.ConfusionMatrix()(targets, pred), [[1, 1], [1, 1]]
            )
        lower = metrics.ConfusionMatrix(threshold=0.3)
        np.testing.assert_array_equal(lower(true, pred), [[1, 1], [0, 2]])

    def test_all_right_and_all_of_one_class(self):
        for metric in (metrics.MatthewsCorrelationCoefficient(), metrics.CohensKappa()):
            assert metric([0, 1, 2], np.eye(3)) == 1.0
            metric.reset_state()
            assert metric([1, 1], [[0.1, 0.9], [0.2, 0.8]]) == 0.0

    def test_matrix_of_another_size_is_refused(self):
        metric = metrics.ConfusionMatrix()
        metric.update_state([0], [[0.9, 0.1]])
        for pred in ([[0.9, 0.1, 0.0]], [[0.9, 0.1, 0.0, 0.0]]):
            with pytest.raises(ValueError, match="'confusion_matrix' has counted 2 outputs"):
                metric.update_state([0], pred)
        scores = metrics.F1Score()
        scores.update_state([0], [[0.9, 0.1]])
        with pytest.raises(ValueError, match="'f1_score' has counted 2 outputs"):
            scores.update_state([[1]], [[0.9]])

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: metrics.CohensKappa("cubic"), "weights must be None, 'linear' or"),
            (lambda: metrics.F1Score("mean"), "average must be one of"),
            (lambda: metrics.FBetaScore(beta=0), "beta must be"),
            (lambda: metrics.TopKCategoricalAccuracy(0), "k must be at least 1"),
            (lambda: metrics.IoU(2, [2]), "classes from 0 to 1"),
            (lambda: metrics.IoU(2, []), "at least one"),
            (lambda: metrics.R2Score("mean"), "class_aggregation must be one of"),
        ],
    )
    def test_wrong_options_are_refused(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_a_row_of_zeros_is_no_decision(self):
        np.testing.assert_array_equal(metrics.F1Score()([[1, 0]], [[0.0, 0.0]]), [0.0, 0.0])

    def test_classes_out_of_range_do_not_count(self):
        metric = metrics.MeanIoU(2, ignore_class=255)
        assert metric([0, 1, 255, 1, -1], [0, 1, 1, 7, np.nan]) == 1.0


class TestTopK:
    def test_equals_are_all_among_them_and_nan_is_not(self):
        pred = [[0.5, 0.5, 0.1], [np.nan, 0.5, 0.1], [0.3, np.nan, 0.4]]
        values = metrics.sparse_top_k_categorical_accuracy([1, 0, 0], pred, k=1)
        np.testing.assert_array_equal(values, [1, 0, 0])

    def test_more_than_there_are_always_hold(self):
        assert metrics.TopKCategoricalAccuracy(k=9)([[0, 1]], [[0.9, 0.1]]) == 1.0


class TestR2:
    def test_targets_that_do_not_vary(self):
        metric = metrics.R2Score()
        assert metric([[0.1]] * 3, [[0.2]] * 3) == 0.0
        metric.reset_state()
        assert np.isnan(metric([[0.1]] * 3, [[0.1]] * 3))

    def test_samples_without_weight_come_first(self):
        metric = metrics.R2Score()
        metric.update_state([[5.0], [6.0]], [[0.0], [0.0]], [0.0, 0.0])
        metric.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
        assert metric.result() == pytest.approx(r2_score([1, 4, 3], [2, 4, 4]))

    def test_adjustment_needs_more_samples_than_regressors(self):
        metric = metrics.R2Score(num_regressors=2)
        with pytest.warns(UserWarning, match="cannot be adjusted for 2 regressors with 3 samples"):
            metric([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])

    def test_class_numbers_are_no_numbers(self):
        with pytest.raises(ValueError, match="y_true and y_pred must have one shape"):
            metrics.R2Score()([0, 1], [[0.1, 0.9], [0.2, 0.8]])


class TestCorrelation:
    def test_over_all_samples_in_each_output(self):
        rng = np.random.default_rng(0)
        true = 1e6 + rng.normal(size=(40, 2))
        pred, weights = true + rng.normal(size=(40, 2)), rng.integers(0, 4, 40)
        counted = np.repeat(true, weights, axis=0), np.repeat(pred, weights, axis=0)
        together = [np.cov(t, p, bias=True) for t, p in zip(*(c.T for c in counted), strict=True)]
        means = counted[0].mean(axis=0) - counted[1].mean(axis=0)
        pearson = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in together]
        lin = [2 * c[0, 1] / (np.trace(c) + m**2) for c, m in zip(together, means, strict=True)]
        for metric, expected in [
            (metrics.PearsonCorrelation(axis=0), pearson),
            (metrics.ConcordanceCorrelation(axis=0), lin),
        ]:
            result = streamed(metric, true, pred, weights)
            assert result == pytest.approx(np.mean(expected), rel=1e-8)
            metric.reset_state()
            assert metric.result() == 0.0

    def test_functions_along_either_axis(self):
        true, pred = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]), np.eye(3)[:, :2]
        for function in (metrics.pearson_correlation, metrics.concordance_correlation):
            np.testing.assert_allclose(function(true, pred, axis=0), function(true.T, pred.T))
            with pytest.raises(ValueError, match="axis must be -1"):
                function(true, pred, axis=2)

    def test_what_does_not_vary(self):
        assert np.isnan(metrics.PearsonCorrelation()([[1.0, 2.0]], [[0.1, 0.1]]))
        assert metrics.ConcordanceCorrelation()([[0.1, 0.1]], [[0.1, 0.1]]) == 0.0


class TestValues:
    """Mean and Sum, of whatever there is to average or to add up."""

    def test_weights_of_samples_and_of_values(self):
        values, mean, total = [[1.0, 3.0], [5.0, 7.0]], metrics.Mean(), metrics.Sum()
        assert (mean(values), total(values)) == (4.0, 16.0)
        mean.reset_state(), total.reset_state()
        assert (mean(values, [1, 3]), total(values, [1, 3])) == (5.0, 40.0)
        mean.reset_state(), total.reset_state()
        weights = [[1, 0], [2, 1]]
        assert (mean(values, weights), total(values, weights)) == (4.5, 18.0)

    def test_one_number(self):
        mean = metrics.Mean()
        mean.update_state(2.0)
        mean.update_state(5.0, 2.0)
        assert mean.result() == 4.0

    def test_other_shapes_are_refused(self):
        for metric in (metrics.Mean(), metrics.Sum()):
            with pytest.raises(ValueError, match=r"sample_weight must have the shape of the sam"):
                metric.update_state([[1.0, 2.0]], [1.0, 2.0])
            assert metric.result() == 0.0


def test_weights_of_samples_in_a_row():
    for metric in (metrics.Accuracy(), metrics.BinaryAccuracy(), metrics.RootMeanSquaredError()):
        metric.update_state([1, 0, 1], [1, 1, 1], sample_weight=[2, 0, 1])
        assert metric.result() == (0.0 if "error" in metric.name else 1.0)


def test_errors_far_from_zero_do_not_overflow():
    assert metrics.log_cosh([[0.0]], [[1e4]])[0] == pytest.approx(1e4 - np.log(2))
    assert metrics.log_cosh([[0.0]], [[1e-4]])[0] == pytest.approx(5e-9, rel=1e-6)


class TestNamesThatDependOnTheLoss:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("accuracy", "accuracy"),
            ("acc", "accuracy"),
            ("crossentropy", "crossentropy"),
            ("ce", "crossentropy"),
        ],
    )
    @pytest.mark.parametrize(
        ("loss", "outputs", "form"),
        [
            ("binary_crossentropy", 1, "binary"),
            ("mean_squared_error", 1, "binary"),
            ("categorical_crossentropy", 3, "categorical"),
            ("binary_crossentropy", 3, "categorical"),
            ("sparse_categorical_crossentropy", 3, "sparse_categorical"),
        ],
    )
    def test_follows_loss_and_output(self, name, kind, loss, outputs, form):
        metric = metrics.get(name, losses.get(loss), outputs)
        assert type(metric) is metrics._registry.entries[f"{form}_{kind}"]
        assert metric.name == name

    @pytest.mark.parametrize("name", ["accuracy", "ce"])
    def test_needs_to_know_them(self, name):
        with pytest.raises(ValueError, match=f"'{name}' depends on loss and output: name 'binary_"):
            metrics.get(name)


@pytest.mark.parametrize(
    ("metric", "loss"),
    [
        ("categorical_accuracy", "sparse_categorical_crossentropy"),
        ("r2_score", "sparse_categorical_crossentropy"),
        ("sparse_categorical_accuracy", "categorical_crossentropy"),
    ],
)
def test_metric_that_cannot_read_the_targets_is_refused(metric, loss):
    with pytest.raises(ValueError, match=f"'{metric}' expects .* but loss '{loss}' takes"):
        metrics.get(metric, losses.get(loss), 3)


@pytest.mark.parametrize("name", sorted(OF_VALUES))
def test_metric_of_values_is_refused_in_a_model(name):
    with pytest.raises(ValueError, match=f"'{name}' is given values"):
        metrics.get(name, losses.get("mse"), 1)


def test_names_of_instances_are_counted():
    first, second = AUC(), AUC()
    assert first.name != second.name
    assert metrics.get("auc").name == "auc"
    assert AUC(name="area").name == "area"


def test_directions_are_known():
    down = ("error", "crossentropy", "hinge", "poisson", "divergence", "false")
    for name in EVERY:
        falls = any(word in name for word in down)
        expected = "down" if falls else None if name == "confusion_matrix" else "up"
        assert made(name)[0].direction == expected


class TestOwnMetric:
    def test_function_becomes_a_mean(self):
        def bias(y_true, y_pred):
            return (y_pred - y_true).mean(axis=-1)

        metric = metrics.get(bias, losses.get("mse"), 1)
        assert isinstance(metric, metrics.MeanMetricWrapper)
        assert metric.name == "bias"
        assert metric.kernel is None
        metric.update_state([[0.0], [0.0]], [[1.0], [2.0]])
        metric.update_state([[0.0]], [[6.0]])
        assert metric.result() == 3.0
        metric.update_state([[0.0]], [[9.0]], sample_weight=[3.0])
        assert metric.result() == 6.0

    def test_must_define_its_methods(self):
        metric = metrics.Metric()
        for call in (
            lambda: metric.update_state([0], [0]),
            metric.result,
            metric.reset_state,
            lambda: metric.accumulate(1.0, 1),
            lambda: metrics.MeanMetric()([[0.0]], [[0.0]]),
        ):
            with pytest.raises(NotImplementedError, match="Metric"):
                call()

    def test_overriding_a_builtin_is_heard(self):
        class Root(metrics.MeanSquaredError):
            def result(self):
                return super().result() ** 0.5

        class Doubled(metrics.MeanSquaredError):
            def values(self, y_true, y_pred):
                return 2 * super().values(y_true, y_pred)

        assert Root().kernel == "mean_squared_error"
        assert Root()([[0.0]], [[3.0]]) == 3.0
        assert Doubled().kernel is None
        assert Doubled()([[0.0]], [[3.0]]) == 18.0

    def test_options_of_a_function(self):
        metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, threshold=0.3)
        metric.update_state([[1, 0]], [[0.4, 0.4]], sample_weight=[2])
        assert metric.result() == 0.5
        again = metrics.MeanMetricWrapper.from_config(metric.get_config())
        assert again([[1, 0]], [[0.4, 0.2]]) == 1.0
        assert again.name == "binary_accuracy"

    def test_wrapper_of_a_known_function_names_it(self):
        metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, "mine", threshold=0.3)
        form = json.loads(json.dumps(metrics.serialize(metric)))
        assert form["config"] == {"fn": "binary_accuracy", "name": "mine", "threshold": 0.3}
        for again in (metrics.deserialize(form), metrics.get(form)):
            assert type(again) is metrics.MeanMetricWrapper
            assert again.get_config() == metric.get_config()
        metric.update_state([[1, 0], [1, 1]], [[0.4, 0.2], [0.2, 0.4]])
        again.update_state([[1, 0], [1, 1]], [[0.4, 0.2], [0.2, 0.4]])
        assert again.result() == metric.result() == 0.75

    def test_wrapper_of_another_function_keeps_it(self):
        def hinge(y_true, y_pred):
            return (y_pred - y_true).mean(axis=-1)

        form = metrics.serialize(metrics.MeanMetricWrapper(hinge))
        assert form["config"]["fn"] is hinge
        again = metrics.deserialize(form)
        assert again([[0.0]], [[3.0]]) == 3.0
        assert again.name == "hinge"

    def test_wrapper_of_an_unknown_function_is_refused(self):
        form = {"class_name": "MeanMetricWrapper", "config": {"fn": "bias"}}
        with pytest.raises(ValueError, match="has no function 'bias': give 'fn' as the function"):
            metrics.deserialize(form)

    @pytest.mark.parametrize("name", ["mean_metric_wrapper", "MeanMetricWrapper"])
    def test_name_of_the_wrapper_is_not_enough(self, name):
        with pytest.raises(TypeError, match=rf"'{name}' says too .*MeanMetricWrapper\(fn=\.\.\.\)"):
            metrics.get(name)

    def test_own_class_goes_before_the_wrapper(self):
        class Own(metrics.MeanMetricWrapper):
            pass

        form = metrics.serialize(metrics.MeanMetricWrapper(losses.hinge))
        again = metrics.deserialize(form, {"MeanMetricWrapper": Own})
        assert (type(again), again.fn) == (Own, losses.hinge)

    def test_wrapper_needs_a_function(self):
        with pytest.raises(TypeError, match="fn must be a function"):
            metrics.MeanMetricWrapper("bias")


def test_the_example_of_an_own_metric():
    path = Path(__file__).parents[1] / "examples" / "own_metric.py"
    metric = runpy.run_path(str(path))["CalibrationError"](bins=2)
    # Three samples in the upper bin, two of them right, and one in the lower bin, which is wrong.
    pred = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.3, 0.3, 0.4]])
    metric.update_state(np.array([0, 1]), pred[:2])
    metric.update_state(np.array([1, 0]), pred[2:])
    assert metric.result() == pytest.approx((abs(2 - 2.4) + 0.4) / 4)
