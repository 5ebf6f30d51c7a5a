"""What two models have learnt, compared bit by bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def assert_same(ones: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> None:
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)
