"""Time 64 small networks trained by `fastnn.fit_many`, with two threads, with one, and with one
thread in each of two processes, which is as fast as two threads could be.

    python benchmarks/fit_many_rate.py [--rounds N] [--markdown]

Each network is 64-64-10 and learns the digits that come with fastnn for 50 epochs in batches of 32.
That the results are the same for both is checked first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from time import perf_counter
from typing import Any

import machine
import measuring
import readme
import threads

NETWORKS, EPOCHS, BATCH_SIZE = 64, 50, 32


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    options = measuring.options(measuring.parser(__doc__), arguments)
    threads.set_up_for_fastnn(2)
    import numpy as np

    for one, two in zip(_weights(1), _weights(2), strict=True):
        np.testing.assert_array_equal(one, two)
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        _seconds_of_processes(processes)
        times = [
            (_seconds(1), _seconds(2), _seconds_of_processes(processes))
            for _ in range(options.rounds)
        ]
    row = [f"{NETWORKS} x 64-64-10"]
    row += [f"{median(column):.2f} s" for column in zip(*times, strict=True)]
    row.append(f"{median(one / two for one, two, _ in times):.2f}")
    row.append(f"{median(one / apart for one, _, apart in times):.2f}")
    head = ["", "one thread", "two threads", "two processes", "gain of threads", "of processes"]
    table = readme.table(head, [row])
    text = f"{machine.sentence(machine.describe(2))}\n\n{table}"
    print(text)
    if options.markdown:
        readme.rewrite("fit_many", text)


def _networks(count: int) -> list[Any]:
    import fastnn
    from fastnn.layers import Dense

    fastnn.utils.set_random_seed(0)
    models = []
    for _ in range(count):
        layers = [Dense(64, "relu", input_dim=64), Dense(10, "softmax")]
        models.append(fastnn.Sequential(layers))
        models[-1].compile("adam", "sparse_categorical_crossentropy")
    return models


def _train(models: list[Any], epochs: int, jobs: int) -> None:
    import fastnn

    (x, y), _ = fastnn.datasets.load_digits()
    fastnn.fit_many(models, x / 16, y, batch_size=BATCH_SIZE, epochs=epochs, n_jobs=jobs)


def _weights(jobs: int) -> list[Any]:
    """Return the weights of a few networks after two epochs."""
    models = _networks(4)
    _train(models, 2, jobs)
    return [w for model in models for w in model.get_weights()]


def _seconds(jobs: int, count: int = NETWORKS) -> float:
    models = _networks(count)
    start = perf_counter()
    _train(models, EPOCHS, jobs)
    return perf_counter() - start


def _seconds_of_processes(processes: ProcessPoolExecutor) -> float:
    """Return how long the slower of two processes takes for half of the networks."""
    return max(processes.map(_seconds, (1, 1), (NETWORKS // 2, NETWORKS // 2)))


if __name__ == "__main__":
    sys.exit(main())
