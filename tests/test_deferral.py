"""Gradients of large kernels that wait for the update change no bit of what is learnt."""

from __future__ import annotations

import numpy as np
import pytest
from states import assert_same

from fastnn import Sequential, optimizers, use_threads
from fastnn.layers import Activation, Dense, Dropout
from fastnn.utils import set_random_seed

OPTIMIZERS = [
    lambda **clip: optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1, **clip),
    lambda **clip: optimizers.Adam(0.01, amsgrad=True, **clip),
    lambda **clip: optimizers.AdamW(0.01, use_ema=True, ema_overwrite_frequency=2, **clip),
    lambda **clip: optimizers.RMSprop(0.01, momentum=0.5, centered=True, epsilon=1e-3, **clip),
]


def stacks():
    """Layers of which the lowest have kernels of more than a quarter of a megabyte, or of one."""
    yield [Dense(150, "tanh", input_dim=521), Dense(440, "relu"), Dense(3, "softmax")]
    yield [Dense(530, "tanh", input_dim=521), Dense(513, "relu"), Dense(3, "softmax")]
    yield [
        Dense(530, input_dim=521),
        Activation("gelu"),
        Dropout(0.2, seed=1),
        Dense(513, "relu", use_bias=False),
        Dense(514, "tanh"),
        Dense(3, "softmax"),
    ]
    yield [
        Dense(530, "relu", input_dim=521, kernel_regularizer="l2"),
        Dense(513, "softmax"),
        Dense(3, "softmax"),
    ]
    frozen = Dense(530, "tanh", input_dim=521)
    frozen.trainable = False
    yield [frozen, Dense(513, "relu"), Dense(514, "glu"), Dense(3, "softmax")]


def learnt(layers, optimizer, dtype, rows, batch_size, threads):
    set_random_seed(0)
    model = Sequential(layers, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, 521)), rng.integers(0, 3, size=rows)
    with use_threads(threads):
        model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0)
    return [*model.get_weights(), *model.optimizer.state.slots]


# A bound that nothing reaches has the gradients worked out as a whole, for they may be clipped.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_with_whole_gradients(isa, dtype, optimizer):
    for rows, batch_size in [(3, 1), (12, 5)]:
        for waiting, whole in zip(stacks(), stacks(), strict=True):
            assert_same(
                learnt(waiting, optimizer(), dtype, rows, batch_size, 1),
                learnt(whole, optimizer(clipvalue=1e30), dtype, rows, batch_size, 1),
            )


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_with_several_threads(threads):
    one = learnt(next(stacks()), optimizers.Adam(0.01), "float32", 40, 20, 1)
    assert_same(learnt(next(stacks()), optimizers.Adam(0.01), "float32", 40, 20, threads), one)
