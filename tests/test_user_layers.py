"""Layers that users write in NumPy, in both engines."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import Dense, Layer

ENGINES = ["native", "reference"]
X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.random.default_rng(1).normal(size=(40, 2))


class OwnDense(Layer):
    """The dense layer without an activation, once more."""

    def __init__(self, units, **options):
        self.units = units
        super().__init__(**options)

    def build(self, input_shape):
        self.add_weight(name="kernel", shape=(input_shape[1], self.units))
        self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def compute_output_shape(self, input_shape):
        return (None, self.units)

    def forward(self, x, training):
        kernel, bias = (weight.value for weight in self.weights)
        return x @ kernel + bias

    def backward(self, gradient, x, y):
        kernel, _ = (weight.value for weight in self.weights)
        return gradient @ kernel.T, x.T @ gradient, gradient.sum(axis=0)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Swapped(Layer):
    """A layer without weights: the columns in reverse order, in training twice as large."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, x, training):
        return x[:, ::-1] * (2 if training else 1)

    def backward(self, gradient, x, y):
        return 2 * gradient[:, ::-1]


def model(middle, engine, dtype="float64"):
    fastnn.utils.set_random_seed(5)
    stack = [Input((3,)), Dense(4, "tanh"), middle, Dense(2)]
    made = Sequential(stack, dtype=dtype, engine=engine)
    made.compile("adam", "mse")
    return made


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_trains_as_the_layer_that_it_imitates(engine, dtype):
    results = []
    for middle in (OwnDense(5), Dense(5)):
        made = model(middle, engine, dtype)
        made.fit(X, Y, batch_size=7, epochs=3, verbose=0)
        results.append([*made.get_weights(), made.predict(X)])
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    for own, dense in zip(*results, strict=True):
        np.testing.assert_allclose(own, dense, rtol=tolerance, atol=tolerance)


def test_engines_agree_on_training_and_inference():
    results = []
    for engine in ENGINES:
        made = model(Swapped(), engine)
        made.fit(X, Y, batch_size=7, epochs=3, verbose=0)
        results.append([*made.get_weights(), made.predict(X), made(X, training=True)])
    for native, reference in zip(*results, strict=True):
        np.testing.assert_allclose(native, reference, rtol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_it_may_come_first(engine):
    made = Sequential([OwnDense(2, input_shape=(3,))], engine=engine)
    made.compile("sgd", "mse")
    first = made.evaluate(X, Y, verbose=0)
    made.fit(X, Y, epochs=5, verbose=0)
    assert made.evaluate(X, Y, verbose=0) < first


def test_it_comes_back_from_its_config():
    twin = Sequential.from_config(
        model(OwnDense(5), "native").get_config(), custom_objects={"OwnDense": OwnDense}
    )
    assert twin.layers[1].units == 5


WRONG = {
    "output of another shape": (
        "forward",
        lambda self, x, training: x[:, :2],
        "must return an array of shape",
    ),
    "gradient of another shape": (
        "backward",
        lambda self, g, x, y: (g, np.zeros((4, 5)), np.zeros(5)),
        "must return",
    ),
    "gradient of a weight too few": (
        "backward",
        lambda self, g, x, y: (np.zeros((len(x), 4)), np.zeros((4, 5))),
        "gradients of the input and of 2 weights",
    ),
    "gradient of a weight of another shape": (
        "backward",
        lambda self, g, x, y: (np.zeros((len(x), 4)), np.zeros(20), np.zeros(5)),
        "must return",
    ),
    "an error of its own": ("backward", lambda self, g, x, y: 1 / 0, "division"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_it_is_said_and_changes_nothing(engine, case):
    method, function, message = WRONG[case]
    faulty = type("Faulty", (OwnDense,), {method: function})
    made = model(faulty(5), engine)
    before = made.get_weights()
    with pytest.raises((ValueError, ZeroDivisionError), match=message):
        made.fit(X, Y, verbose=0)
    for old, new in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
