"""Times of one dense layer, forward and backward: ``pytest benchmarks/test_dense_speed.py``."""

from __future__ import annotations

import pytest
from cases import DENSE_SHAPES, dense_backward, dense_forward


@pytest.mark.parametrize("contender", ["fastnn", "NumPy"])
@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("make", [dense_forward, dense_backward])
def test_dense(benchmark, make, shape, contender):
    case = make(*shape)
    benchmark.group = f"{case.task} {case.name}"
    benchmark(case.runs[contender])
