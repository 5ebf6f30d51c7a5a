"""What two models have learnt, compared bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def assert_same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
