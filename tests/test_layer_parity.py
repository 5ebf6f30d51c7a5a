"""Layers other than the dense one: the native engine against the reference, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from fastnn.native.ops import layer_kernels

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    CategoricalEmbedding,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    LayerNormalization,
    Maxout,
    Normalization,
    PReLU,
    Rescaling,
    Reshape,
    Residual,
    RMSNormalization,
    SimpleRNN,
    UnitNormalization,
)
from fastnn.program import TRAINING_ONLY, LayerOp
from fastnn.reference.layers import KERNELS, activity_penalty, layer_forward, layer_gradient

FORWARD = {"float32": 3e-5, "float64": 1e-11}
TRAINED = {"float32": 1e-3, "float64": 1e-9}


def rnn(width, **options):
    """Return layers that make a sequence of a row and run over it."""
    steps = 3 if width % 3 == 0 else 1
    return [Reshape((steps, width // steps)), SimpleRNN(7, **options), Flatten()]


def scaled(width):
    return np.linspace(-1, 2, width).tolist()


STACKS = {
    "prelu": lambda n: [PReLU("glorot_normal" if n > 1 else "ones")],
    "maxout": lambda n: [Maxout(5, 3, bias_initializer="random_normal")],
    "maxout of one piece": lambda n: [Maxout(17, 1)],
    "layer norm": lambda n: [LayerNormalization(gamma_initializer="random_normal")],
    "layer norm alone": lambda n: [LayerNormalization(center=False, scale=False)],
    "rms norm": lambda n: [RMSNormalization()],
    "unit norm": lambda n: [UnitNormalization()],
    "batch norm": lambda n: [BatchNormalization(momentum=0.7, gamma_initializer="random_normal")],
    "batch norm alone": lambda n: [BatchNormalization(center=False, scale=False)],
    "batch norm, frozen": lambda n: [
        BatchNormalization(trainable=False, moving_mean_initializer="random_normal")
    ],
    "normalization": lambda n: [Normalization(mean=0.3, variance=2.0)],
    "rescaling": lambda n: [Rescaling(scaled(n), 0.5)],
    "gaussian noise": lambda n: [GaussianNoise(0.3, seed=2**63 + 5)],
    "gaussian dropout": lambda n: [GaussianDropout(0.3, seed=4)],
    "alpha dropout": lambda n: [AlphaDropout(0.3, seed=4)],
    "activity": lambda n: [ActivityRegularization(0.02, 0.03)],
    "residual": lambda n: [Residual([Dense(9, "relu"), Dropout(0.2, seed=1), Dense(n, "tanh")])],
    "residuals in one another": lambda n: [
        Residual([Residual([Activation("tanh"), Dense(n)]), Dense(n, "softmax")]),
        Residual([Activation("sigmoid")]),
    ],
    "empty residual": lambda n: [Residual([Activation("linear")]), Activation("relu")],
    "rnn": lambda n: rnn(n),
    "rnn of sequences": lambda n: rnn(n, return_sequences=True, activation="relu"),
    "rnn of gelu": lambda n: rnn(n, activation="gelu", use_bias=False),
}


def models(stack, width, dtype, below=False, seed=3):
    """Return the same model for both engines."""
    made = []
    for engine in ("native", "reference"):
        fastnn.utils.set_random_seed(seed)
        first = [Dense(6, "tanh"), *stack(6)] if below else stack(width)
        model = Sequential([Input((width,)), *first, Dense(2)], dtype=dtype, engine=engine)
        model.build()
        model.compile(fastnn.optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
        made.append(model)
    made[1].set_weights(made[0].get_weights())
    return made


def data(rows, width, dtype):
    rng = np.random.default_rng(rows + width)
    x = rng.normal(size=(rows, width)).astype(dtype)
    return x, rng.normal(size=(rows, 2)).astype(dtype)


def assert_same_training(native, reference, x, y, tolerance, batch_size=16):
    for model in (native, reference):
        fastnn.utils.set_random_seed(9)
        model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0)
    for a, b in zip(native.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        [*native.history.history.values()], [*reference.history.history.values()], rtol=tolerance
    )
    results = [m.evaluate(x, y, batch_size=batch_size, verbose=0) for m in (native, reference)]
    np.testing.assert_allclose(*results, rtol=tolerance)


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("width", [1, 3, 16, 33])
@pytest.mark.parametrize("name", STACKS)
def test_forward(isa, dtype, width, name):
    native, reference = models(STACKS[name], width, dtype)
    for rows in (0, 1, 5, 97):
        x, _ = data(rows, width, dtype)
        np.testing.assert_allclose(
            native.predict(x), reference.predict(x), rtol=FORWARD[dtype], atol=FORWARD[dtype]
        )


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("units", [256, 300])
def test_training_of_a_wide_recurrent_layer(isa, dtype, units):
    """Gradients of a step are packed then; 256 units make steps of a multiple of 1 kB."""
    native, reference = models(lambda n: [Reshape((4, 130)), SimpleRNN(units)], 4 * 130, dtype)
    assert_same_training(native, reference, *data(20, 4 * 130, dtype), TRAINED[dtype])


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("width", [1, 3, 18])
@pytest.mark.parametrize("name", STACKS)
def test_training_as_the_first_layer(isa, dtype, width, name):
    native, reference = models(STACKS[name], width, dtype)
    assert_same_training(native, reference, *data(37, width, dtype), TRAINED[dtype])


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("name", STACKS)
def test_training_between_dense_layers(isa, dtype, name):
    native, reference = models(STACKS[name], 4, dtype, below=True)
    assert_same_training(native, reference, *data(37, 4, dtype), TRAINED[dtype])


@pytest.mark.parametrize("name", STACKS)
def test_training_in_parts(name):
    native, reference = models(STACKS[name], 6, "float64")
    assert_same_training(native, reference, *data(1500, 6, "float64"), 1e-8, batch_size=1300)


@pytest.mark.parametrize("name", STACKS)
def test_any_number_of_threads_gives_the_same_bits(name):
    results = []
    for threads in (1, 3):
        with fastnn.use_threads(threads):
            model, _ = models(STACKS[name], 300, "float32")
            x, y = data(700, 300, "float32")
            fastnn.utils.set_random_seed(9)
            model.fit(x, y, batch_size=350, epochs=1, verbose=0)
            results.append([*model.get_weights(), model.predict(x)])
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def tables(dtype, layer, width):
    made = []
    for engine in ("native", "reference"):
        model = Sequential(
            [Input((width,)), layer(), Flatten(), Dense(2)], dtype=dtype, engine=engine
        )
        model.build()
        model.compile("adam", "mse")
        made.append(model)
    made[1].set_weights(made[0].get_weights())
    return made


@pytest.mark.parametrize("dtype", TRAINED)
def test_embedding(isa, dtype):
    native, reference = tables(dtype, lambda: Embedding(11, 5), 3)
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 11, size=(50, 3)), rng.normal(size=(50, 2))
    np.testing.assert_allclose(native.predict(x), reference.predict(x), rtol=1e-5, atol=1e-6)
    for model in (native, reference):
        fastnn.utils.set_random_seed(9)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    for a, b in zip(native.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=TRAINED[dtype], atol=TRAINED[dtype])


@pytest.mark.parametrize("dtype", TRAINED)
def test_categorical_embedding(isa, dtype):
    def layer():
        return CategoricalEmbedding({0: 4, 2: 20}, output_dims={0: 2, 2: 17})

    native, reference = tables(dtype, layer, 4)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 4))
    x[:, 0], x[:, 2] = rng.integers(0, 4, size=50), rng.integers(0, 20, size=50)
    y = rng.normal(size=(50, 2))
    np.testing.assert_allclose(native.predict(x), reference.predict(x), rtol=1e-5, atol=1e-6)
    for model in (native, reference):
        fastnn.utils.set_random_seed(9)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    for a, b in zip(native.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=TRAINED[dtype], atol=TRAINED[dtype])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_only_rows_that_were_seen_have_a_gradient(engine):
    model = Sequential([Embedding(6, 3, input_shape=(2,)), Flatten(), Dense(1)], engine=engine)
    model.compile(fastnn.optimizers.SGD(0.1), "mse")
    before = model.get_weights()[0]
    model.fit([[0, 2], [2, 5]], [1.0, 2.0], verbose=0)
    changed = (model.get_weights()[0] != before).any(axis=1)
    np.testing.assert_array_equal(changed, [True, False, True, False, False, True])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_an_index_further_up_that_is_no_row_gives_nan(engine):
    stack = [Rescaling(1.0, input_dim=1), Embedding(3, 2), Flatten(), Dense(1)]
    model = Sequential(stack, engine=engine)
    model.compile("sgd", "mse")
    out = model.predict([[0.0], [2.0], [3.0], [-1.0], [1e30]])
    np.testing.assert_array_equal(np.isnan(out[:, 0]), [False, False, True, True, True])
    model.fit([[0.0], [7.0]], [1.0, 2.0], verbose=0)  # reads and writes nothing out of bounds


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("wrong", [-1, 11, 0.5, np.nan, np.inf, 1e30])
def test_an_index_that_is_no_row_is_refused(engine, dtype, wrong):
    embedding = Embedding(11, 2, input_shape=(3,))
    first = Sequential([embedding, Flatten()], dtype=dtype, engine=engine)
    some = CategoricalEmbedding({1: 11}, output_dims=2, input_dim=3)
    second = Sequential([some, Dense(1)], dtype=dtype, engine=engine)
    x = np.array([[0, 1, 2], [3, 10, 5], [0, 0, 0]], dtype)
    for model in (first, second):
        model.build()
        assert np.isfinite(model(x)).all()
        x[1, 1] = wrong
        with pytest.raises(ValueError, match="expects whole numbers from 0 to 10 in column 1"):
            model(x)
        with pytest.raises(ValueError, match=r"whole numbers|x contains"):
            model.predict(x, verbose=0)
        x[1, 1] = 10
    x[1, 0] = 0.5  # a column without categories
    assert np.isfinite(second(x)).all()


def test_both_engines_know_the_same_kernels():
    assert KERNELS.keys() == layer_kernels().keys()
    assert KERNELS.keys() >= TRAINING_ONLY


# The reference against finite differences

OPS = {
    "prelu": ((7,), [(7,)], {}),
    "maxout": ((6,), [], {"pieces": 3}),
    "layer_normalization": ((7,), [(7,), (7,)], {"epsilon": 1e-3}),
    "rms_normalization": ((7,), [(7,)], {"epsilon": 1e-3}),
    "unit_normalization": ((7,), [], {}),
    "batch_normalization": (
        (5,),
        [(5,), (5,), (5,), (5,)],
        {"momentum": 0.9, "epsilon": 1e-3, "training": True},
    ),
    "normalization": ((5,), [(5,), (5,)], {"epsilon": 1e-7}),
    "rescaling": ((3,), [], {"scale": (1.0, -2.0, 0.5), "offset": (0.0, 1.0, 2.0)}),
    "gaussian_noise": ((5,), [], {"stddev": 0.3, "seed": 1, "step": 2}),
    "gaussian_dropout": ((5,), [], {"rate": 0.3, "seed": 1, "step": 2}),
    "alpha_dropout": ((5,), [], {"rate": 0.3, "seed": 1, "step": 2}),
    "activity_regularization": ((5,), [], {"l1": 0.1, "l2": 0.2}),
    "embedding": ((3,), [(4, 2)], {"columns": ((-1, 1, 1), (0, 4, 2), (0, 4, 2))}),
    "simple_rnn": (
        (6,),
        [(2, 4), (4, 4), (4,)],
        {"steps": 3, "activation": fastnn.activations.get("tanh"), "return_sequences": False},
    ),
}


def central_differences(function, array, eps=1e-6):
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + eps
        high = function()
        array[index] = kept - eps
        result[index] = (high - function()) / (2 * eps)
        array[index] = kept
    return result


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", OPS)
def test_gradients_of_the_reference(name, sequences):
    (width,), shapes, options = OPS[name]
    options = dict(options)
    if name == "simple_rnn":
        options["return_sequences"] = sequences
    rng = np.random.default_rng(8)
    x = rng.normal(size=(6, width))
    if name == "embedding":
        x[:, 1:] = rng.integers(0, 4, size=(6, 2))
    weights = [rng.uniform(0.5, 1.5, size=shape) for shape in shapes]
    factors = rng.normal(size=layer_forward(name, x, *weights, **options).shape)

    def value():
        total = float((factors * layer_forward(name, x, *weights, **options)).sum())
        if name == "activity_regularization":
            total += activity_penalty(x, **options) / len(x)
        return total

    of_x, of_weights = layer_gradient(name, factors, x, *weights, **options)
    expected = central_differences(value, x)
    if name == "embedding":
        expected[:, 1:] = 0
    np.testing.assert_allclose(of_x, expected, rtol=1e-6, atol=1e-7)
    for gradient, weight in zip(of_weights, weights, strict=False):
        if gradient is not None:
            np.testing.assert_allclose(
                gradient, central_differences(value, weight), rtol=1e-6, atol=1e-7
            )


def test_every_kernel_has_its_gradient_checked():
    assert OPS.keys() == KERNELS.keys()


def test_every_kernel_is_compared():
    known = set()
    for stack in STACKS.values():
        model, _ = models(stack, 6, "float64")
        known |= {op.kernel for op in model._ready()[1].ops if isinstance(op, LayerOp)}
    assert known | {"embedding"} == KERNELS.keys()
