"""Memory: training and prediction in a steady state allocate nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fastnn import Sequential
from fastnn.layers import Dense, Dropout
from fastnn.losses import SparseCategoricalCrossentropy
from fastnn.metrics import SparseCategoricalAccuracy
from fastnn.native.engine import NativeEngine
from fastnn.optimizers import Adam
from fastnn.program import Dataset, Objective, OptimizerState


def peak_of(action):
    """Return the largest number of bytes that Python and NumPy held on top while in `action`."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def make_model(**options):
    layers = [Dense(64, "gelu", input_dim=100, **options), Dropout(0.1), Dense(10, "softmax")]
    return Sequential(layers, engine="native")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
        {"kernel_regularizer": "orthogonal_regularizer", "bias_regularizer": "l2"},
    ],
)
def test_steps_allocate_nothing(options):
    model, optimizer = make_model(**options), Adam()
    _, program = model._ready()
    state = OptimizerState(program.layout, optimizer.slot_values)
    objective = Objective(
        SparseCategoricalCrossentropy(), "softmax", (SparseCategoricalAccuracy(),)
    )
    trainer = NativeEngine(program).trainer(objective, optimizer.rule(), state, 320)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3200, 100)).astype(np.float32)
    data = Dataset(x, rng.integers(0, 10, size=3200).astype(np.int32))
    order, rows = rng.permutation(3200), optimizer.hyperparameters(0, 10)
    trainer.train(data, order, 320, 0, rows, 60.0)
    peak = peak_of(lambda: trainer.train(data, order, 320, 0, rows, 60.0))
    assert trainer.rows == 6400
    # The objects of a Python call or two; the smallest matrix of a batch has 12,800 bytes.
    assert peak < 4096


def test_prediction_allocates_its_result_and_no_more():
    model = make_model()
    engine, _ = model._ready()
    x, out = np.ones((5000, 100), np.float32), np.empty((5000, 10), np.float32)
    engine.forward(x, out)
    assert peak_of(lambda: engine.forward(x, out)) < 4096
