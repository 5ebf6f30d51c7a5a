"""What layers compute: numbers that Keras gave, and the statistics of noise.

The numbers are of Keras 3.15.1 in float64 (TensorFlow), rounded to 12 decimals.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import Input, Sequential, activations, layers, regularizers
from fastnn.layers import (
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    LayerNormalization,
    Normalization,
    PReLU,
    Rescaling,
    RMSNormalization,
    SimpleRNN,
    UnitNormalization,
)
from fastnn.optimizers import SGD

ENGINES = ["native", "reference"]
X = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.5], [2.5, -0.5, 1.0], [-1.0, 0.25, 4.0]])
SEQUENCES = np.stack([X, X[::-1]], axis=1)
INDICES = np.array([[0, 1], [1, 1], [3, 0], [0, 3]])
Y = np.array([[1.0], [0.0], [2.0], [-1.0]])

SCALE, OFFSET = [1.0, 2.0, -0.5], [0.1, 0.0, -1.0]
STATISTICS = [[0.5, 0.0, 1.0], [2.0, 1.0, 0.25]]
KERNEL = [[0.5, -1.0], [1.0, 0.25], [-0.5, 0.75]]
RECURRENT = [[0.3, -0.2], [0.1, 0.9]]
BIAS = [0.05, -0.1]
TABLE = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]


# Outputs: a layer, its weights, its input, whether in training, what Keras gave

OUTPUTS = {
    "BatchNormalization": (
        BatchNormalization(momentum=0.8),
        [SCALE, OFFSET, *STATISTICS],
        X,
        False,
        [
            [0.453465035377, -3.998001498751, -0.500997009965],
            [-0.253465035377, 5.997002248127, 1.495014950174],
            [1.51386014151, -0.999500374688, -1.0],
            [-0.960395106132, 0.499750187344, -3.994017940209],
        ],
    ),
    "BatchNormalization in training": (
        BatchNormalization(momentum=0.8),
        [SCALE, OFFSET, *STATISTICS],
        X,
        True,
        [
            [0.389934250367, -2.410562077354, -0.873016256942],
            [-0.383223750612, 3.099294099456, -0.36508128471],
            [1.549671251836, -0.757605224311, -1.0],
            [-1.156381751591, 0.06887320221, -1.761902458348],
        ],
    ),
    "LayerNormalization": (
        LayerNormalization(),
        [SCALE, OFFSET],
        X,
        False,
        [
            [0.988742904312, -2.79319198498, -1.253926544089],
            [-0.167223069915, 2.672230699145, -0.465553860171],
            [1.324336827112, -2.448673654224, -1.0],
            [-0.880472075568, -0.784377660454, -1.686330452897],
        ],
    ),
    "RMSNormalization": (
        RMSNormalization(),
        [SCALE],
        X,
        False,
        [
            [0.755928730039, -3.023714920155, -0.18898218251],
            [0.0, 3.098386263848, 0.387298282981],
            [1.581138513857, -0.632455405543, -0.316227702771],
            [-0.419313897826, 0.209656948913, -0.838627795652],
        ],
    ),
    "UnitNormalization": (
        UnitNormalization(),
        [],
        X,
        False,
        [
            [0.436435780472, -0.872871560944, 0.218217890236],
            [0.0, 0.894427191, -0.4472135955],
            [0.912870929175, -0.182574185835, 0.36514837167],
            [-0.242091013068, 0.060522753267, 0.96836405227],
        ],
    ),
    "PReLU": (
        PReLU(),
        [[0.25, -1.0, 2.0]],
        X,
        False,
        [[1.0, 2.0, 0.5], [0.0, 3.0, -3.0], [2.5, 0.5, 1.0], [-0.25, 0.25, 4.0]],
    ),
    "Rescaling": (
        Rescaling([2.0, 1.0, 0.5], [1.0, 0.0, -1.0]),
        [],
        X,
        False,
        [[3.0, -2.0, -0.75], [1.0, 3.0, -1.75], [6.0, -0.5, -0.5], [-1.0, 0.25, 1.0]],
    ),
    "SimpleRNN": (
        SimpleRNN(2, return_sequences=True),
        [KERNEL, RECURRENT, BIAS],
        SEQUENCES,
        False,
        [
            [-0.935409070603, -0.841122901632, -0.988230279285, 0.997741659512],
            [0.998999597786, -0.442230356046, 0.504613731015, -0.988417677832],
            [0.291312612452, -0.962218076126, 0.998981786856, -0.885191328878],
            [-0.975743130031, 0.9992770817, -0.955616390308, -0.129766162866],
        ],
    ),
    "SimpleRNN with relu": (
        SimpleRNN(2, "relu", return_sequences=True),
        [KERNEL, RECURRENT, BIAS],
        SEQUENCES,
        False,
        [[0, 0, 0, 3.9625], [3.8, 0, 1.44, 0], [0.3, 0, 3.89, 0], [0, 3.9625, 0, 2.34125]],
    ),
}


def copied(layer):
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_layer_alone_computes_what_keras_computes(name):
    layer, weights, x, training, expected = OUTPUTS[name]
    layer = copied(layer)
    layers.build_layers([layer], (None, *x.shape[1:]), np.dtype(np.float64))
    layer.set_weights(weights)
    y = layer(x, training=training)
    tolerance = 1e-10 if weights else 1e-6  # without weights a layer computes in float32
    np.testing.assert_allclose(y.reshape(4, -1), expected, rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [name for name, case in OUTPUTS.items() if not case[3]])
def test_a_model_computes_what_keras_computes(name, engine):
    layer, weights, x, _, expected = OUTPUTS[name]
    stack = [Input(x.shape[1:]), copied(layer), Flatten()]
    model = Sequential(stack, dtype="float64", engine=engine)
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-10, atol=1e-12)


def test_adapt_finds_what_keras_finds():
    layer = Normalization()
    layer.adapt(X)
    expected = [
        [0.290020946714, -1.205464033057, -0.254000254],
        [-0.483368244523, 1.549882328216, -1.270001270002],
        [1.450104733568, -0.378860124675, 0.0],
        [-1.256757435759, 0.034441829516, 1.524001524002],
    ]
    model = Sequential([Input((3,)), layer], dtype="float64")
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10, atol=1e-12)


# Training: layers, their weights, input; losses and weights after two steps of gradient descent.
# A dense unit comes after them, with weights from -1 to 1 and bias 0.5.

ONES, ZEROS = np.ones(3), np.zeros(3)
TRAINED = {
    "BatchNormalization": (
        lambda: [BatchNormalization(momentum=0.8)],
        [ONES, ZEROS, ZEROS, ONES],
        X,
        [7.048109161568139, 2.4227159300854364],
        [
            [0.359601320364, 1.007045720844, 0.515499436419],
            [0.0, 0.0, 0.0],
            [0.225, 0.0675, 0.36],
            [1.241875, 1.82546875, 2.035],
            [-0.359601320364, -0.17172613087, 0.515499436419],
            [0.5],
        ],
    ),
    "LayerNormalization": (
        lambda: [LayerNormalization()],
        [ONES, ZEROS],
        X,
        [5.783904024974504, 2.6281236155381498],
        [
            [0.454234564213, 1.009439736788, 0.605901521481],
            [0.008674627222, 0.002472745595, -0.011147372817],
            [-0.454184426452, -0.203778745552, 0.60585138372],
            [0.484036698949],
        ],
    ),
    "RMSNormalization": (
        lambda: [RMSNormalization()],
        [ONES],
        X,
        [4.9443964388412684, 2.766554024564508],
        [
            [0.543245527749, 1.007153796382, 0.652392893498],
            [-0.543245527749, -0.172346258247, 0.652392893498],
            [0.487526365213],
        ],
    ),
    "PReLU": (
        lambda: [PReLU()],
        [ONES],
        X,
        [13.3125, 1.6878298095703126],
        [
            [0.66541015625, 1.013804199219, 0.91924375],
            [0.104876953125, -0.30332421875, -0.19165859375],
            [0.520421875],
        ],
    ),
    "SimpleRNN": (
        lambda: [SimpleRNN(2)],
        [KERNEL, RECURRENT, BIAS],
        SEQUENCES,
        [5.014107734899425, 1.9890955438172997],
        [
            [
                [0.358065979794, -1.113989176751, 1.002375607223],
                [0.845513244624, -0.538437337581, 0.517252118665],
            ],
            [0.236690153846, -0.062538785906, 0.122553060261, 0.657680472263],
            [0.006009738756, -0.110244030535],
            [-0.390965249182, 0.728237069373],
            [0.538756211881],
        ],
    ),
    "Embedding": (
        lambda: [Embedding(4, 2), Flatten()],
        [TABLE],
        INDICES,
        [2.7344444444444442, 1.832253642936214],
        [
            [
                [0.339509121012, 0.453139853753, 0.344221435901, 0.392402261975],
                [0.5, 0.6, 0.438361206975, 0.532638759272],
            ],
            [-0.917029737058, -0.253338378004, 0.225474457078, 0.889505258724],
            [0.467041666667],
        ],
    ),
    "activity_regularizer": (
        lambda: [Dense(2, "tanh", activity_regularizer=regularizers.L1L2(0.125, 0.25))],
        [KERNEL, [0.0, 0.0]],
        X,
        [5.607742988707603, 3.4020359544746785],
        [
            [
                [0.092929742764, -0.930798143893, 1.082000280886],
                [0.344255658586, -0.608612680362, 0.707853987424],
            ],
            [-0.145960929018, 0.08414338316],
            [-0.685057443992, 0.434319316804],
            [0.477618209679],
        ],
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", TRAINED)
def test_training_goes_where_that_of_keras_goes(name, engine):
    stack, weights, x, losses, expected = TRAINED[name]
    model = Sequential([Input(x.shape[1:]), *stack(), Dense(1)], dtype="float64", engine=engine)
    width = model.layers[-1].kernel.shape[0]
    model.set_weights([*weights, np.linspace(-1, 1, width)[:, np.newaxis], [0.5]])
    model.compile(SGD(0.1), "mse")
    history = model.fit(x, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-12)
    for now, then in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(now.ravel(), np.ravel(then), rtol=1e-9, atol=1e-12)


# Noise: 100,000 draws. Bounds are five standard errors of what is estimated.

N = 100_000


def drawn(layer, x):
    """Return the output in training, one column."""
    return layer(x.reshape(-1, 100), training=True).astype(np.float64).ravel()


def test_gaussian_noise_has_its_mean_and_variance():
    noise = drawn(GaussianNoise(0.5, seed=1), np.zeros(N))
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(N)
    assert abs(noise.var() - 0.25) < 5 * 0.25 * np.sqrt(2 / N)
    # Of a normal variate 31.7 per cent lie beyond one standard deviation, 4.55 beyond two.
    assert np.mean(np.abs(noise) > 0.5) == pytest.approx(0.3173, abs=5 * np.sqrt(0.217 / N))
    assert np.mean(np.abs(noise) > 1.0) == pytest.approx(0.0455, abs=5 * np.sqrt(0.0434 / N))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_gaussian_dropout_keeps_the_mean_and_has_the_variance_of_dropout(rate):
    factors = drawn(GaussianDropout(rate, seed=1), np.ones(N))
    variance = rate / (1 - rate)
    assert abs(factors.mean() - 1) < 5 * np.sqrt(variance / N)
    assert abs(factors.var() - variance) < 5 * variance * np.sqrt(2 / N)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_alpha_dropout_keeps_mean_and_variance_of_what_selu_gives(rate):
    z = np.random.default_rng(0).normal(size=N)
    x = activations.get("selu")(z)  # of mean 0 and variance 1
    y = drawn(AlphaDropout(rate, seed=1), x)
    assert abs(y.mean()) < 5 * np.sqrt(2 / N)
    # The fourth moment of selu's output is below 6.
    assert abs(y.var() - 1) < 5 * np.sqrt(6 / N)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_dropout_drops_its_share(rate):
    y = drawn(Dropout(rate, seed=1), np.ones(N))
    assert np.mean(y == 0) == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / N))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


NOISY = {
    "GaussianNoise": lambda seed: GaussianNoise(0.5, seed=seed),
    "GaussianDropout": lambda seed: GaussianDropout(0.3, seed=seed),
    "AlphaDropout": lambda seed: AlphaDropout(0.3, seed=seed),
    "Dropout": lambda seed: Dropout(0.3, seed=seed),
}


def correlation(a, b):
    return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("name", NOISY)
def test_noise_is_independent_of_step_layer_row_and_column(name):
    layer, x = NOISY[name](1), np.ones(N)
    y, next_step = drawn(layer, x), drawn(layer, x)
    other_layer = drawn(NOISY[name](2), x)
    grid = y.reshape(-1, 100)
    for a, b in (
        (y, next_step),
        (y, other_layer),
        (grid[1:], grid[:-1]),
        (grid[:, 1:], grid[:, :-1]),
        (grid[:, 2:], grid[:, :-2]),
        (grid[:, 4:], grid[:, :-4]),
    ):
        assert correlation(a, b) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("name", NOISY)
def test_layers_of_one_seed_draw_the_same_noise_in_training(name):
    """In two models that are otherwise the same, and other noise with other seeds."""
    results = []
    for seed in (1, 1, 2):
        model = Sequential([Input((5,)), NOISY[name](seed), Dense(1, kernel_initializer="ones")])
        model.compile(SGD(0.1), "mse")
        model.fit(np.ones((40, 5)), np.ones(40), batch_size=8, shuffle=False, verbose=0)
        results.append(model.get_weights()[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
