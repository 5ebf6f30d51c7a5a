"""Constraints: alone on arrays, and in training on either engine."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastnn import Sequential, constraints, initializers, use_threads
from fastnn.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from fastnn.engines import ENGINES
from fastnn.layers import Dense
from fastnn.optimizers import Adam

W = np.arange(12.0).reshape(3, 4) / 4 - 1

OF_KERAS = [
    (
        MaxNorm(1.0),
        [-0.707106731186551, -0.5070925185513979, -0.3015113263959465, -0.13018890420116322],
    ),
    (
        MinMaxNorm(1.2, 1.5, 0.3),
        [-0.9999999292893268, -0.7499999492907481, -0.48568007577238304, -0.23358499777730013],
    ),
    (
        UnitNorm(axis=1),
        [-0.730296690006892, -0.547722517505169, -0.365148345003446, -0.182574172501723],
    ),
]
"""The first row of what Keras 3.15 makes of W."""


@pytest.mark.parametrize(("constraint", "row"), OF_KERAS, ids=repr)
def test_values_are_those_of_keras(constraint, row):
    np.testing.assert_allclose(constraint(W)[0], row, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), [1, 2], (2, 0), (0, 1, 2)])
def test_norms_are_taken_along_the_axes(axis):
    w = np.random.default_rng(0).normal(size=(3, 4, 5))
    axes = axis if isinstance(axis, int) else tuple(axis)
    norms = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    np.testing.assert_allclose(UnitNorm(axis)(w), w / (norms + 1e-7), rtol=1e-14)
    np.testing.assert_allclose(
        MaxNorm(1.5, axis)(w), w * np.minimum(norms, 1.5) / (norms + 1e-7), rtol=1e-14
    )


@pytest.mark.parametrize("constraint", [MaxNorm(0.5), NonNeg(), UnitNorm(), MinMaxNorm(0.2, 0.4)])
class TestAlone:
    def test_the_argument_is_left_alone(self, constraint):
        w = W.copy()
        w.flags.writeable = False
        result = constraint(w)
        assert not np.shares_memory(result, w)
        np.testing.assert_array_equal(w, W)

    def test_types_and_layouts(self, constraint):
        expected = constraint(W)
        assert expected.dtype == np.float64
        assert constraint(W.astype(np.float32)).dtype == np.float32
        assert constraint([[1, 2], [3, 4]]).dtype == np.float32
        np.testing.assert_array_equal(constraint(np.asfortranarray(W)), expected)
        np.testing.assert_array_equal(constraint(W.tolist()), expected)

    def test_a_vector_is_one_and_nothing_stays_nothing(self, constraint):
        np.testing.assert_allclose(constraint(W[:, 1]), constraint(W)[:, 1], rtol=1e-14)
        assert constraint(np.zeros((0, 3))).shape == (0, 3)
        np.testing.assert_array_equal(constraint(np.zeros((2, 3))), np.zeros((2, 3)))


def test_rate_goes_part_of_the_way():
    w = np.array([3.0, 4.0])
    assert np.linalg.norm(MinMaxNorm(0.0, 1.0, rate=0.25)(w)) == pytest.approx(4.0)
    assert np.linalg.norm(MinMaxNorm(7.0, 8.0, rate=0.5)(w)) == pytest.approx(6.0)


def test_a_number_can_be_non_negative_but_has_no_axis():
    assert NonNeg()(-1.5) == 0.0
    with pytest.raises(ValueError, match=r"UnitNorm\(\) needs an array with its axes, got shape"):
        UnitNorm()(1.0)
    with pytest.raises(ValueError, match="axis=2"):
        MaxNorm(axis=2)(W)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxNorm(-1.0), "max_value"),
        (lambda: MaxNorm(math.nan), "max_value"),
        (lambda: MinMaxNorm(2.0, 1.0), "min_value must not exceed max_value"),
        (lambda: MinMaxNorm(rate=1.5), "rate"),
        (lambda: UnitNorm(axis=(0, 0)), "different"),
        (lambda: UnitNorm(axis=()), "axis"),
        (lambda: UnitNorm(axis=0.5), "axis"),
        (lambda: UnitNorm(axis=True), "axis"),
        (lambda: UnitNorm(axis="01"), "axis"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_names_of_keras():
    assert isinstance(constraints.max_norm(3.0), MaxNorm)
    assert (constraints.non_neg, constraints.unit_norm) == (NonNeg, UnitNorm)
    assert constraints.min_max_norm is MinMaxNorm
    assert constraints.get(None) is None
    assert constraints.serialize(None) is None


def test_base_asks_for_a_call():
    with pytest.raises(NotImplementedError, match="must define __call__"):
        Constraint()(W)


# In training

X = np.random.default_rng(1).normal(size=(40, 6))
Y = np.random.default_rng(2).normal(size=(40, 3))


class Rounded(Constraint):
    def __call__(self, w):
        return np.round(w, 1)


class HalfNorm(MaxNorm):
    def __call__(self, w):
        return 0.5 * super().__call__(w)


def make_model(engine, dtype="float64", widths=(6, 17, 3), **options):
    hidden = Dense(
        widths[1],
        "tanh",
        kernel_initializer=initializers.RandomNormal(stddev=0.5, seed=3),
        **options,
    )
    output = Dense(widths[2], kernel_initializer=initializers.GlorotUniform(seed=4))
    model = Sequential([hidden, output], dtype=dtype, engine=engine)
    model.build((None, widths[0]))
    model.compile(Adam(0.05), "mse")
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(6, 17, 3), (6, 1, 3), (6, 130, 3)])
@pytest.mark.parametrize(
    ("kernel", "bias"),
    [
        (MaxNorm(0.8), MaxNorm(0.01)),
        (NonNeg(), NonNeg()),
        (UnitNorm(), UnitNorm()),
        (MinMaxNorm(0.9, 1.0, rate=0.5), None),
        (MaxNorm(0.8, axis=1), MaxNorm(0.01, axis=-1)),
        (UnitNorm([0, 1]), None),
        (Rounded(), Rounded()),
        (HalfNorm(2.0), NonNeg()),
    ],
    ids=repr,
)
def test_engines_agree(isa, dtype, widths, kernel, bias):
    results = []
    for engine in ENGINES:
        model = make_model(engine, dtype, widths, kernel_constraint=kernel, bias_constraint=bias)
        model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        results.append(model.get_weights())
    tolerance = {"float32": 3e-4, "float64": 1e-10}[dtype]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
class TestInTraining:
    def test_the_constraint_holds(self, engine):
        model = make_model(engine, kernel_constraint=MaxNorm(0.3), bias_constraint="non_neg")
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
        hidden = model.layers[0]
        assert np.linalg.norm(hidden.kernel, axis=0).max() <= 0.3
        assert hidden.bias.min() == 0.0
        assert hidden.bias.max() > 0.0

    def test_frozen_weights_stay(self, engine):
        model = make_model(engine, kernel_constraint=NonNeg(), bias_constraint=Rounded())
        model.layers[0].trainable = False
        before = model.get_weights()
        model.fit(X, Y, epochs=1, verbose=0)
        for old, new in zip(before[:2], model.get_weights()[:2], strict=True):
            np.testing.assert_array_equal(old, new)

    def test_weights_are_read_only_for_own_constraints(self, engine):
        class Writes(Constraint):
            def __call__(self, w):
                w[...] = 0
                return w

        model = make_model(engine, kernel_constraint=Writes())
        with pytest.raises(ValueError, match="read-only"):
            model.fit(X, Y, verbose=0)

    @pytest.mark.parametrize("fault", ["raise", "shape"])
    def test_a_step_whose_constraint_fails_is_taken_back(self, engine, fault):
        class Fails(Constraint):
            calls = 0

            def __call__(self, w):
                self.calls += 1
                if self.calls < 3:
                    return w
                if fault == "shape":
                    return w[:1]
                raise ArithmeticError("no more")

        model = make_model(engine, kernel_constraint=MaxNorm(0.5), bias_constraint=Fails())
        twin = make_model(engine, kernel_constraint=MaxNorm(0.5))
        expected, message = (
            (ArithmeticError, "no more")
            if fault == "raise"
            else (ValueError, r"Fails must return an array of shape \(17,\), got \(1,\)")
        )
        with pytest.raises(expected, match=message):
            model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
        twin.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
        assert model.optimizer.iterations == twin.optimizer.iterations == 2
        for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(model.optimizer.state.slots, twin.optimizer.state.slots, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_it_is_part_of_the_config(self, engine):
        model = make_model(engine, kernel_constraint=MinMaxNorm(0.1, axis=[0, 1]))
        twin = Sequential.from_config(model.get_config())
        assert twin.layers[0].kernel_constraint.get_config() == {
            "min_value": 0.1,
            "max_value": 1.0,
            "rate": 1.0,
            "axis": [0, 1],
        }
        assert twin.layers[0].bias_constraint is None


def test_the_number_of_threads_makes_no_difference():
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            model = make_model("native", widths=(6, 3000, 3), kernel_constraint=MaxNorm(0.3))
            model.fit(X, Y, shuffle=False, verbose=0)
            results.append(model.get_weights()[0].tobytes())
    assert len(set(results)) == 1
