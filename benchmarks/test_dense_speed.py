"""Times of one dense layer, forward and backward: ``pytest benchmarks/test_dense_speed.py``."""

from __future__ import annotations

import pytest
from cases import cases
from jobs import make


@pytest.mark.parametrize("contender", ["fastnn", "NumPy"])
@pytest.mark.parametrize("case", cases("forward") + cases("backward"), ids=lambda case: case.name)
def test_dense(benchmark, case, contender):
    benchmark.group = f"{case.task} {case.name}"
    benchmark(make(contender, case.task, case.parameters).run)
