"""`check_gradients`: right gradients pass, wrong ones are found and named."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import Sequential, activations, check_gradients, layers, losses, regularizers
from fastnn._gradient_check import GradientError
from fastnn.layers import Activation, Dense, Dropout

X = np.random.default_rng(0).normal(size=(6, 4))
LABELS = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(3)[LABELS]


def compiled(*stack, loss="mse", **options):
    model = Sequential(list(stack), **options)
    model.compile("sgd", loss)
    return model


class Square(activations.ActivationFunction):
    """Its gradient is `factor` times the right one."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def forward(self, x):
        return x * x

    def backward(self, grad, x, y):
        return self.factor * 2 * x * grad


class SquaredError(losses.Loss):
    """Its gradient is `factor` times the right one."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(axis=1)

    def backward(self, y_true, y_pred):
        return self.factor * 2 * (y_pred - y_true) / y_pred.shape[1]


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu", "hard_sigmoid"])
def test_right_gradients_pass(activation, dtype, engine):
    model = compiled(
        Dense(7, activation, input_dim=4, kernel_regularizer=regularizers.L1L2(0.1, 0.2)),
        Dropout(0.4),
        Dense(5),
        Activation(activation),
        Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
        dtype=dtype,
        engine=engine,
    )
    check = check_gradients(model, X, LABELS, sample_weight=[1, 2, 0, 1, 0.5, 3])
    assert check.passed
    assert [row.title for row in check.parameters] == [
        f"{layer.name}.{name}" for layer in model.layers[::2][:2] for name in ("kernel", "bias")
    ] + [f"{model.layers[-1].name}.{name}" for name in ("kernel", "bias")]
    assert all(row.checked == row.size and row.error < 1e-5 for row in check.parameters)
    assert str(check).startswith("all 111 gradients compared are right")


def test_a_kink_at_the_weights_is_no_error():
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    model = compiled(Dense(8, "relu", input_dim=2), Dense(1, "sigmoid"), loss="binary_crossentropy")
    # The biases are 0, so for the first sample each unit stands at its kink.
    assert check_gradients(model, x, y).passed


def test_own_activation_and_loss_pass_if_they_are_right():
    model = compiled(Dense(5, Square(), input_dim=4), Dense(3), loss=SquaredError())
    assert check_gradients(model, X, ONE_HOT).passed


def test_wrong_activation_is_found_and_named():
    model = compiled(
        Dense(7, "tanh", input_dim=4, name="low"),
        Dense(5, name="middle"),
        Activation(Square(0.5), name="squares"),
        Dense(3, "softmax", name="top"),
        loss="categorical_crossentropy",
    )
    with pytest.raises(GradientError) as caught:
        check_gradients(model, X, ONE_HOT)
    check = caught.value.check
    assert check.suspects == ("activation Square of 'squares'",)
    message = str(caught.value)
    assert message.startswith(
        "wrong gradients: low.kernel, low.bias, middle.kernel, middle.bias\n"
        "look at the gradient of: activation Square of 'squares'\n"
    )
    assert "error 5.0e-01" in message
    assert not check.loss.wrong
    assert [row.wrong > 0 for row in check.parameters] == [True] * 4 + [False] * 2
    for row in check.parameters[:4]:
        assert row.error == pytest.approx(0.5, rel=1e-4)
        assert row.gradient == pytest.approx(row.difference / 2, rel=1e-4)


def test_a_gradient_wrong_by_a_thousandth_is_found():
    model = compiled(Dense(5, Square(1.001), input_dim=4), Dense(3))
    check = check_gradients(model, X, ONE_HOT, raises=False)
    assert not check.passed
    assert check.parameters[0].error == pytest.approx(0.001, rel=0.01)
    assert check_gradients(model, X, ONE_HOT, rtol=0.01).passed


def test_wrong_loss_is_found_and_named():
    model = compiled(Dense(5, "tanh", input_dim=4), Dense(3), loss=SquaredError(3.0))
    with pytest.raises(GradientError, match=r"look at the gradient of: loss SquaredError\n"):
        check_gradients(model, X, ONE_HOT)


def test_wrong_gradient_in_a_single_element_is_found():
    class Forgetful(Square):
        def backward(self, grad, x, y):
            result = super().backward(grad, x, y)
            result[:, -1] = 0
            return result

    model = compiled(Dense(5, Forgetful(), input_dim=4), Dense(3))
    kernel, bias, *top = check_gradients(model, X, ONE_HOT, raises=False).parameters
    assert (kernel.wrong, bias.wrong) == (4, 1)
    assert kernel.place[1] == bias.place[0] == 4
    assert (kernel.gradient, kernel.error) == (0, 1)
    assert all(row.wrong == 0 for row in top)


def test_the_layer_that_hands_down_a_wrong_gradient_is_a_suspect(monkeypatch):
    from fastnn.reference import engine

    original = engine.dense_backward

    def wrong(grad, x, kernel, bias):
        grad_x, *rest = original(grad, x, kernel, bias)
        return -grad_x, *rest

    monkeypatch.setattr(engine, "dense_backward", wrong)
    model = compiled(Dense(5, "tanh", input_dim=4, name="low"), Dense(3, name="top"))
    check = check_gradients(model, X, ONE_HOT, raises=False)
    assert check.suspects == ("layer 'low' (Dense)", "layer 'top' (Dense)")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradient_that_is_not_a_number_is_wrong(value):
    class Undefined(Square):
        def backward(self, grad, x, y):
            return np.full_like(x, value)

    model = compiled(Dense(5, Undefined(), input_dim=4), Dense(3))
    check = check_gradients(model, X, ONE_HOT, raises=False)
    assert [row.wrong for row in check.parameters] == [20, 5, 0, 0]


def test_wrong_gradients_are_found_where_they_are_small():
    model = compiled(Dense(5, Square(2.0), input_dim=4), Dense(3), loss="mse")
    model.layers[1].kernel = model.layers[1].kernel * 1e-7
    kernel, *_ = check_gradients(model, X, ONE_HOT, raises=False).parameters
    assert abs(kernel.difference) < 1e-6
    assert kernel.wrong == 20


def test_large_parameters_are_sampled_and_always_alike():
    model = compiled(Dense(64, "tanh", input_dim=4), Dense(3))
    first, second = (check_gradients(model, X, ONE_HOT, elements=10) for _ in range(2))
    assert [(row.checked, row.size) for row in first.parameters] == [
        (10, 256),
        (10, 64),
        (10, 192),
        (3, 3),
    ]
    assert first == second


def test_frozen_parameters_are_left_out():
    model = compiled(Dense(5, "tanh", input_dim=4, trainable=False), Dense(3, name="top"))
    names = [row.title for row in check_gradients(model, X, ONE_HOT).parameters]
    assert names == ["top.kernel", "top.bias"]


def test_the_model_stays_as_it_is():
    model = compiled(Dense(5, "tanh", input_dim=4), Dropout(0.5), Dense(3))
    model.fit(X, ONE_HOT, verbose=0)
    weights, iterations = model.get_weights(), model.optimizer.iterations
    states = [copy.deepcopy(slot) for slot in model.optimizer.state.slots]
    check_gradients(model, X, ONE_HOT)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.optimizer.iterations == iterations
    for before, after in zip(states, model.optimizer.state.slots, strict=True):
        np.testing.assert_array_equal(before, after)


def test_uncompiled_model():
    with pytest.raises(RuntimeError, match="check_gradients needs a compiled model"):
        check_gradients(Sequential([Dense(3, input_dim=4)]), X, ONE_HOT)


def test_step_activation():
    with pytest.raises(ValueError, match="'step' has no gradient"):
        check_gradients(compiled(Dense(3, "step", input_dim=4)), X, ONE_HOT)


def test_infinite_loss():
    model = compiled(Dense(3, "exponential", input_dim=4))
    model.layers[0].kernel = np.full((4, 3), 1e6)
    with pytest.raises(ValueError, match="expects a finite loss, got inf"):
        check_gradients(model, np.abs(X), ONE_HOT)


@pytest.mark.parametrize(
    ("option", "value"), [("elements", 0), ("elements", 1.5), ("step", 0), ("rtol", -1)]
)
def test_options_are_checked(option, value):
    model = compiled(Dense(3, input_dim=4))
    with pytest.raises(ValueError, match=option):
        check_gradients(model, X, ONE_HOT, **{option: value})


# Layers of other kinds


class Scale(layers.Layer):
    """Multiplies each column by a weight; its gradients are `factors` times the right ones."""

    def __init__(self, factors=(1.0, 1.0), **options):
        self.factors = factors
        super().__init__(**options)

    def build(self, input_shape):
        self.add_weight(name="scale", shape=(input_shape[1],), initializer="ones")

    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, x, training):
        return x * self.weights[0].value

    def backward(self, gradient, x, y):
        of_input, of_scale = self.factors
        scale = self.weights[0].value
        return of_input * gradient * scale, of_scale * (gradient * x).sum(axis=0)


@pytest.mark.parametrize(
    ("factors", "wrong"),
    [
        ((1.0, 1.0), []),
        ((1.0, 2.0), ["mine.scale"]),
        ((0.5, 1.0), ["low.kernel", "low.bias"]),
    ],
)
def test_layers_of_users_are_checked(factors, wrong):
    model = compiled(
        Dense(5, "tanh", input_dim=4, name="low"), Scale(factors, name="mine"), Dense(3)
    )
    check = check_gradients(model, X, ONE_HOT, raises=False)
    assert [row.title for row in check.parameters if row.wrong] == wrong
    assert check.suspects == (("layer 'mine' (Scale)",) if wrong else ())


def test_regularizers_of_users_are_checked():
    class Quartic(regularizers.Regularizer):
        def __init__(self, factor=1.0):
            self.factor = factor

        def __call__(self, w):
            return float(np.sum(w**4))

        def gradient(self, w):
            return self.factor * 4 * w**3

    for factor in (1.0, 2.0):
        top = Dense(3, kernel_regularizer=Quartic(factor), name="top")
        model = compiled(Dense(5, "tanh", input_dim=4), top)
        check = check_gradients(model, X, ONE_HOT, raises=False)
        wrong = [row.title for row in check.parameters if row.wrong]
        assert wrong == ([] if factor == 1 else ["top.kernel"])
        assert check.suspects == tuple(f"regularizer Quartic of '{name}'" for name in wrong)


def test_parts_of_a_block_are_named():
    model = compiled(
        Dense(4, "tanh", input_dim=4, name="low"),
        layers.Residual([Dense(5, Square(2.0), name="a"), Dense(4, name="b")], name="block"),
        Dense(3),
    )
    check = check_gradients(model, X, ONE_HOT, raises=False)
    assert check.suspects == ("activation Square of 'a'",)
    titles = {row.title: row.wrong > 0 for row in check.parameters}
    assert (titles["block.a.kernel"], titles["block.b.kernel"]) == (True, False)


def test_statistics_noise_and_penalties_are_those_of_a_step():
    model = compiled(
        Dense(5, "tanh", input_dim=4),
        layers.BatchNormalization(),
        layers.GaussianNoise(0.1),
        layers.ActivityRegularization(l1=0.1, l2=0.2),
        layers.LayerNormalization(),
        Dense(3),
    )
    before = model.get_weights()
    assert check_gradients(model, X, ONE_HOT).passed
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_it_is_public():
    assert fastnn.check_gradients is check_gradients
