"""What holds for all inputs: properties, tried on generated ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn import kernels, reference
from fastnn._checks import ACTIVATIONS, output_width
from fastnn.callbacks import Callback
from fastnn.engines import ENGINES
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.native.dispatch import available_isas, use_isa
from fastnn.utils import set_random_seed

TOLERANCE = {"float32": 3e-5, "float64": 3e-12}
SIZES = st.integers(0, 40)
SEEDS = st.integers(0, 2**64 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
ISAS = st.sampled_from(available_isas())
STEPS = st.sampled_from([-3, -2, -1, 1, 2, 3])


def tried(examples: int):
    """Try so many examples, the same at each run."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


def close(dtype, factor=1.0):
    tolerance = TOLERANCE[np.dtype(dtype).name] * factor
    return {"rtol": tolerance, "atol": tolerance}


@st.composite
def spread(draw, array):
    """Return the numbers of `array` in memory of random order, strides and direction."""
    order = draw(st.permutations(range(array.ndim)))
    steps = [draw(STEPS) for _ in array.shape]
    room = [abs(step) * size for step, size in zip(steps, array.shape, strict=True)]
    memory = np.full([room[axis] for axis in order], np.nan, array.dtype)
    view = memory.transpose(np.argsort(order))[tuple(slice(None, None, step) for step in steps)]
    view = view[tuple(slice(size) for size in array.shape)]
    view[...] = array
    return view


@st.composite
def layers_at_work(draw):
    """Return x, kernel, bias or None and an activation, of any shapes, layouts and float type."""
    dtype, rows, inputs, units = draw(DTYPES), draw(SIZES), draw(SIZES), draw(SIZES)
    activation = draw(st.sampled_from(ACTIVATIONS))
    units *= 2 if activation == "glu" else 1
    rng = np.random.default_rng(draw(SEEDS))
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    kernel = (rng.normal(size=(inputs, units)) / max(1.0, math.sqrt(inputs))).astype(dtype)
    bias = rng.normal(size=units).astype(dtype)
    operands = [draw(spread(array)) for array in (x, kernel, bias)]
    if draw(st.booleans()):
        operands[2] = None
    return (*operands, activation)


@st.composite
def matrices(draw):
    """Return a matrix of finite numbers, large and small, of any number of rows."""
    shape = draw(SIZES), draw(st.integers(1, 40))
    width = draw(st.sampled_from([32, 64]))
    return draw(hnp.arrays(f"float{width}", shape, elements=st.floats(-50, 50, width=width)))


class TestDense:
    @tried(200)
    @given(layers_at_work(), ISAS)
    def test_forward_is_the_reference(self, layer, isa):
        with use_isa(isa):
            y = kernels.dense_forward(*layer)
        np.testing.assert_allclose(y, reference.dense_forward(*layer), **close(y.dtype))
        assert y.flags.c_contiguous

    @tried(200)
    @given(layers_at_work(), ISAS, st.data())
    def test_backward_is_the_reference(self, layer, isa, data):
        *operands, activation = layer
        if activation == "step":
            activation = "linear"
        x, kernel, _ = operands
        rng = np.random.default_rng(data.draw(SEEDS))
        width = output_width(activation, kernel.shape[1])
        grad = rng.normal(size=(len(x), width)).astype(x.dtype)
        grad = data.draw(spread(grad))
        with use_isa(isa):
            actual = kernels.dense_backward(grad, *operands, activation)
        expected = reference.dense_backward(grad, *operands, activation)
        for a, b in zip(actual, expected, strict=True):
            if b is None:
                assert a is None
            else:
                np.testing.assert_allclose(a, b, **close(b.dtype, 10))

    @tried(100)
    @given(layers_at_work(), st.data())
    def test_out_is_right_wherever_it_lies(self, layer, data):
        """In memory of its own, over the input or over part of it."""
        x, kernel, bias, activation = layer
        expected = kernels.dense_forward(x, kernel, bias, activation)
        rows, units = expected.shape
        first = data.draw(st.integers(0, 2 * rows))
        memory = np.zeros((3 * rows, max(units, x.shape[1])), x.dtype)
        inside = memory[rows : 2 * rows, : x.shape[1]]
        inside[...] = x
        out = memory[first : first + rows, :units]
        assert kernels.dense_forward(inside, kernel, bias, activation, out=out) is out
        np.testing.assert_allclose(out, expected, **close(x.dtype))


