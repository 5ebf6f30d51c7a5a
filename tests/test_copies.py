"""Copies of models: by pickle and by deepcopy, trained and untrained."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from fastnn import Sequential, losses, utils
from fastnn.layers import Dense, Dropout

COPIES = [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]


def make_model():
    layers = [Dense(9, "tanh", input_dim=5), Dropout(0.2), Dense(3, "softmax")]
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 5)), rng.integers(0, 3, size=50)


@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
def test_a_copy_predicts_the_same_and_is_independent(make_copy):
    model, (x, y) = make_model(), data()
    model.fit(x, y, epochs=2, verbose=0)
    before = model.predict(x)
    twin = make_copy(model)
    np.testing.assert_array_equal(twin.predict(x), before)
    twin.fit(x, y, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.predict(x), before)
    assert not np.array_equal(twin.predict(x), before)


@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_training_where_the_model_stood(make_copy):
    model, (x, y) = make_model(), data()
    model.fit(x, y, epochs=2, verbose=0)
    twin = make_copy(model)
    for each in (model, twin):
        utils.set_random_seed(5)
        each.fit(x, y, epochs=2, verbose=0)
    assert twin.optimizer.iterations == model.optimizer.iterations == 8
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_unbuilt_model_can_be_copied():
    twin = pickle.loads(pickle.dumps(Sequential([Dense(3)])))
    assert twin(np.ones((2, 4))).shape == (2, 3)


def test_parameters_check_their_shape_and_read_as_arrays():
    kernel, bias = make_model().weights[:2]
    with pytest.raises(ValueError, match=r"'kernel' expects values of shape \(5, 9\), got \(9,\)"):
        kernel.assign(np.zeros(9))
    bias.assign(np.arange(9))
    np.testing.assert_array_equal(np.asarray(bias), np.arange(9))
    np.testing.assert_array_equal(bias.numpy(), np.arange(9))
    assert bias.numpy().flags.writeable
    assert not bias.value.flags.writeable


def test_compile_refuses_a_loss_that_is_not_a_mean():
    model = make_model()
    with pytest.raises(ValueError, match="reduction='sum_over_batch_size', got 'sum'"):
        model.compile("adam", losses.SparseCategoricalCrossentropy(reduction="sum"))
    assert model.loss.reduction == "sum_over_batch_size"
