"""The reference's metrics, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import _checks
from fastnn.reference import metric_values

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_accuracy(dtype):
    y_true = np.array([[1, 0, 1, 0], [1, 1, 0, 0]], dtype)
    y_pred = np.array([[0.9, 0.6, 0.5, 0.1], [0.6, 0.7, 0.2, 0.3]], dtype)
    values = metric_values(y_true, y_pred, "binary_accuracy")
    assert values.dtype == dtype
    assert_array_equal(values, [0.5, 1.0])
    assert_array_equal(
        metric_values(y_true, y_pred, "binary_accuracy", threshold=0.65), [0.75, 0.75]
    )


def test_threshold_is_rounded_to_the_dtype():
    y_pred = np.array([[0.3]], np.float32)
    y_true = np.zeros((1, 1), np.float32)
    assert_array_equal(metric_values(y_true, y_pred, "binary_accuracy", threshold=0.3), [1])


def test_soft_targets_are_never_hit():
    assert_array_equal(metric_values(np.array([[0.5]]), np.array([[0.9]]), "binary_accuracy"), [0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_categorical_accuracies(dtype):
    y_pred = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]], dtype)
    labels = np.array([1, 1, 2], np.int32)
    values = metric_values(labels, y_pred, "sparse_categorical_accuracy")
    assert values.dtype == dtype
    # In the second row the first of two equals counts.
    assert_array_equal(values, [1, 0, 1])
    one_hot = np.eye(3, dtype=dtype)[labels]
    assert_array_equal(metric_values(one_hot, y_pred, "categorical_accuracy"), [1, 0, 1])


def test_nan_counts_as_greatest():
    y_pred = np.array([[1.0, np.nan, 2.0]])
    labels = np.array([1], np.int32)
    assert_array_equal(metric_values(labels, y_pred, "sparse_categorical_accuracy"), [1])


def test_errors():
    y_true, y_pred = np.array([[0.0, 1.0]]), np.array([[1.0, -2.0]])
    assert_allclose(metric_values(y_true, y_pred, "mean_squared_error"), [5])
    assert_allclose(metric_values(y_true, y_pred, "mean_absolute_error"), [2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", _checks.METRICS)
def test_no_rows(metric, dtype):
    y_pred = np.zeros((0, 3), dtype)
    sparse = metric == "sparse_categorical_accuracy"
    values = metric_values(np.zeros(0, np.int32) if sparse else y_pred, y_pred, metric)
    assert (values.shape, values.dtype) == ((0,), dtype)
