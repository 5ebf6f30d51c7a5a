"""Numerical derivatives, to check gradients against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RTOL = 5e-6


def numerical_gradient(
    function: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-3
) -> np.ndarray:
    """Return the gradient of a scalar function at `x` (float64) by central differences.

    Fourth order: (8 (f(x + h) - f(x - h)) - (f(x + 2 h) - f(x - 2 h))) / (12 h).
    """
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):

        def at(offset: float, index: tuple[int, ...] = index) -> float:
            moved = x.copy()
            moved[index] += offset
            return float(function(moved))

        gradient[index] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    return gradient
