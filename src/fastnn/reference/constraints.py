"""Constraints on weights, with the formulas of Keras 3, in place."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_constrained, check_norm_bounds
from fastnn.reference._arrays import ieee_arithmetic

EPSILON = 1e-7
"""Added to norms before they divide."""


def non_neg(parameter: np.ndarray) -> None:
    """Set what is negative to 0.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, one axis or more, C-contiguous
        Changed in place. NaN stays.

    Raises
    ------
    TypeError
        If it is not an array of a float type.
    ValueError
        If it has no axis, is read-only or not contiguous.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> non_neg(w)
    >>> w
    array([1., 0.])
    """
    check_constrained(parameter)
    parameter[parameter < 0] = 0


@ieee_arithmetic()
def min_max_norm(
    parameter: np.ndarray, *, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0
) -> None:
    """Scale vectors along the first axis so that their Euclidean norms lie between two bounds.

    ::

        norm = sqrt(sum(parameter**2, axis=0))
        desired = rate * clip(norm, min_value, max_value) + (1 - rate) * norm
        parameter *= desired / (1e-7 + norm)

    The columns of a kernel of shape (inputs, units) are the vectors, and a bias is one.

    Parameters
    ----------
    parameter : ndarray of float32 or float64, one axis or more, C-contiguous
        Changed in place.
    min_value : float, default 0.0
        At least 0.
    max_value : float, default 1.0
        At least `min_value`.
    rate : float, default 1.0
        How far to go towards the nearest bound, in [0, 1]: 1 is all the way.

    Raises
    ------
    TypeError
        If it is not an array of a float type, or a bound is no number.
    ValueError
        If it has no axis, is read-only or not contiguous, or a number is out of range.

    References
    ----------
    .. [1] Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from
       overfitting", section 5.1. (The upper bound.)

    Examples
    --------
    >>> w = np.array([[3.0, 0.3], [4.0, 0.4]])
    >>> min_max_norm(w, max_value=1.0)
    >>> w.round(6)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """
    check_constrained(parameter)
    low, high, rate = check_norm_bounds(min_value, max_value, rate)
    norm = np.sqrt(np.sum(np.square(parameter, dtype=np.float64), axis=0))
    desired = rate * np.clip(norm, low, high) + (1.0 - rate) * norm
    parameter *= (desired / (EPSILON + norm)).astype(parameter.dtype)
