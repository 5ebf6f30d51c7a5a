"""What is looked for in arrays before they are worked with."""

from __future__ import annotations

import numpy as np

from fastnn._checks import check_numbers


def all_finite(x: np.ndarray) -> bool:
    """Tell whether no element is NaN or infinite.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape

    Returns
    -------
    bool
        True of an array without elements.

    Raises
    ------
    TypeError
        If it is not an array of a float type.

    Examples
    --------
    >>> all_finite(np.array([1.0, 2.0])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    check_numbers(x)
    return bool(np.isfinite(x).all())
