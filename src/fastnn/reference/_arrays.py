"""What every kernel of the reference does around its formula."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def ieee_arithmetic() -> Iterator[None]:
    """Let overflow give infinity and undefined operations NaN in silence, as compiled code does.

    Also a decorator. Unlike `numpy.errstate` itself, which keeps the former state on the
    instance before NumPy 2, it may be entered by several threads at once.
    """
    with np.errstate(all="ignore"):
        yield


def deliver(result: np.ndarray, dtype: np.dtype, out: np.ndarray | None) -> np.ndarray:
    """Return `result` in `dtype`, in `out` if that is given.

    As `result` is complete before `out` is written, `out` may overlap with any input.
    """
    if out is None:
        return np.asarray(result, dtype=dtype)
    out[...] = result
    return out
