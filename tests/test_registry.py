"""The registry: names and what is refused; `test_contract` tries every object."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from fastnn import (
    Sequential,
    activations,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from fastnn._registry import Configurable, Registry, real

NAMED = [activations, constraints, initializers, losses, metrics, optimizers, regularizers]


def needs_arguments(cls):
    return any(p.default is p.empty for p in inspect.signature(cls).parameters.values())


@pytest.mark.parametrize("module", NAMED)
class TestGet:
    def test_knows_every_entry_by_name_and_class_name(self, module):
        for name, entry in module._registry.entries.items():
            cls = entry if isinstance(entry, type) else type(entry)
            if needs_arguments(cls):
                with pytest.raises(TypeError, match=r"says too little|missing"):
                    module.get(name)
                continue
            assert type(module.get(name)) is cls
            assert type(module.get(cls.__name__)) is cls
            assert type(module.get(cls)) is cls

    def test_refuses_an_unknown_name(self, module):
        with pytest.raises(ValueError, match=r"Unknown \w+ 'xyzzy'\. Known: '"):
            module.get("xyzzy")

    @pytest.mark.parametrize("wrong", [3, 1.5, b"relu", ["relu"], dict, object()])
    def test_refuses_other_types(self, module, wrong):
        with pytest.raises(TypeError, match="must be a name"):
            module.get(wrong)

    @pytest.mark.parametrize("wrong", [{}, {"config": {}}, {"name": "relu"}])
    def test_refuses_a_config_without_class_name(self, module, wrong):
        with pytest.raises(ValueError, match="'class_name'"):
            module.get(wrong)


@pytest.mark.parametrize(
    ("module", "typo", "meant"),
    [
        (activations, "rleu", "Did you mean 'relu'"),
        (activations, "Softmaks", "Did you mean 'softmax'"),
        (activations, "SIGMOID", "Did you mean 'sigmoid'"),
        (losses, "mean_square_error", "Did you mean 'mean_squared_error'"),
        (losses, "CategoricalCrossEntropy", "'categorical_crossentropy'|'CategoricalCrossentropy'"),
        (optimizers, "adamm", "Did you mean 'adam'"),
        (initializers, "glorot_unifrom", "Did you mean 'glorot_uniform'"),
        (regularizers, "l3", "Did you mean 'l2'|Did you mean 'l1'"),
        (metrics, "acuracy", "'binary_accuracy'"),
        (constraints, "maxnorm", "Did you mean 'MaxNorm'|Did you mean 'max_norm'"),
    ],
)
def test_unknown_name_names_the_near_ones(module, typo, meant):
    with pytest.raises(ValueError, match=meant):
        module.get(typo)


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        (activations, "subclass ActivationFunction"),
        (losses, "subclass Loss"),
        (initializers, "Subclass Initializer"),
        (regularizers, "Subclass Regularizer"),
        (constraints, "Subclass Constraint"),
    ],
)
def test_plain_function_is_refused_with_advice(module, advice):
    with pytest.raises(TypeError, match=advice):
        module.get(lambda x: x)


def test_custom_objects_are_looked_at_first():
    class Mine(losses.Loss):
        def __init__(self, power=2.0, name="mine", reduction="sum_over_batch_size"):
            super().__init__(name, reduction)
            self.power = power

    form = losses.serialize(Mine(power=3.0))
    assert form["class_name"] == "Mine"
    assert losses.deserialize(form, custom_objects={"Mine": Mine}).power == 3.0
    with pytest.raises(ValueError, match="Unknown loss 'Mine'"):
        losses.deserialize(form)


def test_object_that_hides_an_argument_says_so():
    class Hiding(Configurable):
        def __init__(self, size=1):
            self._size = size

    assert repr(Hiding()) == "Hiding(...)"
    with pytest.raises(NotImplementedError, match="size"):
        Hiding().get_config()


def test_aliases_lead_to_their_entries():
    registry = Registry("regularizer", regularizers.Regularizer, {"l1": regularizers.L1})
    assert isinstance(registry.get("l1"), regularizers.L1)
    assert activations.get("swish") is activations.silu
    assert isinstance(losses.get("MSE"), losses.MeanSquaredError)
    assert isinstance(losses.get("bce"), losses.BinaryCrossentropy)
    assert isinstance(metrics.get("mae"), metrics.MeanAbsoluteError)
    assert isinstance(initializers.get("normal"), initializers.RandomNormal)


class TestReal:
    @pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.int64(1), True])
    def test_takes_real_numbers_only(self, value):
        if isinstance(value, bool):
            with pytest.raises(TypeError, match="must be a number"):
                real(value, "x")
        else:
            number = real(value, "x")
            assert type(number) is float
            assert number == value

    @pytest.mark.parametrize("value", ["1", None, 1j, [1.0], np.array([1.0]), np.bool_(True)])
    def test_refuses_other_types(self, value):
        with pytest.raises(TypeError, match="x must be a number"):
            real(value, "x")

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("interval", ["(-inf, inf)", "[0, inf)"])
    def test_refuses_what_is_not_finite(self, value, interval):
        with pytest.raises(ValueError, match="x must be a finite number in"):
            real(value, "x", interval)

    @pytest.mark.parametrize(
        ("interval", "inside", "outside"),
        [
            ("[0, 1]", (0, 1, 0.5), (-1e-9, 1.1)),
            ("[0, 1)", (0, 0.999), (1, -1)),
            ("(0, 1]", (1, 1e-9), (0, 2)),
            ("(0, 1)", (0.5,), (0, 1)),
        ],
    )
    def test_brackets_include_their_bound(self, interval, inside, outside):
        for value in inside:
            assert real(value, "x", interval) == value
        for value in outside:
            with pytest.raises(ValueError, match="x must be"):
                real(value, "x", interval)


class Doubled(activations.ActivationFunction):
    def forward(self, x):
        return 2 * x

    def backward(self, grad, x, y):
        return 2 * grad


class Plain(layers.Layer):
    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, x, training):
        return x

    def backward(self, gradient, x, y):
        return gradient


class Falling(schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1 + step)

    def get_config(self):
        return {}


def test_classes_of_the_users_own_are_found_within_others():
    block = layers.Residual([layers.Dense(3, Doubled()), Plain()], input_dim=3)
    model = Sequential([block, layers.Dense(2, Doubled())])
    known = {"Doubled": Doubled, "Plain": Plain}
    copied = Sequential.from_config(model.get_config(), known)
    assert isinstance(copied.layers[1].activation, Doubled)
    assert isinstance(copied.layers[0].layers[0].activation, Doubled)
    assert isinstance(copied.layers[0].layers[1], Plain)
    with pytest.raises(ValueError, match="Unknown activation 'Doubled'"):
        Sequential.from_config(model.get_config())  # they are known within the call alone
    config = optimizers.serialize(optimizers.SGD(Falling()))
    made = optimizers.deserialize(config, {"Falling": Falling})
    assert made.learning_rate == 0.1