@tried(100)
@given(matrices(), st.sampled_from(ACTIVATIONS), st.data())
def test_activations_are_right_wherever_out_lies(x, activation, data):
    if activation == "glu":
        x = np.hstack([x, x])
    expected = kernels.activation_forward(x, activation)
    memory = np.zeros(3 * x.size, x.dtype)
    first = data.draw(st.integers(0, 2 * x.size))
    inside, out = memory[x.size : 2 * x.size], memory[first : first + expected.size]
    inside[...] = x.ravel()
    out = out.reshape(expected.shape)
    assert kernels.activation_forward(inside.reshape(x.shape), activation, out=out) is out
    np.testing.assert_array_equal(out, expected)


class TestRows:
    """What comes out for a row depends on that row alone."""

    @pytest.mark.parametrize("engine", ENGINES)
    @tried(25)
    @given(rows=st.integers(1, 30), widths=st.lists(st.integers(1, 40), min_size=2), seed=SEEDS)
    def test_one_by_one_and_in_another_order(self, engine, rows, widths, seed):
        rng = np.random.default_rng(seed)
        inputs, *units = widths[:4]
        stack = [Dense(width, "tanh") for width in units]
        model = Sequential([Input((inputs,)), *stack, Dense(3, "softmax")], engine=engine)
        x = rng.normal(size=(rows, inputs)).astype("float32")
        y = model.predict(x, verbose=0)
        for i in range(rows):
            np.testing.assert_allclose(model(x[i : i + 1])[0], y[i], **close("float32"))
        order = rng.permutation(rows)
        np.testing.assert_allclose(model.predict(x[order]), y[order], **close("float32"))
        batch_size = int(rng.integers(1, rows + 1))
        np.testing.assert_allclose(model.predict(x, batch_size), y, **close("float32"))


class TestSoftmax:
    @tried(100)
    @given(matrices())
    def test_it_is_positive_and_sums_to_one(self, x):
        y = kernels.softmax(x)
        assert (y >= 0).all()
        np.testing.assert_allclose(y.sum(axis=1), 1, **close(x.dtype))
        np.testing.assert_allclose(
            kernels.log_softmax(x), np.log(reference.softmax(x.astype("f8"))), **close(x.dtype, 10)
        )

    @tried(100)
    @given(matrices(), st.floats(-1000, 1000))
    def test_a_shift_of_all_changes_nothing(self, x, shift):
        shift = x.dtype.type(shift)
        # Adding the shift rounds x; what is lost there is no fault of the softmax.
        lost = 4 * np.finfo(x.dtype).eps * (abs(shift) + 50)
        y = kernels.softmax(x)
        np.testing.assert_allclose(kernels.softmax(x + shift), y, rtol=lost, atol=lost)


class TestDropout:
    @tried(60)
    @given(rate=st.floats(0, 0.95), seed=SEEDS, step=SEEDS, dtype=DTYPES)
    def test_so_many_are_kept_and_scaled(self, rate, seed, step, dtype):
        x = np.full((100, 100), 3.0, dtype)
        y = kernels.dropout(x, rate, seed, step)
        scale = np.dtype(dtype).type(1 / (1 - rate))
        assert set(np.unique(y)) <= {0.0, x[0, 0] * scale}
        # Six standard deviations of a binomial distribution.
        spread = math.sqrt(rate * (1 - rate) * y.size)
        assert abs(np.count_nonzero(y) - (1 - rate) * y.size) <= 6 * spread

    @tried(60)
    @given(x=matrices(), rate=st.floats(0, 0.95), seed=SEEDS, step=SEEDS)
    def test_the_mask_is_that_of_the_reference(self, x, rate, seed, step):
        y = kernels.dropout(x, rate, seed, step)
        np.testing.assert_array_equal(y, reference.dropout(x, rate, seed, step))
        assert kernels.dropout(x, rate, seed, step, out=x) is x
        np.testing.assert_array_equal(x, y)


