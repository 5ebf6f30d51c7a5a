"""Times of whole networks: ``pytest benchmarks/test_network_speed.py``.

Only of fastnn and NumPy: the other libraries' threads would disturb one another in one process,
which is why `compare.py` gives each its own. The time of a training is that of a whole epoch.
"""

from __future__ import annotations

import pytest
from cases import cases
from jobs import make


@pytest.mark.parametrize("contender", ["fastnn", "NumPy"])
@pytest.mark.parametrize("case", cases("predict") + cases("train"), ids=lambda case: case.name)
def test_network(benchmark, case, contender):
    job = make(contender, case.task, case.parameters)
    benchmark.group = f"{case.task} {case.name}"
    benchmark.extra_info["steps"] = job.steps
    benchmark(job.run)
