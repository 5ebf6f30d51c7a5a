"""Errors and divergences, one value for each sample, in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn.losses import as_rows
from fastnn.reference._arrays import ieee_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

EPSILON = 1e-7
"""What keeps quotients and logarithms finite."""


@ieee_arithmetic()
def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``100 * mean(|y_pred - y_true| / max(|y_true|, 1e-7))`` per sample."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    error = np.abs(pred - true) / np.maximum(np.abs(true), EPSILON)
    return 100 * error.mean(axis=1, dtype=np.float64).reshape(shape)


@ieee_arithmetic()
def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean((log(1 + y_pred) - log(1 + y_true))**2)`` per sample.

    Values below 1e-7 count as 1e-7.
    """
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    error = np.log1p(np.maximum(pred, EPSILON)) - np.log1p(np.maximum(true, EPSILON))
    return np.square(error).mean(axis=1, dtype=np.float64).reshape(shape)


@ieee_arithmetic()
def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(log(cosh(y_pred - y_true)))`` per sample."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    size = np.abs(np.subtract(pred, true, dtype=np.float64))
    # log((exp(e) + exp(-e)) / 2) with exp(e) taken out, so that it cannot overflow.
    return (size + np.log1p(np.expm1(-2 * size) / 2)).mean(axis=1).reshape(shape)


@ieee_arithmetic()
def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(y_pred - y_true * log(y_pred + 1e-7))`` per sample."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    values = pred - true * np.log(pred + pred.dtype.type(EPSILON))
    return values.mean(axis=1, dtype=np.float64).reshape(shape)


@ieee_arithmetic()
def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``sum(y_true * log(y_true / y_pred))`` per sample, of values held in [1e-7, 1]."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    true, pred = np.clip(true, EPSILON, 1), np.clip(pred, EPSILON, 1)
    return (true * np.log(true / pred)).sum(axis=1, dtype=np.float64).reshape(shape)


@ieee_arithmetic()
def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``mean(max(0, 1 - t * y_pred)**2)`` per sample, t = 1 where y_true > 0, else -1."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    miss = np.maximum(1 - np.where(true > 0, pred, -pred), 0)
    return np.square(miss).mean(axis=1, dtype=np.float64).reshape(shape)


@ieee_arithmetic()
def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
    """Return ``max(0, 1 + max((1 - t) * y_pred) - sum(t * y_pred))`` per sample, t = y_true."""
    true, pred, shape = as_rows(y_true, y_pred, sparse=False)
    wrong = ((1 - true) * pred).max(axis=1)
    right = (true * pred).sum(axis=1)
    return np.maximum(wrong - right + 1, 0).reshape(shape)
