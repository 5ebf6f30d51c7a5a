"""The reference's losses: hand-worked values, invariants and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_cases import CASES, IDS, targets_and_predictions
from numeric import RTOL, numerical_gradient
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import _checks
from fastnn.reference import log_softmax, loss_backward, loss_forward, softmax
from fastnn.reference import losses as module

DTYPES = [np.float32, np.float64]
SPARSE = "sparse_categorical_crossentropy"
cases = pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)


def data(loss, options, n=6, k=4, dtype=np.float64):
    """Return targets and predictions that the loss can be given."""
    return targets_and_predictions(np.random.default_rng(1), loss, options, n, k, dtype)


def test_tables_name_every_loss():
    assert set(module.FROM_PREDICTIONS) == {loss for loss, _ in CASES} == set(_checks.LOSS_OPTIONS)
    assert set(module.FROM_LOGITS) == {
        loss for loss, options in _checks.LOSS_OPTIONS.items() if "from_logits" in options
    }


@pytest.mark.parametrize(
    ("loss", "t", "p", "options", "expected"),
    [
        ("mean_squared_error", [0, 1], [1, 4], {}, 5),
        ("mean_absolute_error", [0, 1], [1, -2], {}, 2),
        ("huber", [0, 0], [0.5, -3], {}, (0.125 + 2.5) / 2),
        ("huber", [0, 0], [0.5, -3], {"delta": 0.5}, (0.125 + 1.375) / 2),
        ("hinge", [1, 0, -1, 1], [0.25, 0.5, 0.5, 2], {}, (0.75 + 1.5 + 1.5 + 0) / 4),
        ("binary_crossentropy", [1, 0], [0.5, 0.75], {}, (math.log(2) + math.log(4)) / 2),
        ("binary_crossentropy", [1], [0.25], {"label_smoothing": 1.0}, -math.log(3 / 16) / 2),
        ("binary_crossentropy", [1, 0], [0, 0], {"from_logits": True}, math.log(2)),
        ("categorical_crossentropy", [0, 1], [1, 3], {}, -math.log(0.75)),
        ("categorical_crossentropy", [0, 1], [0, 0], {"from_logits": True}, math.log(2)),
        (
            "categorical_crossentropy",
            [0, 1],
            [1, 3],
            {"label_smoothing": 0.5},
            -0.75 * math.log(0.75) - 0.25 * math.log(0.25),
        ),
    ],
)
def test_by_hand(loss, t, p, options, expected):
    t, p = np.array([t], dtype=np.float64), np.array([p], dtype=np.float64)
    assert_allclose(loss_forward(t, p, loss, **options), [expected], rtol=1e-14)


@pytest.mark.parametrize("from_logits", [False, True])
def test_sparse_is_categorical_of_one_hot(from_logits):
    labels, y_pred = data(SPARSE, {"from_logits": from_logits})
    one_hot = np.eye(4)[labels]
    for function in (loss_forward, loss_backward):
        assert_array_equal(
            function(labels, y_pred, SPARSE, from_logits=from_logits),
            function(one_hot, y_pred, "categorical_crossentropy", from_logits=from_logits),
        )


@cases
def test_gradient(loss, options):
    y_true, y_pred = data(loss, options)
    expected = numerical_gradient(lambda p: loss_forward(y_true, p, loss, **options).sum(), y_pred)
    assert_allclose(loss_backward(y_true, y_pred, loss, **options), expected, rtol=RTOL, atol=1e-10)


def test_gradient_for_targets_that_do_not_sum_to_one():
    t, z = np.array([[0.5, 1.5, 0.25]]), np.array([[0.3, -1.0, 2.0]])
    loss, options = "categorical_crossentropy", {"from_logits": True}
    expected = numerical_gradient(lambda v: loss_forward(t, v, loss, **options).sum(), z)
    assert_allclose(loss_backward(t, z, loss, **options), expected, rtol=RTOL)


@pytest.mark.parametrize("dtype", DTYPES)
@cases
def test_shape_and_dtype(loss, options, dtype):
    for n, k in [(6, 4), (0, 4), (1, 1)]:
        y_true, y_pred = data(loss, options, n, k, dtype)
        values = loss_forward(y_true, y_pred, loss, **options)
        assert (values.shape, values.dtype) == ((n,), dtype)
        grad = loss_backward(y_true, y_pred, loss, **options)
        assert (grad.shape, grad.dtype) == (y_pred.shape, dtype)


@cases
def test_sample_weights_multiply(loss, options):
    y_true, y_pred = data(loss, options)
    weights = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 1.0])
    grad = loss_backward(y_true, y_pred, loss, **options)
    weighted = loss_backward(y_true, y_pred, loss, sample_weight=weights, **options)
    assert_array_equal(weighted, weights[:, np.newaxis] * grad)


@cases
def test_rows_do_not_feel_each_other(loss, options):
    y_true, y_pred = data(loss, options)
    values = loss_forward(y_true, y_pred, loss, **options)
    assert_allclose(loss_forward(y_true[2:4], y_pred[2:4], loss, **options), values[2:4])


@cases
def test_out_may_be_the_prediction(loss, options):
    y_true, y_pred = data(loss, options)
    expected = loss_backward(y_true, y_pred, loss, **options)
    assert loss_backward(y_true, y_pred, loss, out=y_pred, **options) is y_pred
    assert_array_equal(y_pred, expected)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_perfect_prediction(loss):
    t = np.array([[0.5, -2.0], [3.0, 0.0]])
    assert_array_equal(loss_forward(t, t, loss), 0)
    assert_array_equal(loss_backward(t, t, loss), 0)


def test_crossentropy_is_least_at_the_target():
    t = np.array([[0.2, 0.5, 0.3]])
    for loss, z in [
        ("categorical_crossentropy", np.log(t)),
        ("binary_crossentropy", np.log(t / (1 - t))),
    ]:
        assert_allclose(loss_backward(t, t, loss), 0, atol=1e-14)
        assert_allclose(loss_backward(t, z, loss, from_logits=True), 0, atol=1e-14)


def test_logits_and_probabilities_agree():
    z = np.array([[0.3, -1.0, 2.0], [0.0, 5.0, -5.0]])
    t = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert_allclose(
        loss_forward(t, z, "categorical_crossentropy", from_logits=True),
        loss_forward(t, softmax(z), "categorical_crossentropy"),
        rtol=1e-12,
    )
    assert_allclose(
        loss_forward(t, z, "binary_crossentropy", from_logits=True),
        loss_forward(t, 1 / (1 + np.exp(-z)), "binary_crossentropy"),
        rtol=1e-12,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_logits_are_exact(dtype):
    z = np.array([[1000.0, -1000.0]], dtype)
    t = np.array([[0.0, 1.0]], dtype)
    with np.errstate(all="raise"):
        assert loss_forward(t, z, "categorical_crossentropy", from_logits=True) == 2000
        assert loss_forward(t, z, "binary_crossentropy", from_logits=True) == 1000
        assert_array_equal(
            loss_backward(t, z, "categorical_crossentropy", from_logits=True), [[1, -1]]
        )
        assert_array_equal(
            loss_backward(t, z, "binary_crossentropy", from_logits=True), [[0.5, -0.5]]
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_are_clipped(dtype):
    p = np.array([[0.0, 1.0]], dtype)
    t = np.array([[1.0, 0.0]], dtype)
    low, high = dtype(1e-7), dtype(1 - 1e-7)
    worst = -(np.log(low) + np.log1p(-high)) / 2
    assert_allclose(loss_forward(t, p, "binary_crossentropy"), [worst], rtol=1e-6)
    assert_allclose(loss_forward(t, p, "categorical_crossentropy"), [-np.log(low)], rtol=1e-6)
    assert_array_equal(loss_backward(t, p, "binary_crossentropy"), 0)
    assert_array_equal(loss_backward(t, p, "categorical_crossentropy"), 0)


def test_clip_lets_its_bounds_through():
    bound = np.array([[1e-7]])
    assert_allclose(loss_backward(np.ones((1, 1)), bound, "binary_crossentropy"), [[-1e7]])


def test_impossible_class_of_weight_zero_costs_nothing():
    z = np.array([[0.0, -np.inf]])
    t = np.array([[1.0, 0.0]])
    assert_array_equal(loss_forward(t, z, "categorical_crossentropy", from_logits=True), [0])
    assert_array_equal(loss_backward(t, z, "categorical_crossentropy", from_logits=True), [[0, 0]])


def test_kinks():
    t = np.array([[1.0]])
    assert loss_backward(t, np.array([[1.0]]), "mean_absolute_error") == 0
    assert loss_backward(t, np.array([[1.0]]), "hinge") == 0
    assert loss_backward(t, np.array([[0.5]]), "hinge") == -1
    assert loss_backward(t, np.array([[3.0]]), "huber") == 1


def test_hinge_takes_both_codings_of_labels():
    p = np.array([[0.3, -0.2, 2.0]])
    zeros, minus_ones = np.array([[0.0, 1.0, 0.0]]), np.array([[-1.0, 1.0, -1.0]])
    for function in (loss_forward, loss_backward):
        assert_array_equal(function(zeros, p, "hinge"), function(minus_ones, p, "hinge"))


@cases
def test_nan_comes_through(loss, options):
    y_true, y_pred = data(loss, options)
    y_pred[2, 1] = np.nan
    with np.errstate(all="raise"):
        assert np.isnan(loss_forward(y_true, y_pred, loss, **options)[2])
        grad = loss_backward(y_true, y_pred, loss, **options)
    assert np.isnan(grad[2, 1])
    assert np.isfinite(np.delete(grad, 2, axis=0)).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e38])
@cases
def test_extreme_predictions_are_silent(loss, options, value):
    y_true, y_pred = data(loss, options, dtype=np.float32)
    y_pred[:, 0] = value
    with np.errstate(all="raise"):
        loss_forward(y_true, y_pred, loss, **options)
        loss_backward(y_true, y_pred, loss, **options)


def test_from_logits_is_minus_log_softmax():
    labels, z = data(SPARSE, {"from_logits": True})
    expected = -log_softmax(z)[np.arange(len(z)), labels]
    assert_array_equal(loss_forward(labels, z, SPARSE, from_logits=True), expected)
