"""Several Python threads on one model: predictions are right, trainings one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import Sequential
from fastnn.callbacks import Callback
from fastnn.layers import Dense


def make_model(engine="native"):
    model = Sequential(
        [Dense(50, "relu", input_dim=20), Dense(40, "tanh"), Dense(5, "softmax")], engine=engine
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_many_threads_predict_at_once(engine):
    model = make_model(engine)
    inputs = [np.random.default_rng(i).normal(size=(1 + 37 * i, 20)) for i in range(16)]
    expected = [model.predict(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for y, z in zip(pool.map(model.predict, inputs), expected, strict=True):
                np.testing.assert_array_equal(y, z)


class FromAnotherThread(Callback):
    """At the end of the first epoch, lets another thread try `action`."""

    def __init__(self, action):
        super().__init__()
        self.action = action
        self.outcome = None

    def on_epoch_end(self, epoch, logs=None):
        def attempt():
            try:
                self.outcome = self.action()
            except Exception as error:
                self.outcome = error

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()


def test_training_from_two_threads_raises():
    model, x, y = make_model(), np.ones((10, 20)), np.zeros(10, int)
    callback = FromAnotherThread(lambda: model.fit(x, y, verbose=0))
    model.fit(x, y, verbose=0, callbacks=[callback])
    assert isinstance(callback.outcome, RuntimeError)
    assert "is being trained already" in str(callback.outcome)


def test_predicting_while_another_thread_trains():
    model, x, y = make_model(), np.ones((10, 20)), np.zeros(10, int)
    callback = FromAnotherThread(lambda: model.predict(x))
    model.fit(x, y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(callback.outcome, model.predict(x))
