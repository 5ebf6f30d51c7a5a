"""Parts of batches: there is room for each, and results do not depend on who works on them."""

from __future__ import annotations

import signal
import sys

import numpy as np
import pytest

import fastnn
from fastnn import Input, Sequential, models
from fastnn.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    LayerNormalization,
    Maxout,
    SimpleRNN,
)
from fastnn.native.parts import MOST_TOGETHER, WORTH_FLOPS, WORTH_ROWS, Parts

WIDE = [Dense(700, "gelu"), Dropout(0.3), Dense(3)]
MIDDLE = [Dense(300, "relu"), Dense(250, "tanh"), Dense(3)]

STACKS = {
    "narrow": [Dense(64, "relu"), Dense(64, "tanh"), Dense(3)],
    "wide": WIDE,
    "middle": MIDDLE,
    "noise": [GaussianNoise(0.1), Dense(400, "elu"), LayerNormalization(), Dense(3)],
    "pieces": [Maxout(120), Dense(3)],
    "steps": [SimpleRNN(24, activation="tanh"), Dense(3)],
    "only a layer": [LayerNormalization(), Dense(3, use_bias=False)],
}


def made(name, dtype="float32", engine="native"):
    fastnn.utils.set_random_seed(1)
    shape = (6, 5) if name == "steps" else (30,)
    layers = [type(layer).from_config(layer.get_config()) for layer in STACKS[name]]
    model = Sequential([Input(shape), *layers], dtype=dtype, engine=engine)
    model.compile("adam", "mse", metrics=["mae"])
    rng = np.random.default_rng(2)
    return model, rng.normal(size=(1100, *shape)), rng.normal(size=(1100, 3))


def trained(name, batch_size, **options):
    """Return all that comes of two epochs, the second in an order of its own."""
    model, x, y = made(name, **options)
    weight = np.random.default_rng(3).uniform(0, 2, len(x))
    history = model.fit(x, y, batch_size, epochs=2, sample_weight=weight, verbose=0).history
    scores = model.evaluate(x, y, batch_size=batch_size, verbose=0)
    return [*model.get_weights(), *map(np.array, history.values()), np.array(scores)]


def parts_of(layers, inputs=(30,)):
    model = Sequential([Input(inputs), *layers])
    model.build()
    program = models._lower(model.layers, (None, *inputs), np.dtype("float32"))
    return Parts.of(program)


@pytest.mark.parametrize("most", [32, 100, 512])
@pytest.mark.parametrize("worth", [WORTH_ROWS, 190, 400, None])
@pytest.mark.parametrize("long_products", [False, True])
def test_there_is_room_for_every_part(most, worth, long_products):
    parts = Parts(most, worth is not None, WORTH_FLOPS / (worth or 1), long_products)
    for capacity in (*range(1, 200, 7), 1000, 2999):
        longest = max(-(-rows // parts.count(rows)) for rows in range(1, capacity + 1))
        assert longest <= parts.longest(capacity) <= most


def test_batches_are_divided_evenly_where_threads_share_them():
    parts = parts_of(STACKS["narrow"])
    assert parts.together
    counts = {rows: parts.count(rows) for rows in (1, 100, 256, 600, 1024, 10_000)}
    assert counts[1] == counts[100] == 1
    assert 2 <= counts[600] <= counts[1024] <= MOST_TOGETHER < counts[10_000]
    assert all(count & (count - 1) == 0 for count in counts.values())


def test_wide_outputs_make_short_parts_and_many_weights_long_ones():
    assert parts_of(WIDE).most < parts_of(STACKS["narrow"]).most
    large = parts_of([Dense(512), Dense(512)])
    assert large.most == 1024
    assert not large.together


def test_not_so_few_weights_are_added_up_for_long_parts_only():
    parts = parts_of(MIDDLE)
    assert parts.together
    counts = {rows: parts.count(rows) for rows in (512, 513, 1023, 1024, 2047, 2048, 10_000)}
    assert counts == {512: 1, 513: 2, 1023: 2, 1024: 2, 2047: 4, 2048: 4, 10_000: 32}


def test_weights_that_are_looked_up_are_not_added_up():
    layers = [Embedding(6000, 32), Flatten(), Dense(3)]
    assert 2**19 < 4 * 6000 * 32 < 2**20
    assert not parts_of(layers, (8,)).together


def test_batches_that_a_layer_sees_as_a_whole_stay_whole():
    assert parts_of([Dense(8), BatchNormalization()]).most == sys.maxsize


def test_weights_that_are_used_several_times_may_be_more():
    assert parts_of([SimpleRNN(128)], (20, 128)).together
    assert parts_of([SimpleRNN(400)], (20, 400)).together
    assert not parts_of([Dense(800)], (400,)).together


@pytest.mark.parametrize("batch_size", [256, 700, 1100])
@pytest.mark.parametrize("name", STACKS)
def test_any_number_of_threads_gives_the_same_bits(isa, name, batch_size):
    results = []
    for threads in (1, 2, 3, 9):
        fastnn.set_num_threads(threads)
        results.append(trained(name, batch_size))
    for others in results[1:]:
        for one, several in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", STACKS)
def test_the_engines_agree(isa, name, threads):
    with fastnn.use_threads(threads):
        native = trained(name, 700, dtype="float64")
    reference = trained(name, 700, dtype="float64", engine="reference")
    for got, expected in zip(native, reference, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("first", [60, 1100])
def test_a_fit_does_not_depend_on_the_batches_of_the_one_before(first):
    results = []
    for sizes in ([first, 300], [300]):
        model, x, y = made("narrow")
        model.compile("sgd", "mse")
        start = model.get_weights()
        for size in sizes:
            model.set_weights(start)
            model.fit(x, y, size, epochs=1, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_fit_after_an_interrupted_one_is_as_any_other():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in (0.01, 0.02, 0.03):
            model, x, y = made("narrow")
            model.compile("sgd", "mse")
            start = model.get_weights()
            signal.setitimer(signal.ITIMER_REAL, delay)
            with pytest.raises(KeyboardInterrupt):
                model.fit(x, y, 1100, epochs=10**6, verbose=0)
            results = []
            for again in (True, False):
                model.set_weights(start)
                if not again:
                    model.compile("sgd", "mse")
                model.fit(x, y, 32, shuffle=False, epochs=1, verbose=0)
                results.append(model.get_weights())
            for one, other in zip(*results, strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        signal.signal(signal.SIGALRM, before)
