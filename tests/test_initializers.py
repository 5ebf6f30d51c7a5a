"""Initializers: statistics, seeds, orthogonality."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastnn import Input, Sequential, initializers, utils
from fastnn.engines import ENGINES
from fastnn.layers import Dense

SEEDED = [
    initializers.RandomUniform(seed=7),
    initializers.RandomNormal(seed=7),
    initializers.TruncatedNormal(seed=7),
    initializers.VarianceScaling(seed=7),
    initializers.GlorotUniform(seed=7),
    initializers.GlorotNormal(seed=7),
    initializers.HeUniform(seed=7),
    initializers.HeNormal(seed=7),
    initializers.LecunUniform(seed=7),
    initializers.LecunNormal(seed=7),
    initializers.Orthogonal(seed=7),
]
by_name = {"ids": lambda value: type(value).__name__}


@pytest.mark.parametrize("initializer", SEEDED, **by_name)
class TestEveryRandomInitializer:
    def test_seed_gives_the_same_values_at_each_call(self, initializer):
        first = initializer((5, 4))
        assert first.std() > 0
        np.testing.assert_array_equal(initializer((5, 4)), first)
        other = type(initializer)(seed=8)((5, 4))
        assert not np.array_equal(other, first)

    def test_without_seed_values_differ_and_follow_the_global_seed(self, initializer):
        unseeded = type(initializer)()
        utils.set_random_seed(3)
        first, second = unseeded((5, 4)), unseeded((5, 4))
        assert not np.array_equal(first, second)
        utils.set_random_seed(3)
        np.testing.assert_array_equal(unseeded((5, 4)), first)
        np.testing.assert_array_equal(unseeded((5, 4)), second)

    def test_float32_is_float64_rounded(self, initializer):
        double = initializer((6, 3), "float64")
        single = initializer((6, 3))
        assert double.dtype == np.float64
        assert single.dtype == np.float32
        np.testing.assert_array_equal(single, double.astype(np.float32))

    @pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
    def test_wrong_seed_is_refused(self, initializer, seed):
        with pytest.raises((TypeError, ValueError), match="seed"):
            type(initializer)(seed=seed)


@pytest.mark.parametrize(
    ("initializer", "variance", "limit"),
    [
        (initializers.GlorotUniform(1), 2 / 1200, math.sqrt(6 / 1200)),
        (initializers.HeUniform(1), 2 / 400, math.sqrt(6 / 400)),
        (initializers.LecunUniform(1), 1 / 400, math.sqrt(3 / 400)),
        (initializers.GlorotNormal(1), 2 / 1200, 2 / 0.8796256610342398 * math.sqrt(2 / 1200)),
        (initializers.HeNormal(1), 2 / 400, 2 / 0.8796256610342398 * math.sqrt(2 / 400)),
        (initializers.LecunNormal(1), 1 / 400, 2 / 0.8796256610342398 * math.sqrt(1 / 400)),
        (initializers.VarianceScaling(3.0, "fan_out", "uniform", 1), 3 / 800, math.sqrt(9 / 800)),
        (initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal", 1), 3 / 800, math.inf),
        (initializers.RandomUniform(-0.3, 0.3, 1), 0.03, 0.3),
        (initializers.RandomNormal(0.0, 0.2, 1), 0.04, math.inf),
        (initializers.TruncatedNormal(0.0, 0.2, 1), 0.04 * 0.8796256610342398**2, 0.4),
    ],
    ids=lambda value: repr(value) if isinstance(value, initializers.Initializer) else "",
)
def test_mean_variance_and_limits(initializer, variance, limit):
    values = initializer((400, 800), "float64")
    n = values.size
    # Six standard errors: of the mean, and of a variance whose kurtosis is at most 3.
    assert abs(values.mean()) < 6 * math.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 6 * math.sqrt(2 / n)
    assert np.abs(values).max() <= limit
    if math.isfinite(limit):
        assert np.abs(values).max() > 0.99 * limit


def test_mean_and_bounds_are_shifted():
    assert initializers.RandomNormal(5.0, 0.1, 1)((1000,)).mean() == pytest.approx(5.0, abs=0.03)
    values = initializers.TruncatedNormal(5.0, 0.1, 1)((1000,), "float64")
    assert np.abs(values - 5.0).max() <= 0.2
    values = initializers.RandomUniform(1.0, 2.0, 1)((1000,))
    assert values.min() >= 1.0
    assert values.max() <= 2.0


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 1), (2, 3, 4)])
def test_orthogonal(shape):
    matrix = initializers.Orthogonal(gain=2.0, seed=1)(shape, "float64").reshape(-1, shape[-1])
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_uniform_in_sign():
    entries = [initializers.Orthogonal(seed=seed)((1, 1))[0, 0] for seed in range(200)]
    assert 60 < sum(entry > 0 for entry in entries) < 140


def test_orthogonal_needs_two_axes():
    with pytest.raises(ValueError, match="two axes or more"):
        initializers.Orthogonal()((3,))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 3)])
def test_identity(shape):
    np.testing.assert_array_equal(initializers.Identity(2.0)(shape, "float64"), 2 * np.eye(*shape))
    with pytest.raises(ValueError, match=r"two axes, got \(3,\)"):
        initializers.Identity()((3,))


@pytest.mark.parametrize(
    "initializer",
    [*SEEDED, initializers.Zeros(), initializers.Ones(), initializers.Constant(2.0)],
    **by_name,
)
def test_the_default_type_is_float32(initializer):
    assert initializer((3, 2)).dtype == initializer((3, 2), None).dtype == np.float32
    assert initializer((3, 2), dtype=np.float64).dtype == np.float64


def test_names_of_keras():
    assert isinstance(initializers.get("IdentityInitializer"), initializers.Identity)
    for name, cls in initializers._registry.entries.items():
        assert getattr(initializers, name) is cls


class Ramp(initializers.Initializer):
    def __init__(self, top=1.0):
        self.top = top

    def __call__(self, shape, dtype=None):
        return np.linspace(0.0, self.top, math.prod(shape)).reshape(shape)


class Drawn(initializers.RandomInitializer):
    def draw(self, rng, shape):
        return rng.exponential(size=shape)


@pytest.mark.parametrize("engine", ENGINES)
class TestOwnInitializer:
    def test_it_makes_the_weights(self, engine):
        layer = Dense(3, kernel_initializer=Ramp(2.0), bias_initializer=Ramp())
        model = Sequential([Input((4,)), layer], engine=engine)
        np.testing.assert_allclose(layer.kernel.ravel(), np.linspace(0, 2, 12), rtol=1e-6)
        np.testing.assert_allclose(layer.bias, [0.0, 0.5, 1.0])
        assert layer.kernel.dtype == np.float32
        form = model.get_config()["layers"][1]["config"]["kernel_initializer"]
        assert form == {"class_name": "Ramp", "config": {"top": 2.0}}
        assert initializers.deserialize(form, {"Ramp": Ramp}).top == 2.0

    def test_one_that_draws_follows_seeds(self, engine):
        def kernel(seed=None):
            layer = Dense(3, kernel_initializer=Drawn(seed))
            Sequential([Input((4,)), layer], engine=engine)
            return layer.kernel

        np.testing.assert_array_equal(kernel(5), kernel(5))
        utils.set_random_seed(1)
        first = kernel()
        assert not np.array_equal(kernel(), first)
        utils.set_random_seed(1)
        np.testing.assert_array_equal(kernel(), first)

    def test_values_of_another_shape_are_refused(self, engine):
        class Row(initializers.Initializer):
            def __call__(self, shape, dtype=None):
                return np.zeros(shape[1:])

        layer = Dense(3, kernel_initializer=Row(), name="d")
        message = (
            r"Row must return an array of shape \(4, 3\) for 'kernel' of Dense 'd', got \(3,\)"
        )
        with pytest.raises(ValueError, match=message):
            Sequential([Input((4,)), layer], engine=engine)
        assert not layer.built


def test_constants():
    assert initializers.Zeros()((2, 0)).shape == (2, 0)
    np.testing.assert_array_equal(initializers.Ones()((2, 2), "float64"), np.ones((2, 2)))
    np.testing.assert_array_equal(initializers.Constant(-3)((2,)), [-3.0, -3.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.Constant(math.nan), "value"),
        (lambda: initializers.Identity(math.inf), "gain"),
        (lambda: initializers.RandomUniform(1.0, 0.0), "minval must not exceed maxval"),
        (lambda: initializers.RandomNormal(stddev=-1.0), "stddev"),
        (lambda: initializers.TruncatedNormal(stddev=math.inf), "stddev"),
        (lambda: initializers.VarianceScaling(scale=0.0), "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode must be one of 'fan_in'"),
        (lambda: initializers.VarianceScaling(distribution="beta"), "distribution must be one of"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_normal_is_another_name_of_truncated_normal():
    assert initializers.VarianceScaling(distribution="normal").distribution == "truncated_normal"


def test_none_is_glorot_uniform():
    assert isinstance(initializers.get(None), initializers.GlorotUniform)


def test_base_asks_for_a_call():
    with pytest.raises(NotImplementedError, match="must define __call__"):
        initializers.Initializer()((2,))
    with pytest.raises(NotImplementedError, match="must define draw"):
        initializers.RandomInitializer()((2,))


@pytest.mark.parametrize("seed", [-1, 0.5, None, "0"])
def test_global_seed_must_be_a_whole_number(seed):
    with pytest.raises((TypeError, ValueError), match="seed"):
        utils.set_random_seed(seed)
