"""Metrics: values worked by hand, streaming, weights, and the area under the curve exactly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from fastnn import losses, metrics
from fastnn.metrics import AUC, Precision, Recall

MEANS = {
    "mean_squared_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 4.5]),
    "mean_absolute_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 1.5]),
    "binary_accuracy": ([[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.5]], [1, 0]),
    "categorical_accuracy": ([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]], [1, 0]),
    "sparse_categorical_accuracy": ([1, 0], [[0.1, 0.9], [0.2, 0.8]], [1, 0]),
}
EVERY = [pytest.param(name, *MEANS[name][:2], id=name) for name in MEANS] + [
    pytest.param(name, [[1, 0], [0, 1]], [[0.9, 0.2], [0.6, 0.3]], id=name)
    for name in ("auc", "precision", "recall")
]


def test_all_metrics_are_tested():
    assert {*MEANS, "auc", "precision", "recall"} == metrics._registry.entries.keys()


@pytest.mark.parametrize(("name", "y_true", "y_pred"), EVERY)
class TestEveryMetric:
    def test_parts_give_the_same_as_the_whole(self, name, y_true, y_pred):
        whole, parts = metrics.get(name), metrics.get(name)
        whole.update_state(y_true, y_pred)
        for i in range(len(y_true)):
            parts.update_state(y_true[i : i + 1], y_pred[i : i + 1])
        assert parts.result() == pytest.approx(whole.result())
        assert isinstance(whole.result(), float)

    def test_a_weight_counts_a_sample_so_often(self, name, y_true, y_pred):
        weighted, repeated = metrics.get(name), metrics.get(name)
        weighted.update_state(y_true, y_pred, sample_weight=[3, 1])
        repeated.update_state(np.repeat(y_true, [3, 1], 0), np.repeat(y_pred, [3, 1], 0))
        assert weighted.result() == pytest.approx(repeated.result())

    def test_reset_forgets(self, name, y_true, y_pred):
        metric = metrics.get(name)
        metric.update_state(y_true, y_pred)
        metric.reset_state()
        assert metric.result() == 0.0
        metric.update_state(np.array(y_true)[:0], np.array(y_pred, "f4")[:0])
        assert metric.result() == 0.0

    def test_arrays_may_be_reused(self, name, y_true, y_pred):
        metric = metrics.get(name)
        true = np.array(y_true, "i4" if metric.sparse else "f8")
        pred = np.array(y_pred, "f8")
        metric.update_state(true, pred)
        before = metric.result()
        true[...] = 0
        pred[...] = 0
        assert metric.result() == before

    def test_wrong_shapes_are_refused(self, name, y_true, y_pred):
        with pytest.raises(ValueError, match="y_true"):
            metrics.get(name).update_state(y_true[:1], y_pred)
        with pytest.raises(ValueError, match="sample_weight must have shape"):
            metrics.get(name).update_state(y_true, y_pred, [1, 1, 1])

    def test_string_names_the_metric(self, name, y_true, y_pred):
        assert metrics.get(name).name == name

    def test_a_call_adds_and_returns(self, name, y_true, y_pred):
        metric = metrics.get(name)
        assert metric(y_true, y_pred) == metric.result()


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


class TestAccuracyByName:
    @pytest.mark.parametrize("name", ["accuracy", "acc"])
    @pytest.mark.parametrize(
        ("loss", "outputs", "cls"),
        [
            ("binary_crossentropy", 1, metrics.BinaryAccuracy),
            ("mean_squared_error", 1, metrics.BinaryAccuracy),
            ("categorical_crossentropy", 3, metrics.CategoricalAccuracy),
            ("binary_crossentropy", 3, metrics.CategoricalAccuracy),
            ("sparse_categorical_crossentropy", 3, metrics.SparseCategoricalAccuracy),
        ],
    )
    def test_follows_loss_and_output(self, name, loss, outputs, cls):
        metric = metrics.get(name, losses.get(loss), outputs)
        assert type(metric) is cls
        assert metric.name == name

    def test_needs_to_know_them(self):
        with pytest.raises(ValueError, match="depends on loss and output"):
            metrics.get("accuracy")


@pytest.mark.parametrize(
    ("metric", "loss"),
    [
        ("categorical_accuracy", "sparse_categorical_crossentropy"),
        ("auc", "sparse_categorical_crossentropy"),
        ("sparse_categorical_accuracy", "categorical_crossentropy"),
    ],
)
def test_metric_that_cannot_read_the_targets_is_refused(metric, loss):
    with pytest.raises(ValueError, match=f"'{metric}' expects .* but loss '{loss}' takes"):
        metrics.get(metric, losses.get(loss), 3)


def test_names_of_instances_are_counted():
    first, second = AUC(), AUC()
    assert first.name != second.name
    assert metrics.get("auc").name == "auc"
    assert AUC(name="area").name == "area"


def test_directions_are_known():
    up = {"auc", "precision", "recall"} | {name for name in MEANS if "accuracy" in name}
    for name in metrics._registry.entries:
        assert metrics.get(name).direction == ("up" if name in up else "down")


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

    def test_wrapper_needs_a_function(self):
        with pytest.raises(TypeError, match="fn must be a function"):
            metrics.MeanMetricWrapper("bias")
