"""Times with data as users have them: ``pytest benchmarks/test_input_speed.py``.

Predictions from other arrays than C-contiguous ones of the model's type, which for NumPy have to be
converted first; and training steps on batches that come one by one.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from contenders.fastnn_network import FastnnNetwork
from contenders.numpy_network import NumpyNetwork
from networks import DIGITS, TINY, ExactNetwork, initial_weights, network_name, samples

FORMS = {
    "float32": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "float64 by columns": lambda x: np.asfortranarray(x, np.float64),
    "list": lambda x: x.tolist(),
}


CONTENDERS = {"fastnn": FastnnNetwork, "NumPy": NumpyNetwork}


def predicting(contender, x):
    """Return what a user does for a prediction from `x`."""
    if isinstance(contender, FastnnNetwork):
        return partial(contender.predict_method, x)
    return lambda: contender.predict(np.asarray(x, np.float32, order="C"))


def stepping(contender, x, y):
    """Return what a user does for a training step on `x` and `y`."""
    if isinstance(contender, FastnnNetwork):
        return partial(contender.model.train_on_batch, x, y)
    return partial(contender.train, x, y, len(x))


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 4096])
@pytest.mark.parametrize("sizes", [TINY, DIGITS], ids=network_name)
def test_prediction(benchmark, sizes, rows, form, name):
    weights = initial_weights(sizes)
    x, _ = samples(sizes, rows)
    predict = predicting(CONTENDERS[name](weights), FORMS[form](x))
    np.testing.assert_allclose(predict(), ExactNetwork(weights).predict(x), rtol=1e-4, atol=1e-6)
    benchmark.group = f"{network_name(sizes)}, {rows} rows, {form}"
    benchmark(predict)


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("sizes", [TINY, DIGITS], ids=network_name)
def test_single_step(benchmark, sizes, name):
    weights, (x, y) = initial_weights(sizes), samples(sizes, 32)
    contender, exact = CONTENDERS[name](weights), ExactNetwork(weights)
    step = stepping(contender, x, y)
    step()
    exact.train(x, y)
    for got, expected in zip(contender.weights(), exact.weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)
    benchmark.group = f"{network_name(sizes)}, a step on 32 rows"
    benchmark(step)
