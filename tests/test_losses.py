"""Losses as objects: values worked by hand, reductions, weights, shapes, the fused heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numeric import numerical_gradient

from fastnn import activations, losses

LOG2 = math.log(2)
CASES = {
    "mean_squared_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 4.5]),
    "mean_absolute_error": ([[0, 1], [1, 1]], [[1, 1], [1, 4]], [0.5, 1.5]),
    "huber": ([[0], [0], [0]], [[0.5], [1], [-3]], [0.125, 0.5, 2.5]),
    "binary_crossentropy": ([[1, 0], [1, 1]], [[0.5, 0.5], [0.25, 0.5]], [LOG2, 1.5 * LOG2]),
    "categorical_crossentropy": ([[0, 1], [1, 0]], [[0.5, 0.5], [1, 3]], [LOG2, 2 * LOG2]),
    "sparse_categorical_crossentropy": ([1, 0], [[0.5, 0.5], [1, 3]], [LOG2, 2 * LOG2]),
    "hinge": ([[1, -1], [1, 0]], [[0.5, -2], [-1, 1]], [0.25, 2]),
}
ALL = [pytest.param(losses.get(name), *CASES[name], id=name) for name in CASES]


def test_all_losses_have_values():
    assert CASES.keys() == losses._registry.entries.keys()


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "values"), ALL)
class TestEveryLoss:
    def test_function_gives_the_values(self, loss, y_true, y_pred, values):
        function = getattr(losses, loss.kernel)
        np.testing.assert_allclose(function(y_true, np.array(y_pred, "f8")), values, rtol=1e-12)
        assert type(losses.get(function)) is type(loss)

    def test_reductions(self, loss, y_true, y_pred, values):
        weights = np.arange(1.0, len(values) + 1)
        weighted = float(np.dot(weights, values))
        expected = {
            "sum": weighted,
            "mean": weighted / len(values),
            "sum_over_batch_size": weighted / len(values),
            "mean_with_sample_weight": weighted / weights.sum(),
            "none": weights * values,
            None: weights * values,
        }
        y_pred = np.array(y_pred, "f8")
        for reduction, result in expected.items():
            reducing = type(loss)(reduction=reduction)
            got = reducing(y_true, y_pred, sample_weight=weights)
            np.testing.assert_allclose(got, result, rtol=1e-12)

    def test_default_is_the_mean(self, loss, y_true, y_pred, values):
        got = loss(y_true, np.array(y_pred, "f8"))
        assert isinstance(got, float)
        np.testing.assert_allclose(got, np.mean(values), rtol=1e-12)

    def test_float32_unless_predictions_are_float64(self, loss, y_true, y_pred, values):
        function = getattr(losses, loss.kernel)
        assert function(y_true, np.array(y_pred, "f4")).dtype == np.float32
        assert function(y_true, np.array(y_pred, "f8")).dtype == np.float64

    def test_leading_axes_are_kept(self, loss, y_true, y_pred, values):
        true = np.stack([y_true, y_true])
        pred = np.stack([y_pred, y_pred]).astype("f8")
        got = getattr(losses, loss.kernel)(true, pred)
        np.testing.assert_allclose(got, [values, values], rtol=1e-12)

    def test_no_samples_make_no_loss(self, loss, y_true, y_pred, values):
        true, pred = np.array(y_true)[:0], np.array(y_pred, "f8")[:0]
        assert loss(true, pred) == 0.0
        assert getattr(losses, loss.kernel)(true, pred).shape == (0,)

    def test_backward_is_the_derivative(self, loss, y_true, y_pred, values):
        true, pred, _ = losses.as_rows(y_true, np.array(y_pred, "f8") * 0.9 + 0.07, loss.sparse)
        expected = numerical_gradient(lambda p: loss.forward(true, p).sum(), pred, h=1e-4)
        np.testing.assert_allclose(loss.backward(true, pred), expected, rtol=5e-6, atol=1e-9)

    def test_a_wrong_shape_is_refused(self, loss, y_true, y_pred, values):
        with pytest.raises(ValueError, match="y_true"):
            loss(np.array(y_true)[:1], np.array(y_pred, "f8"))

    def test_weights_must_be_one_or_one_for_each(self, loss, y_true, y_pred, values):
        pred = np.array(y_pred, "f8")
        assert loss(y_true, pred, 2.0) == pytest.approx(2 * np.mean(values))
        column = np.full((len(values), 1), 2.0)
        assert loss(y_true, pred, column) == pytest.approx(2 * np.mean(values))
        with pytest.raises(ValueError, match="sample_weight must have shape"):
            loss(y_true, pred, np.ones(len(values) + 1))


def test_a_perfect_prediction_costs_nothing():
    y = np.eye(3)
    for loss in (losses.MeanSquaredError(), losses.MeanAbsoluteError(), losses.Huber()):
        assert loss(y, y) == 0.0
    assert losses.Hinge()(y, 2 * y - 1) == 0.0
    for loss in (losses.BinaryCrossentropy(), losses.CategoricalCrossentropy()):
        assert loss(y, y) == pytest.approx(0.0, abs=1e-6)


def test_options_reach_the_kernel():
    assert losses.Huber(delta=2.0)([[0.0]], [[3.0]]) == pytest.approx(4.0)
    z = np.array([[2.0], [-3.0]])
    expected = np.log1p(np.exp([-2.0, -3.0]))
    got = losses.binary_crossentropy([[1], [0]], z, from_logits=True)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    smooth = losses.BinaryCrossentropy(label_smoothing=1.0)([[1.0]], np.array([[0.25]]))
    assert smooth == pytest.approx(-0.5 * math.log(0.25 * 0.75))
    z = np.array([[0.0, 1000.0]])
    assert losses.CategoricalCrossentropy(from_logits=True)([[1, 0]], z) == 1000.0
    assert losses.SparseCategoricalCrossentropy(from_logits=True)([0], z) == 1000.0
    smooth = losses.CategoricalCrossentropy(label_smoothing=1.0)([[1, 0]], np.array([[0.2, 0.8]]))
    assert smooth == pytest.approx(-0.5 * math.log(0.2 * 0.8))


def test_a_missing_last_axis_is_added():
    pred = np.array([[1.0], [3.0]])
    np.testing.assert_array_equal(losses.mean_squared_error([0.0, 1.0], pred), [1.0, 4.0])
    np.testing.assert_array_equal(losses.mean_squared_error([[0.0], [1.0]], pred[:, 0]), [1.0, 4.0])
    labels = np.array([[1], [0]])
    got = losses.sparse_categorical_crossentropy(labels, np.full((2, 2), 0.5))
    np.testing.assert_allclose(got, [LOG2, LOG2])


def test_one_row_without_axis_gives_one_value():
    assert losses.mean_squared_error([0.0, 0.0], np.array([1.0, 3.0])).shape == ()
    assert losses.MeanSquaredError()([0.0, 0.0], [1.0, 3.0]) == 5.0


@pytest.mark.parametrize("label", [-1, 2, 2**32, 0.5, math.nan])
def test_class_numbers_are_checked_before_they_are_cast(label):
    with pytest.raises(ValueError, match="class numbers from 0 to 1, got"):
        losses.sparse_categorical_crossentropy([label], [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.Huber(delta=0), "delta"),
        (lambda: losses.Huber(delta=math.inf), "delta"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=-0.1), "label_smoothing"),
        (lambda: losses.MeanSquaredError(reduction="avg"), "reduction must be one of"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "activation", "head"),
    [
        ("binary_crossentropy", "sigmoid", "sigmoid"),
        ("categorical_crossentropy", "softmax", "softmax"),
        ("sparse_categorical_crossentropy", "softmax", "softmax"),
        ("binary_crossentropy", "softmax", None),
        ("categorical_crossentropy", "sigmoid", None),
        ("mean_squared_error", "sigmoid", None),
        ("mean_squared_error", "linear", None),
        (losses.BinaryCrossentropy(from_logits=True), "sigmoid", None),
        (losses.CategoricalCrossentropy(from_logits=True), "softmax", None),
    ],
)
def test_heads_are_fused_where_they_fit(loss, activation, head):
    assert losses.crossentropy_head(losses.get(loss), activations.get(activation)) == head


def test_an_own_activation_is_no_head():
    class Mine(activations.Sigmoid):
        def forward(self, x):
            return x

    assert losses.crossentropy_head(losses.BinaryCrossentropy(), Mine()) is None


class TestOwnLoss:
    class Fourth(losses.Loss):
        def forward(self, y_true, y_pred):
            return ((y_pred - y_true) ** 4).mean(axis=1)

        def backward(self, y_true, y_pred):
            return 4 * (y_pred - y_true) ** 3 / y_pred.shape[1]

    def test_is_called_like_the_others(self):
        loss = self.Fourth()
        assert loss.kernel is None
        assert loss.name == "Fourth"
        assert loss([[0.0, 0.0]], [[1.0, 2.0]]) == 8.5
        assert losses.get(loss) is loss
        assert losses.crossentropy_head(loss, activations.softmax) is None

    def test_must_define_both_methods(self):
        with pytest.raises(NotImplementedError, match="Loss must define forward"):
            losses.Loss()([[0.0]], [[1.0]])
        with pytest.raises(NotImplementedError, match="Loss must define backward"):
            losses.Loss().backward(np.zeros((1, 1)), np.ones((1, 1)))

    def test_overriding_a_builtin_is_heard(self):
        class Doubled(losses.MeanSquaredError):
            def forward(self, y_true, y_pred):
                return 2 * super().forward(y_true, y_pred)

            def backward(self, y_true, y_pred):
                return 2 * super().backward(y_true, y_pred)

        assert Doubled().kernel is None
        assert Doubled()([[0.0]], [[1.0]]) == 2.0
        np.testing.assert_array_equal(
            Doubled().backward(np.zeros((1, 1)), np.full((1, 1), 3.0)), [[12.0]]
        )
