"""Whether a contender computes what it is to be timed for."""

from __future__ import annotations

import numpy as np


class WrongResultError(Exception):
    """A contender computes something else."""


def check(what: str, error: float, tolerance: float) -> None:
    """Raise if `error`, which may be NaN, is not within `tolerance`."""
    if not error <= tolerance:
        raise WrongResultError(f"{what}: the error is {error:.2g}, over {tolerance:g}")


def relative_error(got: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error relative to the largest magnitude."""
    return float(np.abs(got - exact).max() / np.abs(exact).max())
