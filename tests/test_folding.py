"""Models for inference: the same outputs from fewer layers."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import Input, Sequential
from fastnn.activations import ActivationFunction
from fastnn.initializers import Initializer
from fastnn.layers import (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Layer,
    LayerNormalization,
    Normalization,
    PReLU,
    Rescaling,
    Residual,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4))

CASES = {
    "into the dense layer below": (
        lambda: [Dense(8), BatchNormalization(), Activation("relu"), Dense(2)],
        ["Dense", "Activation", "Dense"],
    ),
    "below without a bias": (
        lambda: [Dense(8, use_bias=False), BatchNormalization(scale=False), Dense(2)],
        ["Dense", "Dense"],
    ),
    "into the dense layer above": (
        lambda: [Dense(8, "tanh"), BatchNormalization(), Rescaling(2.0, -1.0), Dense(2)],
        ["Dense", "Dense"],
    ),
    "at the input": (
        lambda: [Normalization(mean=[1, 2, 3, 4], variance=2.0), Dropout(0.5), Dense(2)],
        ["Dense"],
    ),
    "nothing to go into": (
        lambda: [PReLU(), BatchNormalization(center=False), PReLU(), Rescaling(2.0)],
        ["PReLU", "BatchNormalization", "PReLU", "Rescaling"],
    ),
    "noise": (
        lambda: [
            GaussianNoise(0.1),
            Dense(3, "selu"),
            AlphaDropout(0.1),
            GaussianDropout(0.1),
            ActivityRegularization(0.1),
        ],
        ["Dense"],
    ),
    "noise alone": (lambda: [Dropout(0.5)], ["Activation"]),
    "within a block": (
        lambda: [
            Residual([Dense(4), BatchNormalization(), Activation("relu"), Dropout(0.1), Dense(4)]),
            Residual([Dropout(0.1)]),
            LayerNormalization(),
        ],
        ["Residual", "Residual", "LayerNormalization"],
    ),
}


def trained(stack, dtype, engine):
    """Return a model whose weights and statistics are no longer those it began with."""
    model = Sequential([Input((4,)), *stack()], dtype=dtype, engine=engine)
    model.compile("adam", "mse")
    y = RNG.normal(size=(50, model.output_shape[1]))
    model.fit(3 * X + 1, y, epochs=3, batch_size=10, verbose=0)
    return model


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_same(case, dtype, engine):
    stack, names = CASES[case]
    model = trained(stack, dtype, engine)
    before = model.get_weights()
    quick = model.optimized()
    assert [type(layer).__name__ for layer in quick.layers] == names
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(quick.predict(X), model.predict(X), rtol=tolerance, atol=tolerance)
    assert (quick.dtype, quick.name) == (dtype, model.name)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_it_shares_nothing_with_the_model():
    model = trained(CASES["into the dense layer below"][0], "float32", "native")
    quick = model.optimized()
    expected = quick.predict(X)
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    np.testing.assert_array_equal(quick.predict(X), expected)


def test_a_model_without_a_shape_is_refused():
    with pytest.raises(ValueError, match="does not know the shape of its input"):
        Sequential([Dense(2)]).optimized()


class Square(ActivationFunction):
    def forward(self, x):
        return x * x

    def backward(self, grad, x, y):
        return 2 * grad * x


class Halves(Initializer):
    def __call__(self, shape, dtype=np.float32):
        return np.full(shape, 0.5, dtype)


class Scaled(Layer):
    """A layer with an argument of its own."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, x, training):
        return self.factor * x

    def backward(self, gradient, x, y):
        return self.factor * gradient


def test_what_users_wrote_goes_into_the_folded_model():
    layers = [
        Dense(5, Square(), kernel_initializer=Halves(), use_bias=False, input_dim=4),
        BatchNormalization(),
        Dense(3, bias_initializer=Halves()),
        Scaled(2.0),
    ]
    model = Sequential(layers)
    x = np.random.default_rng(0).normal(size=(9, 4))
    before = model.get_weights()
    folded = model.optimized()
    assert len(folded.layers) == 3
    np.testing.assert_allclose(folded.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    assert not {id(layer) for layer in folded.layers} & {id(layer) for layer in model.layers}
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
