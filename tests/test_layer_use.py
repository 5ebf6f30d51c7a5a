"""Layers in use: what they refuse, alone and in models, frozen, copied, interrupted, in threads."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from states import assert_same

import fastnn
from fastnn import Input, Sequential
from fastnn.layers import (
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
from fastnn.losses import Loss

ENGINES = ["native", "reference"]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 1))


class FourthPowers(fastnn.regularizers.L2):
    def __call__(self, w):
        return float(np.sum(w**4))

    def gradient(self, w):
        return 4 * w**3


STACKS = {
    "PReLU": lambda: [PReLU("ones")],
    "Maxout": lambda: [Maxout(4)],
    "LayerNormalization": lambda: [LayerNormalization()],
    "RMSNormalization": lambda: [RMSNormalization()],
    "UnitNormalization": lambda: [UnitNormalization()],
    "BatchNormalization": lambda: [BatchNormalization(momentum=0.5)],
    "Normalization": lambda: [Normalization(mean=0.5, variance=2.0)],
    "Rescaling": lambda: [Rescaling(2.0, 1.0)],
    "GaussianNoise": lambda: [GaussianNoise(0.1, seed=1)],
    "GaussianDropout": lambda: [GaussianDropout(0.1, seed=1)],
    "AlphaDropout": lambda: [AlphaDropout(0.1, seed=1)],
    "ActivityRegularization": lambda: [ActivityRegularization(0.1, 0.2)],
    "Residual": lambda: [Residual([Dense(4, "relu"), Residual([PReLU()]), Dense(6)])],
    "SimpleRNN": lambda: [Reshape((3, 2)), SimpleRNN(4)],
    "sequences": lambda: [Reshape((3, 2)), SimpleRNN(4, return_sequences=True), Flatten()],
    "Dense": lambda: [Dense(5, "tanh", activity_regularizer="l2")],
}


def model_of(name, **options):
    model = Sequential([Input((6,)), *STACKS[name](), Dense(1)], **options)
    model.compile("adam", "mse")
    return model


def embedder(**options):
    model = Sequential([Embedding(5, 2, input_shape=(2,)), Flatten(), Dense(1)], **options)
    model.compile("sgd", "mse")
    return model


# Wrong arguments and shapes

WRONG_ARGUMENTS = {
    "no categories": (lambda: Embedding(0, 2), ValueError, "input_dim must be at least 1, got 0"),
    "half a number": (lambda: Embedding(3, 2.5), ValueError, "output_dim must be a whole number"),
    "no columns": (lambda: CategoricalEmbedding({}), TypeError, r"such as \{0: 3\}, got \{\}"),
    "a list of columns": (lambda: CategoricalEmbedding([3]), TypeError, "must be a dict"),
    "a negative column": (lambda: CategoricalEmbedding({-1: 3}), ValueError, "at least 0, got -1"),
    "no categories in a column": (
        lambda: CategoricalEmbedding({2: 0}),
        ValueError,
        r"cardinalities\[2\] must be at least 1, got 0",
    ),
    "widths of other columns": (
        lambda: CategoricalEmbedding({0: 3}, {1: 2}),
        ValueError,
        r"must name the columns \[0\] that cardinalities name, got \[1\]",
    ),
    "momentum": (lambda: BatchNormalization(momentum=1.5), ValueError, r"momentum .* \[0, 1\]"),
    "epsilon": (lambda: LayerNormalization(epsilon=0), ValueError, r"epsilon .* \(0, inf\)"),
    "axis": (lambda: RMSNormalization(axis=2), ValueError, "axis must be -1, .* got 2"),
    "mean alone": (lambda: Normalization(mean=1.0), ValueError, "mean and variance or neither"),
    "negative variance": (
        lambda: Normalization(mean=0.0, variance=[1.0, -1.0]),
        ValueError,
        "variance must be at least 0",
    ),
    "a matrix of scales": (lambda: Rescaling([[1.0]]), ValueError, "a finite number or a row"),
    "an infinite offset": (lambda: Rescaling(1.0, np.inf), ValueError, "offset must be a finite"),
    "noise below 0": (lambda: GaussianNoise(-1), ValueError, r"stddev .* \[0, inf\), got -1"),
    "rate of 1": (lambda: AlphaDropout(1.0), ValueError, r"rate .* \[0, 1\), got 1"),
    "rate that is no number": (lambda: GaussianDropout("x"), TypeError, "rate must be a number"),
    "penalty below 0": (lambda: ActivityRegularization(-1), ValueError, "l1 .* got -1"),
    "penalty that is not known": (
        lambda: Dense(2, activity_regularizer=type("Own", (fastnn.regularizers.Regularizer,), {})),
        ValueError,
        r"activity_regularizer must be L1, L2 or L1L2, got Own\(\)",
    ),
    "penalty of the user's own": (
        lambda: Dense(2, activity_regularizer=FourthPowers(0.1)),
        ValueError,
        r"activity_regularizer must be L1, L2 or L1L2, got FourthPowers\(l2=0.1\)",
    ),
    "no pieces": (lambda: Maxout(2, 0), ValueError, "num_pieces must be at least 1, got 0"),
    "activation of rows": (lambda: SimpleRNN(2, "softmax"), ValueError, "element by element"),
    "no units": (lambda: SimpleRNN(0), ValueError, "units must be at least 1, got 0"),
    "a block of nothing": (lambda: Residual([]), TypeError, r"such as a list, got \[\]"),
    "a block of a layer": (lambda: Residual(Dense(2)), TypeError, "expects a sequence of layers"),
    "a block of numbers": (lambda: Residual([2]), TypeError, r"got \[2\]"),
    "a size": (lambda: Reshape(3), TypeError, r"such as \(3, 4\), got 3"),
    "two sizes left open": (lambda: Reshape((-1, -1)), ValueError, "only one size may be -1"),
    "a size of 0": (lambda: Reshape((0, 2)), ValueError, "must be at least 1, got 0"),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments_are_refused_at_once(case):
    make, error, message = WRONG_ARGUMENTS[case]
    with pytest.raises(error, match=message):
        make()


WRONG_SHAPES = {
    "a column that is not there": (CategoricalEmbedding({5: 3}), (2,), "embeds column 5 and got"),
    "images to normalise": (BatchNormalization(), (3, 4), r"got \(n, 3, 4\): add a Flatten layer"),
    "images for maxout": (Maxout(2), (3, 4), "add a Flatten layer"),
    "rows for a recurrent layer": (SimpleRNN(2), (4,), r"\(n, steps, features\), got \(n, 4\)"),
    "means of two for three": (Normalization(mean=[1, 2], variance=1), (3,), "2 features and got"),
    "scales of two for three": (Rescaling([1, 2]), (3,), "one number, or one for each feature"),
    "another width at the end": (Residual([Dense(3)]), (4,), "give the shape that goes in"),
    "five numbers in two rows": (Reshape((2, -1)), (5,), "which have 5 numbers"),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_wrong_shapes_are_refused_alone_and_in_models(case):
    layer, shape, message = WRONG_SHAPES[case]
    with pytest.raises(ValueError, match=message):
        layer(np.ones((2, *shape)))
    with pytest.raises(ValueError, match=message):
        Sequential([Input(shape), layer])
    assert not layer.built


BUILT_FOR = {
    "PReLU": (PReLU(), (3,), (4,), r"samples of shape \(3,\), got samples of shape \(4,\)"),
    "LayerNormalization": (LayerNormalization(), (3,), (4,), r"\(n, 3\), got \(n, 4\)"),
    "CategoricalEmbedding": (CategoricalEmbedding({0: 2}), (3,), (4,), r"\(n, 3\), got \(n, 4\)"),
    "SimpleRNN": (SimpleRNN(2), (5, 3), (5, 4), r"\(n, steps, 3\), got \(n, 5, 4\)"),
    "Maxout": (Maxout(2), (3,), (4,), r"\(n, 3\), got \(n, 4\)"),
    "Residual": (Residual([PReLU()]), (3,), (4,), r"samples of shape \(3,\)"),
}


@pytest.mark.parametrize("case", BUILT_FOR)
def test_built_layers_refuse_other_shapes(case):
    layer, shape, other, message = BUILT_FOR[case]
    layer(np.ones((2, *shape)))
    weights = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        layer(np.ones((2, *other)))
    assert_same(layer.get_weights(), weights)


# A layer alone


def test_a_layer_alone_is_built_by_its_first_call():
    layer = Dense(3)
    assert layer(np.ones((2, 4))).shape == (2, 3)
    assert layer.kernel.shape == (4, 3)
    assert layer(np.ones((0, 4))).shape == (0, 3)


def test_a_layer_alone_computes_in_the_dtype_that_it_was_built_in():
    model = Sequential([Input((3,)), PReLU(), Dense(1)], dtype="float64")
    assert model.layers[0](np.ones((1, 3))).dtype == np.float64
    assert PReLU()(np.ones((1, 3))).dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 3, 0), (0, 0, 3)])
def test_samples_of_no_size_are_refused_alone(shape):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        SimpleRNN(2)(np.ones(shape))


@pytest.mark.parametrize("x", [3.0, [1.0, 2.0], [["a"]]])
def test_what_are_no_rows_is_refused_alone(x):
    with pytest.raises((TypeError, ValueError), match="x"):
        LayerNormalization()(x)


@pytest.mark.parametrize("layer", [GaussianNoise(0.5), AlphaDropout(0.5), Dropout(0.5)])
def test_noise_is_for_training(layer):
    x = X.astype(np.float32)
    np.testing.assert_array_equal(layer(x), x)
    first, second = layer(x, training=True), layer(x, training=True)
    assert not np.array_equal(first, x)
    assert not np.array_equal(first, second)


def test_a_call_as_in_training_leaves_moving_statistics_alone():
    layer = BatchNormalization()
    normalised = layer(X, training=True)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-6)
    _, _, mean, variance = layer.get_weights()
    assert_same((mean, variance), (np.zeros(6), np.ones(6)))


# Indices


@pytest.mark.parametrize("wrong", [5, -1, 1.5, 1e30])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_that_is_none_is_named_before_anything_changes(engine, wrong):
    model = embedder(engine=engine)
    good, x, y = [[0, 1], [2, 3]], [[0, 1], [2, wrong]], [1.0, 2.0]
    before = model.get_weights()
    message = r"whole numbers from 0 to 4 in column 1, got .* in row 1"
    for attempt in (
        lambda: model(x),
        lambda: model(x, training=True),
        lambda: model(np.array([x[1], x[1]], np.float32)[1:]),
        lambda: model.predict(x),
        lambda: model.predict_on_batch(x),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.test_on_batch(x, y),
        lambda: model.fit(x, y, verbose=0),
        lambda: model.fit(good, y, validation_data=(x, y), verbose=0),
        lambda: model.train_on_batch(x, y),
    ):
        with pytest.raises(ValueError, match=message.replace("row 1", r"row \d")):
            attempt()
    assert_same(model.get_weights(), before)
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_index_that_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match=f"got {wrong} in row 0"):
        embedder()(np.array([[0.0, wrong]], np.float32))


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [Reshape((2,)), Embedding(3, 1), Flatten()],
        lambda: [Residual([CategoricalEmbedding({0: 3}, output_dims=1)])],
        lambda: [Residual([Residual([CategoricalEmbedding({0: 3}, output_dims=1)])])],
    ],
)
def test_indices_are_checked_behind_reshaping_and_in_blocks(stack):
    model = Sequential([Input((2,)), *stack(), Dense(1)])
    model([[2, 0]])
    with pytest.raises(ValueError, match="whole numbers from 0 to 2 in column 0, got 3"):
        model([[3, 0]])


def test_any_type_of_whole_numbers_will_do():
    model = embedder()
    expected = model.predict([[1, 0]])
    for dtype in (np.int8, np.uint64, np.float64, bool):
        np.testing.assert_array_equal(model.predict(np.array([[1, 0]], dtype)), expected)


def test_more_categories_than_the_dtype_can_tell_apart_are_refused():
    layer = Embedding(2**24 + 1, 1)
    with pytest.raises(ValueError, match=r"more than float32 can tell apart: .*dtype='float64'"):
        layer.check_inputs(np.zeros((1, 1), np.float32))
    layer.check_inputs(np.full((1, 1), 2.0**24))


def test_threads_may_predict_with_embeddings_at_once():
    model = embedder()
    x = RNG.integers(0, 5, size=(8, 200, 2))
    expected = [model.predict(part) for part in x]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert_same(pool.map(model.predict, x), expected)


# Statistics that follow the data


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frozen_batch_normalization_computes_by_its_moving_statistics(engine):
    model = model_of("BatchNormalization", engine=engine, dtype="float64")
    model.fit(X, Y, epochs=2, verbose=0)
    layer = model.layers[0]
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(model(X, training=True), model(X), rtol=1e-12)
    model.fit(X, Y, epochs=2, verbose=0)
    assert_same(layer.get_weights(), before)
    layer.trainable = True
    model.fit(X, Y, epochs=1, verbose=0)
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert not np.array_equal(old, new)


class FailsInThirdStep(Loss):
    """The mean squared error, until it has been asked for three gradients."""

    steps = 0

    def forward(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(axis=1)

    def backward(self, y_true, y_pred):
        self.steps += 1
        if self.steps == 3:
            raise KeyboardInterrupt
        return 2 * (y_pred - y_true)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_step_leaves_statistics_as_they_were(engine):
    model, steady = (model_of("BatchNormalization", engine=engine) for _ in range(2))
    steady.set_weights(model.get_weights())
    model.compile("sgd", FailsInThirdStep())
    steady.compile("sgd", "mse")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=10, shuffle=False, verbose=0)
    steady.fit(X[:20], Y[:20], batch_size=10, shuffle=False, verbose=0)
    for interrupted, expected in zip(model.get_weights(), steady.get_weights(), strict=True):
        np.testing.assert_allclose(interrupted, expected, rtol=1e-5, atol=1e-6)
    assert model.optimizer.iterations == 2


# What a data set has taught


def test_adapt_before_and_after_the_build():
    layer = Normalization()
    layer.adapt(X)
    np.testing.assert_allclose(layer(X).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(layer(X).std(axis=0), 1, rtol=1e-5)
    layer.adapt(3 * X + 1)
    np.testing.assert_allclose(layer(3 * X + 1).std(axis=0), 1, rtol=1e-5)


def test_training_does_not_change_what_adapt_found():
    layer = Normalization()
    layer.adapt(X)
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    before = [w.copy() for w in (X.mean(axis=0), X.var(axis=0))]
    model.fit(X, Y, epochs=2, verbose=0)
    for weight, value in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-6)
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]


@pytest.mark.parametrize(
    ("layer", "data", "message"),
    [
        (Normalization(), [1.0, 2.0], r"must have shape \(n, features\)"),
        (Normalization(), np.ones((0, 3)), "n > 0"),
        (Normalization(), [[1.0, np.nan]], "NaN"),
        (Normalization(mean=0.0, variance=1.0), [[1.0]], "leave out adapt"),
    ],
)
def test_adapt_refuses(layer, data, message):
    with pytest.raises(ValueError, match=message):
        layer.adapt(data)
    assert not layer.built


def test_adapt_to_other_features_changes_nothing():
    layer = Normalization()
    layer.adapt(X)
    layer(X)
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"\(n, 6\), got \(n, 2\)"):
        layer.adapt(np.ones((3, 2)))
    assert_same(layer.get_weights(), before)


def test_features_that_do_not_vary_are_not_divided_by_zero():
    layer = Normalization()
    layer.adapt([[2.0], [2.0]])
    np.testing.assert_array_equal(layer([[2.0]]), [[0.0]])


# Copies and configurations


@pytest.mark.parametrize("name", STACKS)
def test_copies_predict_the_same_and_train_on_alike(name):
    model = model_of(name)
    model.fit(X, Y, epochs=2, verbose=0)
    for make_copy in (copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))):
        twin, reference = make_copy(model), make_copy(model)
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
        for each in (twin, reference):
            fastnn.utils.set_random_seed(3)
            each.fit(X, Y, verbose=0)
        assert_same(twin.get_weights(), reference.get_weights())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", STACKS)
def test_a_config_that_went_through_json_makes_the_same_model(name, dtype):
    model = model_of(name, dtype=dtype)
    twin = Sequential.from_config(json.loads(json.dumps(model.get_config())))
    twin.set_weights(model.get_weights())
    assert twin.predict(X).dtype == dtype
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.get_config() == model.get_config()


def test_columns_of_tables_come_back_from_json_as_numbers():
    layer = CategoricalEmbedding({3: 4, 0: 5}, {0: 2, 3: 1})
    twin = CategoricalEmbedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert twin.cardinalities == {0: 5, 3: 4}
    assert twin.output_dims == {0: 2, 3: 1}


# Blocks


def test_a_block_keeps_the_weights_of_layers_that_are_built():
    shared = Dense(6, "tanh")
    first = Sequential([Input((6,)), shared, Dense(1)])
    expected = first.predict(X)
    kernel = shared.kernel.copy()
    second = Sequential([Input((6,)), Residual([Residual([shared]), PReLU()]), Dense(1)])
    np.testing.assert_array_equal(shared.kernel, kernel)
    np.testing.assert_array_equal(first.predict(X), expected)
    assert first.layers[0].weights[0] is second.layers[0].weights[0]
    second.compile("sgd", "mse")
    second.fit(X, Y, verbose=0)
    assert not np.array_equal(first.predict(X), expected)


def test_a_block_of_another_dtype_is_refused_and_left_alone():
    shared = Dense(6)
    model = Sequential([Input((6,)), shared])
    expected = model.predict(X)
    block = Residual([shared, Dense(6)])
    with pytest.raises(ValueError, match="built in float32 and cannot serve a model of float64"):
        Sequential([Input((6,)), block], dtype="float64")
    assert not block.built
    assert not block.layers[1].built
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_layer_within_a_block_may_decide_the_dtype():
    def stack(*layers):
        return [Input((6,)), *layers, Residual([Residual([Dense(6, name="d", dtype="float64")])])]

    assert Sequential(stack()).dtype == "float64"
    with pytest.raises(ValueError, match="'d' was made with dtype='float64' and cannot serve"):
        Sequential(stack(), dtype="float32")
    with pytest.raises(ValueError, match="'d' was made with dtype='float64' and cannot serve"):
        Sequential(stack(Dense(6, dtype="float32")))


def test_a_layer_in_two_places_is_refused():
    layer = Dense(6, name="d")
    for attempt in (
        lambda: Residual([layer, layer]),
        lambda: Residual([layer, Residual([layer])]),
        lambda: Sequential([Input((6,)), layer, Residual([layer])]),
        lambda: Sequential([Input((6,)), Residual([layer]), Residual([layer])]),
    ):
        with pytest.raises(ValueError, match="'d' is in two places of one model"):
            attempt()


def test_models_that_share_a_layer_within_a_block_are_not_trained_at_once():
    layer = Dense(6, name="d")
    models = [Sequential([Input((6,)), Residual([layer]), Dense(1)]) for _ in range(2)]
    for model in models:
        model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must not share layers: 'd' is in"):
        fastnn.fit_many(models, X, Y)


def test_a_block_freezes_what_is_in_it():
    model = model_of("Residual")
    block = model.layers[0]
    block.trainable = False
    before = block.get_weights()
    model.fit(X, Y, verbose=0)
    assert_same(block.get_weights(), before)
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]


# Penalties on outputs


def test_activity_regularizer_is_the_layer_of_that_name():
    results = []
    for stack in (
        [Dense(4, "tanh", activity_regularizer=fastnn.regularizers.L1L2(0.1, 0.2))],
        [Dense(4, "tanh"), ActivityRegularization(0.1, 0.2)],
        [Dense(4, "tanh")],
    ):
        fastnn.utils.set_random_seed(4)
        model = Sequential([Input((6,)), *stack, Dense(1)])
        model.compile("sgd", "mse")
        loss = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
        results.append([*model.get_weights(), loss])
    assert_same(results[0], results[1])
    assert results[0][-1][0] > results[2][-1][0]


class FourthPower(Loss):
    """A loss that the native engine has to call."""

    kernel = None

    def forward(self, y_true, y_pred):
        return np.mean((y_pred - y_true) ** 4, axis=-1)

    def backward(self, y_true, y_pred):
        return 4 * (y_pred - y_true) ** 3 / y_pred.shape[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_penalties_add_to_losses_of_the_users_own(engine):
    losses = []
    for factor in (0.0, 0.5):
        fastnn.utils.set_random_seed(4)
        stack = [Input((6,)), Dense(4), ActivityRegularization(l2=factor), Dense(1)]
        model = Sequential(stack, engine=engine, dtype="float64")
        model.compile("sgd", FourthPower())
        outputs = X @ model.get_weights()[0]
        trained = model.fit(X, Y, batch_size=len(X), epochs=1, verbose=0).history["loss"][0]
        losses.append(trained)
    penalty = 0.5 * np.square(outputs).sum() / len(X)
    np.testing.assert_allclose(losses[1] - losses[0], penalty, rtol=1e-9)


def test_an_activity_regularizer_of_0_is_nothing():
    layer = Dense(2, activity_regularizer=fastnn.regularizers.L2(0.0))
    layer(np.ones((1, 3)))
    assert len(layer.lower((None, 3))) == 1


# Summary


def test_summary_counts_statistics_as_not_trainable_and_blocks_as_layers(capsys):
    stack = [Residual([Dense(6)], name="block"), BatchNormalization(name="norm"), Dense(1)]
    Sequential([Input((6,)), *stack]).summary()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "block (Residual) (None, 6) 42" in lines
    assert "Total params: 73" in lines
    assert "Trainable params: 61" in lines
    assert "Non-trainable params: 12" in lines


@pytest.mark.parametrize("training", [False, True])
def test_a_layer_that_only_reshapes_gives_an_array_of_its_own(training):
    x = np.ones((2, 3, 2), np.float32)
    Flatten()(x, training=training)[...] = 7
    np.testing.assert_array_equal(x, 1)


def test_a_copy_of_a_block_has_the_layers_trained_that_the_block_has():
    block = Residual([Dense(3), Dense(3)], input_dim=3)
    block.trainable = False
    block.layers[1].trainable = True
    copied = Residual.from_config(block.get_config())
    assert [layer.trainable for layer in copied.layers] == [False, True]
    assert not copied.trainable
