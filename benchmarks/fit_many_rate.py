"""Time 64 small networks trained by `fastnn.fit_many`, with two threads and with one.

    python benchmarks/fit_many_rate.py [--rounds N] [--markdown]

Each network is 64-64-10 and learns the digits that come with fastnn for 50 epochs in batches of 32.
That the results are the same for both is checked first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
    pairs = [(_seconds(1), _seconds(2)) for _ in range(options.rounds)]
    one, two = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(a / b for a, b in pairs)
    row = [f"{NETWORKS} x 64-64-10", f"{one:.2f} s", f"{two:.2f} s", f"{ratio:.2f}"]
    table = readme.table(["", "one thread", "two threads", "ratio"], [row])
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


def _seconds(jobs: int) -> float:
    models = _networks(NETWORKS)
    start = perf_counter()
    _train(models, EPOCHS, jobs)
    return perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