rates = st.floats(1e-5, 1.0)
fractions = st.floats(0.0, 0.99)
UPDATES = {
    "sgd": (st.fixed_dictionaries({"momentum": fractions, "nesterov": st.booleans()}), 1),
    "rmsprop": (st.fixed_dictionaries({"rho": fractions, "momentum": fractions}), 2),
    "adagrad": (st.just({}), 1),
    "adam": (
        st.fixed_dictionaries(
            {"beta_1": fractions, "beta_2": fractions, "step": st.integers(1, 10**6)}
        ),
        3,
    ),
    "adadelta": (st.fixed_dictionaries({"rho": fractions}), 2),
    "adamax": (
        st.fixed_dictionaries(
            {"beta_1": fractions, "beta_2": fractions, "step": st.integers(1, 10**6)}
        ),
        2,
    ),
    "nadam": (
        st.fixed_dictionaries(
            {
                "beta_1": fractions,
                "beta_2": fractions,
                "step": st.integers(1, 10**6),
                "momentum_product": fractions,
            }
        ),
        2,
    ),
    "ftrl": (
        st.fixed_dictionaries(
            {"l1_regularization_strength": fractions, "l2_regularization_strength": fractions}
        ),
        2,
    ),
    "lion": (st.fixed_dictionaries({"beta_1": fractions, "beta_2": fractions}), 1),
}


@pytest.mark.parametrize("name", UPDATES)
@tried(50)
@given(data=st.data())
def test_optimizer_steps_are_the_reference(name, data):
    options, slots = UPDATES[name]
    dtype, size, rng = data.draw(DTYPES), data.draw(SIZES), np.random.default_rng(data.draw(SEEDS))
    arrays = [rng.normal(size=size), rng.normal(size=size)]
    arrays += [rng.uniform(0.1, 1, size=size) for _ in range(slots)]
    native = [array.astype(dtype) for array in arrays]
    plain = [array.copy() for array in native]
    drawn = data.draw(options) | {
        "learning_rate": data.draw(rates),
        "weight_decay": data.draw(fractions),
    }
    getattr(kernels, name)(*native, **drawn)
    getattr(reference, name)(*plain, **drawn)
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_allclose(a, b, **close(dtype, 10))


@pytest.mark.parametrize("engine", ENGINES)
@tried(25)
@given(widths=st.lists(st.integers(1, 20), min_size=2, max_size=5), dtype=DTYPES, seed=SEEDS)
def test_setting_the_weights_that_are_there_changes_nothing(engine, widths, dtype, seed):
    inputs, *units = widths
    stack = [Dense(width, "relu", use_bias=bool(width % 2)) for width in units]
    model = Sequential([Input((inputs,)), *stack], dtype=dtype, engine=engine)
    x = np.random.default_rng(seed).normal(size=(5, inputs))
    before, outputs = model.get_weights(), model.predict(x, verbose=0)
    model.set_weights(model.get_weights())
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)


class BatchWise(Callback):
    """Makes training come back to Python after each step."""

    def on_train_batch_end(self, batch, logs=None):
        assert logs["loss"] >= 0


class Looking(Callback):
    """Evaluates and predicts in between."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def on_epoch_end(self, epoch, logs=None):
        self.model.predict(self.x, verbose=0)
        self.model.evaluate(self.x, self.y, verbose=0)


def trained(x, y, seed, engine, **options):
    """Return weights and history, as bytes and numbers, of a fit with this seed."""
    set_random_seed(seed)
    stack = [Dense(6, "relu"), Dropout(0.3), Dense(3, "softmax")]
    model = Sequential([Input((x.shape[1],)), *stack], engine=engine)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, **options).history
    weights = [array.tobytes() for array in model.get_weights()]
    return weights, history["loss"], history["accuracy"]


@pytest.mark.parametrize("engine", ENGINES)
@tried(8)
@given(
    rows=st.integers(1, 60),
    inputs=st.integers(1, 9),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
def test_a_seed_decides_every_bit_of_a_fit(engine, rows, inputs, batch_size, seed):
    """Whoever watches: the output, a validation, callbacks of batches change nothing."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, inputs)), rng.integers(0, 3, size=rows)
    common = {"seed": seed, "engine": engine, "batch_size": batch_size}
    expected = trained(x, y, verbose=0, **common)
    for options in (
        {"verbose": 0},
        {"verbose": 1},
        {"verbose": 2},
        {"verbose": 0, "validation_data": (x, y)},
        {"verbose": 0, "callbacks": [BatchWise()]},
        {"verbose": 2, "callbacks": [Looking(x, y), BatchWise()], "validation_data": (x, y)},
    ):
        assert trained(x, y, **common, **options) == expected
