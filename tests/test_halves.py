"""Products that are summed up in two halves: the same bits for any number of threads, and right."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import Input, Sequential
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Activation, Dense, Dropout, Residual

# Inputs, rows of a batch, and layers. Long rows of kernels are packed, others read where they are.
# Halves of gathered rows have a place of their own, unless they are read again in a block or for a
# gradient that others need.
NETWORKS = {
    "direct": (784, 32, lambda: [Dense(128, "relu"), Dense(3)]),
    "many": (784, 130, lambda: [Dense(128, "relu"), Dense(3)]),
    "uneven": (333, 9, lambda: [Dense(397, "tanh", use_bias=False), Dense(3)]),
    "packed": (1000, 120, lambda: [Dense(300, "gelu"), Dense(3)]),
    "colliding": (530, 40, lambda: [Dense(512), Activation("softmax"), Dense(3)]),
    "hidden": (20, 33, lambda: [Dense(520), Dropout(0.1), Dense(260, "relu"), Dense(3)]),
    "block": (600, 64, lambda: [Residual([Dense(600, "relu")]), Dense(3)]),
    "regularized": (700, 50, lambda: [Dense(300, "relu", kernel_regularizer="l2"), Dense(3)]),
    "two": (600, 64, lambda: [Dense(530, "elu"), Dense(270, "sigmoid"), Dense(3)]),
}


def trained(name, *, shuffle=True, dtype="float32", engine="native"):
    """Return all that comes of two epochs, whose last batches have a single row."""
    fastnn.utils.set_random_seed(1)
    inputs, rows, layers = NETWORKS[name]
    model = Sequential([Input((inputs,)), *layers()], dtype=dtype, engine=engine)
    model.compile(fastnn.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3 * rows + 1, inputs)), rng.normal(size=(3 * rows + 1, 3))
    history = model.fit(x, y, rows, epochs=2, shuffle=shuffle, verbose=0).history
    scores = model.evaluate(x, y, batch_size=rows, verbose=0)
    return [*model.get_weights(), *map(np.array, history.values()), np.array(scores)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_any_number_of_threads_gives_the_same_bits(isa, name, shuffle, dtype):
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        results.append(trained(name, shuffle=shuffle, dtype=dtype))
    for others in results[1:]:
        for one, several in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_engines_agree(isa, name, threads):
    with fastnn.use_threads(threads):
        native = trained(name, dtype="float64")
    reference = trained(name, dtype="float64", engine="reference")
    for got, expected in zip(native, reference, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


def test_a_trainer_has_room_for_no_more_threads_than_it_was_made_for():
    inputs, rows, layers = NETWORKS["packed"]
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, 3))
    results = []
    for later in (1, 2):
        fastnn.utils.set_random_seed(1)
        model = Sequential([Input((inputs,)), *layers()])
        model.compile("sgd", "mse")
        more = LambdaCallback(on_epoch_end=lambda *_, n=later: fastnn.set_num_threads(n))
        fastnn.set_num_threads(1)
        model.fit(x, y, rows, epochs=4, callbacks=[more], verbose=0)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
