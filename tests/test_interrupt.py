"""Ctrl-C during a fit: it stops, and leaves the model at the last finished step."""

from __future__ import annotations

import _thread
import gc
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from fastnn import Sequential, utils
from fastnn._training import Loop
from fastnn.layers import Dense


@pytest.fixture(autouse=True)
def heard():
    """Listen to SIGINT, which a shell has its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def make_model(engine):
    utils.set_random_seed(3)
    model = Sequential(
        [Dense(256, "relu", input_dim=300), Dense(256, "tanh"), Dense(10, "softmax")],
        engine=engine,
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@contextmanager
def interrupted_after(seconds):
    """Expect to hear Ctrl-C. Python drops what a signal raises in a finalizer, so those of earlier
    tests are run before; if it was lost all the same, it is pressed again."""
    gc.collect()
    heard = threading.Event()

    def press():
        pause = seconds
        while not heard.wait(pause):
            _thread.interrupt_main()
            pause = 10

    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    heard.set()
    presser.join()


# Epochs of few rows are run several at a time. The last batch size makes one step of a good part
# of a second, to be left half way.
@pytest.mark.parametrize(("rows", "batch_size"), [(300, 32), (60_000, 32), (60_000, 30_000)])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_ctrl_c_leaves_the_last_finished_step(engine, rows, batch_size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 300)).astype(np.float32)
    y = rng.integers(0, 10, size=rows)
    model = make_model(engine)
    with interrupted_after(0.3):
        model.fit(x, y, batch_size=batch_size, epochs=100_000, verbose=0, shuffle=False)
    steps = model.optimizer.iterations
    twin = make_model(engine)
    whole, rest = divmod(steps, -(-rows // batch_size))
    rest *= batch_size
    if whole:
        twin.fit(x, y, batch_size=batch_size, epochs=whole, verbose=0, shuffle=False)
    if rest:
        twin.fit(x[:rest], y[:rest], batch_size=batch_size, verbose=0, shuffle=False)
    assert twin.optimizer.iterations == steps
    assert len(model.history.epoch) == whole
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x[:64], y[:64], verbose=0)  # and it can go on


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_an_epoch_whose_last_step_was_finished_has_ended(engine, monkeypatch):
    """Ctrl-C is heard only after a step that it came too late for."""
    run = Loop._train_by_time

    def run_and_interrupt(*args):
        run(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_train_by_time", run_and_interrupt)
    model = make_model(engine)
    x, y = np.ones((40_000, 300), np.float32), np.zeros(40_000, int)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=20_000, epochs=3, verbose=0)
    assert model.history.epoch == [0]
    assert len(model.history.history["loss"]) == 1


def test_ctrl_c_during_predict():
    model = make_model("native")
    x = np.ones((100_000, 300), np.float32)
    with interrupted_after(0.05):
        model.predict(np.broadcast_to(x, (20, *x.shape)).reshape(-1, 300))
    assert model.predict(x[:1]).shape == (1, 10)
