"""Updates of embeddings by the rows that a batch names change no bit of what is learnt."""

from __future__ import annotations

import numpy as np
import pytest
from states import assert_same

from fastnn import Sequential, optimizers, use_threads
from fastnn.layers import CategoricalEmbedding, Dense, Embedding, Flatten, Rescaling
from fastnn.utils import set_random_seed

ROWS = 700
"""Of a table: many more than a batch of 5 names, fewer than one of 300 does."""

OPTIMIZERS = [
    lambda **clip: optimizers.SGD(0.05, **clip),
    lambda **clip: optimizers.SGD(0.05, momentum=0.9, **clip),
    lambda **clip: optimizers.SGD(0.05, weight_decay=0.1, **clip),
    lambda **clip: optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=2, **clip),
    lambda **clip: optimizers.Adagrad(0.1, **clip),
    lambda **clip: optimizers.Adagrad(0.1, weight_decay=0.1, **clip),
    lambda **clip: optimizers.Adam(0.01, **clip),
]


def one_table(**options):
    return [Embedding(ROWS, 5, input_shape=(3,), **options), Flatten(), Dense(2)]


def several_tables():
    """Of two columns, one of which has few rows; the layer need not be the first."""
    below = Rescaling(1.0, input_dim=3)
    return [below, CategoricalEmbedding({0: ROWS, 2: 9}, {0: 3, 2: 17}), Dense(2)]


def stacks():
    frozen = one_table()
    frozen[0].trainable = False
    yield from (one_table(), several_tables(), one_table(embeddings_regularizer="l2"), frozen)


def samples(count):
    """Rows of row numbers, some of which come several times."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 9, size=(count, 3))
    x[:, 0] = rng.integers(0, ROWS, size=count)
    return x, rng.normal(size=(count, 2))


def compiled(layers, optimizer, dtype="float32", **options):
    set_random_seed(0)
    model = Sequential(layers, dtype=dtype)
    model.compile(optimizer, "mse", **options)
    return model


def learnt(layers, optimizer, dtype, count, batch_size, threads=1):
    model = compiled(layers, optimizer, dtype)
    with use_threads(threads):
        model.fit(*samples(count), batch_size=batch_size, epochs=3, verbose=0)
    return [*model.get_weights(), *model.optimizer.state.slots]


# A bound that nothing reaches has the gradients of all rows worked on, for they may be clipped. The
# last batches are short: in turn few rows are named, and many or, in several parts, all.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_among_all_rows(isa, dtype, optimizer):
    for count, batch_size in [(12, 5), (310, 300), (670, 650)]:
        for named, whole in zip(stacks(), stacks(), strict=True):
            assert_same(
                learnt(named, optimizer(), dtype, count, batch_size),
                learnt(whole, optimizer(clipvalue=1e30), dtype, count, batch_size),
            )


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_with_several_threads(threads):
    one, several = one_table(), one_table()
    assert_same(
        learnt(several, optimizers.SGD(0.05), "float32", 670, 650, threads),
        learnt(one, optimizers.SGD(0.05), "float32", 670, 650),
    )


@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adam])
def test_a_step_that_fails_leaves_no_gradient_behind(optimizer):
    failing = False

    def metric(y_true, y_pred):
        if failing:
            raise ArithmeticError("no metric today")
        return np.zeros(len(y_true))

    model = compiled(one_table(), optimizer(0.05), metrics=[metric])
    expected = compiled(one_table(), optimizer(0.05), metrics=[metric])
    x, y = samples(15)
    for step in range(3):
        rows = slice(5 * step, 5 * step + 5)
        if step != 1:
            model.train_on_batch(x[rows], y[rows])
            expected.train_on_batch(x[rows], y[rows])
            continue
        failing = True
        with pytest.raises(ArithmeticError, match="no metric today"):
            model.train_on_batch(x[rows], y[rows])
        failing = False
    assert_same(model.get_weights(), expected.get_weights())
