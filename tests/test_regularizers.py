"""Regularizers: penalties worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numeric import RTOL, numerical_gradient

from fastnn import Sequential, initializers, regularizers, use_threads
from fastnn.engines import ENGINES
from fastnn.layers import Dense
from fastnn.optimizers import SGD
from fastnn.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

W = np.array([[1.0, -2.0], [0.0, 3.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("regularizer", "penalty"),
    [(L1(0.5), 3.0), (L2(0.5), 7.0), (L1L2(0.5, 0.25), 6.5), (L1L2(), 0.0)],
)
def test_penalties(regularizer, penalty):
    assert regularizer(W) == penalty
    assert regularizer(-W) == penalty
    assert regularizer(np.zeros((2, 0))) == 0.0


def test_factors_are_there_for_the_engines():
    assert (L1(0.5).l1, L1(0.5).l2) == (0.5, 0.0)
    assert (L2(0.5).l1, L2(0.5).l2) == (0.0, 0.5)
    assert (L1().l1, L2().l2) == (0.01, 0.01)


def test_names():
    both = regularizers.get("l1_l2")
    assert (both.l1, both.l2) == (0.01, 0.01)
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_factors_out_of_range_are_refused(value):
    for make in (L1, L2, lambda v: L1L2(l2=v)):
        with pytest.raises(ValueError, match=r"l1|l2"):
            make(value)


def test_a_penalty_that_training_would_not_know_is_refused():
    with pytest.raises(TypeError, match=r"must define both __call__\(w\) and gradient\(w\)"):

        class Mine(Regularizer):
            def __call__(self, w):
                return 1.0


def test_own_regularizer_chooses_the_factors():
    class Weak(Regularizer):
        l2 = 1e-6

    assert Weak()(W) == pytest.approx(14e-6)
    assert isinstance(regularizers.get(Weak), Weak)


class Cubic(Regularizer):
    def __init__(self, factor=0.1):
        self.factor = factor

    def __call__(self, w):
        return self.factor * np.sum(np.abs(w) ** 3)

    def gradient(self, w):
        return 3 * self.factor * w * np.abs(w)


ALL = [L1(0.3), L2(0.3), L1L2(0.1, 0.2), OrthogonalRegularizer(0.3), Cubic()]
ALL += [OrthogonalRegularizer(0.3, "columns")]


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
class TestGradient:
    def test_it_is_the_derivative(self, regularizer):
        w = np.random.default_rng(0).normal(size=(4, 3))
        expected = numerical_gradient(regularizer, w, h=1e-5)
        np.testing.assert_allclose(regularizer.gradient(w), expected, rtol=RTOL, atol=1e-9)

    def test_it_has_shape_and_type_of_the_weights(self, regularizer):
        for dtype in (np.float32, np.float64):
            w = np.random.default_rng(0).normal(size=(4, 3)).astype(dtype)
            gradient = regularizer.gradient(w)
            assert (gradient.shape, gradient.dtype) == ((4, 3), dtype)
            assert isinstance(float(regularizer(w)), float)


KERAS_W = np.arange(12.0).reshape(3, 4) / 4 - 1


@pytest.mark.parametrize(
    ("mode", "penalty", "slopes"),
    [
        ("rows", 0.3676603336711026, [0.07228889429248395, 0, -0.07228889429248395]),
        ("columns", 0.4497795491326486, [0.050741330221545554, 0.016599955073255762]),
    ],
)
def test_orthogonal_has_the_values_of_keras(mode, penalty, slopes):
    """Value, and the beginning of the gradient's first row, from Keras 3.15 on JAX."""
    regularizer = OrthogonalRegularizer(0.5, mode)
    assert regularizer(KERAS_W) == pytest.approx(penalty, rel=1e-12)
    gradient = regularizer.gradient(KERAS_W)[0, : len(slopes)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-15)


def test_orthogonal_vectors_have_no_penalty_and_parallel_ones_all_of_it():
    w = initializers.Orthogonal(gain=3.0, seed=1)((5, 5), "float64")
    for mode in ("rows", "columns"):
        assert OrthogonalRegularizer(1.0, mode)(w) == pytest.approx(0.0, abs=1e-12)
        assert OrthogonalRegularizer(0.7, mode)(np.ones((4, 4))) == pytest.approx(0.7)
    assert OrthogonalRegularizer()(np.ones((1, 4))) == 0.0
    assert OrthogonalRegularizer()(np.zeros((3, 4))) == 0.0


