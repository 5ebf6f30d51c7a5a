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
    "mean_absolute_percentage_error": ([[2, 4], [1, 1]], [[1, 5], [2, 1]], [37.5, 50]),
    "mean_squared_logarithmic_error": (
        [[1, 3], [1, 1]],
        [[3, 3], [7, 1]],
        [LOG2**2 / 2, 2 * LOG2**2],
    ),
    "log_cosh": (
        [[0, 0], [0, 0]],
        [[LOG2, 0], [-math.log(3), math.log(3)]],
        [math.log(5 / 4) / 2, math.log(5 / 3)],
    ),
    "quantile_loss": ([[0, 0], [1, 1]], [[1, -1], [5, 1]], [0.5, 1]),
    "cosine_similarity": ([[0, 2], [1, 0]], [[3, 4], [0, 5]], [-0.8, 0]),
    "poisson": ([[0, 2], [1, 0]], [[1, 1 - 1e-7], [1 - 1e-7, 2]], [1 - 5e-8, 1.5 - 5e-8]),
    "tweedie": ([[0], [4]], [[1], [4]], [2, 8]),
    "gaussian_nll": (
        [[0, 2], [1, 1]],
        [[1, 2, 0, 0], [1, 2, 2 * LOG2, 2 * LOG2]],
        [0.25, LOG2 + 0.0625],
    ),
    "binary_focal_crossentropy": (
        [[1, 0], [1, 1]],
        [[0.5, 0.5], [0.25, 0.5]],
        [LOG2 / 4, (0.75**2 * 2 + 0.25) * LOG2 / 2],
    ),
    "categorical_focal_crossentropy": (
        [[0, 1], [1, 0]],
        [[0.5, 0.5], [1, 3]],
        [LOG2 / 16, 0.25 * 0.75**2 * 2 * LOG2],
    ),
    "kl_divergence": ([[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.25], [0.25, 0.75]], [LOG2, 0]),
    "squared_hinge": ([[1, -1], [1, 0]], [[0.5, -2], [-1, 1]], [0.125, 4]),
    "categorical_hinge": ([[0, 1], [1, 0]], [[1, 1.5], [1, -1]], [0.5, 0]),
    "perceptron_loss": ([[1, -1], [1, 0]], [[0.5, 2], [-1, -3]], [1, 0.5]),
}
ALL = [pytest.param(losses.get(name), *CASES[name], id=name) for name in CASES]


def test_all_losses_have_values():
    assert CASES.keys() == losses._registry.entries.keys()


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "values"), ALL)
class TestEveryLoss:
    def test_function_gives_the_values(self, loss, y_true, y_pred, values):
        function = getattr(losses, loss.kernel)
        got = function(y_true, np.array(y_pred, "f8"))
        np.testing.assert_allclose(got, values, rtol=1e-12, atol=1e-15)
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
        np.testing.assert_allclose(got, [values, values], rtol=1e-12, atol=1e-15)

    def test_no_samples_make_no_loss(self, loss, y_true, y_pred, values):
        true, pred = np.array(y_true)[:0], np.array(y_pred, "f8")[:0]
        assert loss(true, pred) == 0.0
        assert getattr(losses, loss.kernel)(true, pred).shape == (0,)

    def test_backward_is_the_derivative(self, loss, y_true, y_pred, values):
        moved = np.array(y_pred, "f8") * 0.9 + 0.07
        true, pred, _ = losses.as_rows(y_true, moved, loss.sparse, loss)
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
    for name in ("mse", "mae", "huber", "mape", "msle", "log_cosh", "pinball", "kld"):
        assert losses.get(name)(y, y) == 0.0
    for name in ("hinge", "squared_hinge", "perceptron"):
        assert losses.get(name)(y, 2 * y - 1) == 0.0
    assert losses.CategoricalHinge()(y, y) == 0.0
    assert losses.CosineSimilarity()(y, 7 * y) == -1.0
    for name in ("binary_crossentropy", "categorical_crossentropy"):
        assert losses.get(name)(y, y) == pytest.approx(0.0, abs=1e-6)
        focal = losses.get(name.replace("crossentropy", "focal_crossentropy"))
        assert focal(y, y) == pytest.approx(0.0, abs=1e-12)


