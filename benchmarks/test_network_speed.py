"""Times of whole networks: ``pytest benchmarks/test_network_speed.py``.

A time of ``train_case`` is that of an epoch of `steps_in_epoch` steps.
"""

from __future__ import annotations

import pytest
from cases import predict_case, train_case
from contenders import installed
from networks import BATCH_SIZES, NETWORKS, network_name

pytestmark = pytest.mark.filterwarnings("default")  # the contenders have warnings of their own

CONTENDERS = tuple(installed())


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("sizes", NETWORKS, ids=network_name)
@pytest.mark.parametrize("make", [predict_case, train_case])
def test_network(benchmark, make, sizes, batch_size, contender):
    if make is train_case and not contender.trains:
        pytest.skip(f"{contender.name} does not train")
    case = make(sizes, batch_size, [contender])
    benchmark.group = f"{case.task} {case.name}"
    benchmark.extra_info["steps"] = case.steps
    benchmark(case.runs[contender.name])