def test_orthogonal_needs_a_matrix():
    with pytest.raises(ValueError, match=r"two axes .* got shape \(3,\)"):
        OrthogonalRegularizer()(np.ones(3))
    with pytest.raises(ValueError, match="'rows' or 'columns', got 'row'"):
        OrthogonalRegularizer(mode="row")
    with pytest.raises(ValueError, match="factor"):
        OrthogonalRegularizer(-0.1)
    for engine in ENGINES:
        model = make_model(engine, bias_regularizer=OrthogonalRegularizer())
        before = model.get_weights()
        with pytest.raises(ValueError, match="two axes"):
            model.fit(X, Y, verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_names_of_keras():
    assert (regularizers.l1, regularizers.l2, regularizers.l1_l2) == (L1, L2, L1L2)
    assert regularizers.orthogonal_regularizer is OrthogonalRegularizer
    assert regularizers.get("orthogonal_regularizer").factor == 0.01
    both = regularizers.get("l1l2")
    assert (both.l1, both.l2) == (0.0, 0.0)


# In training

X = np.random.default_rng(1).normal(size=(40, 6))
Y = np.random.default_rng(2).normal(size=(40, 3))


def make_model(engine, dtype="float64", units=17, **options):
    first = Dense(
        units, "tanh", kernel_initializer=initializers.RandomNormal(stddev=0.5, seed=3), **options
    )
    last = Dense(3, kernel_initializer=initializers.GlorotUniform(seed=4))
    model = Sequential([first, last], dtype=dtype, engine=engine)
    model.build((None, 6))
    model.compile(SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [1, 17, 300])
@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_engines_agree(isa, dtype, units, regularizer):
    results = []
    for engine in ENGINES:
        model = make_model(engine, dtype, units, kernel_regularizer=regularizer)
        history = model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        loss = model.evaluate(X, Y, verbose=0)
        results.append([*model.get_weights(), history.history["loss"], loss])
    tolerance = {"float32": 3e-4, "float64": 1e-10}[dtype]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
class TestOwnRegularizer:
    def test_it_is_what_a_builtin_one_of_the_same_formula_is(self, engine):
        class Square(Regularizer):
            def __call__(self, w):
                return 0.2 * np.sum(w**2)

            def gradient(self, w):
                return 0.4 * w

        own = make_model(engine, kernel_regularizer=Square(), bias_regularizer=Square())
        builtin = make_model(engine, kernel_regularizer=L2(0.2), bias_regularizer=L2(0.2))
        histories = [m.fit(X, Y, epochs=3, shuffle=False, verbose=0) for m in (own, builtin)]
        np.testing.assert_allclose(*(h.history["loss"] for h in histories), rtol=1e-12)
        for a, b in zip(own.get_weights(), builtin.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)

    def test_it_can_be_a_changed_builtin_one(self, engine):
        class Twice(L2):
            def __call__(self, w):
                return 2 * super().__call__(w)

            def gradient(self, w):
                return 2 * super().gradient(w)

        twice = make_model(engine, kernel_regularizer=Twice(0.1))
        plain = make_model(engine, kernel_regularizer=L2(0.2))
        assert twice.train_on_batch(X, Y) == pytest.approx(plain.train_on_batch(X, Y))
        np.testing.assert_allclose(twice.get_weights()[0], plain.get_weights()[0], rtol=1e-10)

    @pytest.mark.parametrize("fault", ["raise", "shape", "write"])
    def test_one_that_fails_changes_nothing(self, engine, fault):
        class Fails(Cubic):
            def __call__(self, w):
                return super().__call__(w)

            def gradient(self, w):
                if fault == "raise":
                    raise ArithmeticError("no slope")
                if fault == "write":
                    w[...] = 0.0
                return w[:1]

        model = make_model(engine, kernel_regularizer=Fails())
        before = model.get_weights()
        message = {
            "raise": "no slope",
            "shape": r"Fails\.gradient must return",
            "write": "read-only",
        }
        with pytest.raises((ArithmeticError, ValueError), match=message[fault]):
            model.fit(X, Y, verbose=0)
        assert model.optimizer.iterations == 0
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_frozen_weights_have_no_penalty(self, engine):
        model = make_model(engine, kernel_regularizer=Cubic(1.0))
        plain = make_model(engine)
        model.layers[0].trainable = False
        assert model.evaluate(X, Y, verbose=0) == plain.evaluate(X, Y, verbose=0)


def test_the_number_of_threads_makes_no_difference():
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            options = {"kernel_regularizer": OrthogonalRegularizer(0.3, "columns")}
            model = make_model("native", units=700, **options)
            model.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
            results.append(model.get_weights()[0].tobytes())
    assert len(set(results)) == 1