# What Keras 3.15 gives in float64 for the arrays of `of_keras`, sample by sample.
OF_KERAS = [
    ("LogCosh", {}, "real", "logits", [2.20855188, 1.69742417, 2.37487459]),
    ("Poisson", {}, "counts", "positive", [1.31500494, 1.38522625, 0.774786472]),
    ("KLDivergence", {}, "one_hot", "probabilities", [0.101025123, 0.204129221, 0.025424361]),
    ("SquaredHinge", {}, "binary", "logits", [8.02500629, 9.62536812, 7.98189592]),
    ("CategoricalHinge", {}, "one_hot", "logits", [6.66458735, 3.82846696, 7.47190475]),
    ("CosineSimilarity", {}, "real", "logits", [-0.632193029, 0.582010099, -0.0312901475]),
    ("CosineSimilarity", {}, "zeros", "logits", [-0.0, -0.0, -0.0]),
    ("MeanAbsolutePercentageError", {}, "real", "logits", [1000000700.0, 302.169991, 316.102219]),
    ("MeanSquaredLogarithmicError", {}, "counts", "logits", [1.69119883, 0.982990146, 1.03987253]),
    (
        "BinaryFocalCrossentropy",
        {},
        "binary",
        "probabilities",
        [0.674254239, 0.761380017, 1.82678485],
    ),
    (
        "BinaryFocalCrossentropy",
        {
            "apply_class_balancing": True,
            "alpha": 0.7,
            "gamma": 3.0,
            "from_logits": True,
            "label_smoothing": 0.2,
        },
        "binary",
        "logits",
        [0.34105581, 0.517057359, 0.478636503],
    ),
    (
        "CategoricalFocalCrossentropy",
        {},
        "one_hot",
        "probabilities",
        [0.138752972, 0.0203408598, 0.0419339794],
    ),
    (
        "CategoricalFocalCrossentropy",
        {"alpha": 2.0, "gamma": 1.5, "from_logits": True, "label_smoothing": 0.2},
        "one_hot",
        "logits",
        [11.4256295, 5.6108555, 12.2964898],
    ),
]


def of_keras(targets, predictions):
    """Return the arrays that the values of `OF_KERAS` belong to."""
    x = np.arange(12.0).reshape(3, 4)
    arrays = {
        "real": np.sin(3 * x),
        "logits": 4 * np.cos(2 * x),
        "probabilities": 0.5 + 0.48 * np.sin(x),
        "positive": 1.5 + np.cos(x),
        "counts": x % 3,
        "binary": x % 2,
        "one_hot": np.eye(4)[[1, 3, 0]],
        "zeros": np.zeros((3, 4)),
    }
    return arrays[targets], arrays[predictions]


@pytest.mark.parametrize(("name", "options", "targets", "predictions", "values"), OF_KERAS)
def test_values_are_those_of_keras(name, options, targets, predictions, values):
    loss = getattr(losses, name)(reduction="none", **options)
    np.testing.assert_allclose(loss(*of_keras(targets, predictions)), values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("alias", "loss"),
    [
        ("mse", losses.MeanSquaredError),
        ("MAE", losses.MeanAbsoluteError),
        ("mape", losses.MeanAbsolutePercentageError),
        ("MSLE", losses.MeanSquaredLogarithmicError),
        ("logcosh", losses.LogCosh),
        ("pinball", losses.QuantileLoss),
        ("bce", losses.BinaryCrossentropy),
        ("kld", losses.KLDivergence),
        ("KLD", losses.KLDivergence),
        ("kullback_leibler_divergence", losses.KLDivergence),
        ("perceptron", losses.PerceptronLoss),
    ],
)
def test_aliases(alias, loss):
    assert type(losses.get(alias)) is loss


class TestGaussianNLL:
    def test_targets_are_half_as_wide_as_predictions(self):
        loss = losses.GaussianNLL()
        one = np.array([[1.0, 0.0], [3.0, 0.0]])
        np.testing.assert_array_equal(losses.gaussian_nll([0.0, 1.0], one), [0.5, 2.0])
        np.testing.assert_array_equal(losses.gaussian_nll([[0.0], [1.0]], one), [0.5, 2.0])
        with pytest.raises(ValueError, match=r"y_true must have shape \(2, 1\)"):
            loss(one, one)
        with pytest.raises(ValueError, match="needs 2 outputs for each target, got 3"):
            loss(np.zeros((2, 1)), np.zeros((2, 3)))
        with pytest.raises(ValueError, match="got a single number"):
            loss(1.0, 1.0)

    def test_it_is_the_logarithm_of_the_density(self):
        mean, deviation, t = 1.0, 3.0, 2.5
        density = (
            math.exp(-(((t - mean) / deviation) ** 2) / 2) / deviation / math.sqrt(2 * math.pi)
        )
        got = losses.GaussianNLL(full=True)([t], np.array([[mean, 2 * math.log(deviation)]]))
        assert got == pytest.approx(-math.log(density))

    def test_it_is_least_at_mean_and_variance_of_the_targets(self):
        t = np.array([[1.0], [2.0], [6.0]])
        best = np.tile([t.mean(), math.log(t.var())], (3, 1))
        gradient = losses.GaussianNLL().backward(t, best)
        np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


def test_the_quantile_loss_is_least_at_the_quantile():
    t = np.arange(101.0)
    for quantile in (0.1, 0.5, 0.9):
        loss = losses.QuantileLoss(quantile)
        costs = [loss(t, np.full(101, float(guess))) for guess in range(101)]
        assert np.argmin(costs) == round(100 * quantile)


def test_tweedie_goes_by_the_mean_or_its_logarithm():
    t, p = np.array([[0.0, 3.0]]), np.array([[0.5, 2.0]])
    for power in (1.1, 1.5, 1.9):
        plain, linked = losses.Tweedie(power), losses.Tweedie(power, log_link=True)
        assert linked(t, np.log(p)) == pytest.approx(plain(t, p), rel=1e-12)
        gradient = linked.backward(t, np.log(p))
        np.testing.assert_allclose(gradient, plain.backward(t, p) * p, rtol=1e-12)


def test_without_focus_focal_losses_are_plain():
    for name, t in (("binary", np.array([[0.0, 1.0, 1.0]])), ("categorical", np.eye(3)[[1]])):
        for from_logits, p in ((False, [[0.2, 0.3, 0.9]]), (True, [[-2.0, 40.0, 0.5]])):
            p = np.array(p)
            plain = getattr(losses, f"{name}_crossentropy")(t, p, from_logits)
            options = {"alpha": 1.0, "gamma": 0.0, "from_logits": from_logits}
            focal = getattr(losses, f"{name}_focal_crossentropy")(t, p, **options)
            np.testing.assert_allclose(focal, plain, rtol=1e-12)


def test_a_vector_of_zeros_has_no_direction():
    t, p = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    loss = losses.CosineSimilarity()
    np.testing.assert_array_equal(losses.cosine_similarity(t, p), [0.0, 0.0])
    np.testing.assert_array_equal(loss.backward(t, p), np.zeros((2, 2)))


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
        (lambda: losses.QuantileLoss(1.0), "quantile"),
        (lambda: losses.Tweedie(power=1), "power"),
        (lambda: losses.Tweedie(power=2), "power"),
        (lambda: losses.BinaryFocalCrossentropy(alpha=1.5), "alpha"),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1.0), "gamma"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=-0.1), "alpha"),
        (lambda: losses.CosineSimilarity(axis=0), "axis must be -1"),
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
        ("binary_focal_crossentropy", "sigmoid", "sigmoid"),
        ("categorical_focal_crossentropy", "softmax", "softmax"),
        ("categorical_focal_crossentropy", "sigmoid", None),
        ("kl_divergence", "softmax", None),
        (losses.BinaryFocalCrossentropy(from_logits=True), "sigmoid", None),
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

    def test_may_take_several_outputs_for_each_target(self):
        class Laplace(losses.Loss):
            """Of means, then of logarithms of scales."""

            outputs_per_target = 2

            def forward(self, y_true, y_pred):
                mean, log_scale = np.split(y_pred, 2, axis=1)
                return (log_scale + np.abs(y_true - mean) * np.exp(-log_scale)).mean(axis=1)

        assert Laplace()([[1.0, 2.0]], [[1.0, 4.0, 3.0, 0.0]]) == 2.5
        assert Laplace()([1.0], [[3.0, 0.0]]) == 2.0
        with pytest.raises(ValueError, match=r"y_true must have shape \(1, 2\)"):
            Laplace()([[1.0]], [[1.0, 2.0, 3.0, 4.0]])
        for wrong in (0, 1.5):
            Laplace.outputs_per_target = wrong
            with pytest.raises(ValueError, match="outputs_per_target of loss 'Laplace' must be an"):
                Laplace()([1.0], [[3.0, 0.0]])

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
