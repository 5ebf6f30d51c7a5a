"""`Sequential` apart from training: stack, build, shapes, weights, prediction, configuration."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fastnn import _naming, use_threads
from fastnn.activations import ActivationFunction
from fastnn.layers import Activation, Dense, Dropout, Flatten, Input, Residual
from fastnn.losses import MeanSquaredError
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.program import ActivationOp, DenseOp
from fastnn.utils import set_random_seed


def relu(x):
    return np.maximum(x, 0)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def mlp(**options):
    set_random_seed(5)
    return Sequential(
        [Dense(6, "relu", input_dim=4), Dense(5, "tanh"), Dense(3, "softmax")], **options
    )


def by_hand(model, x):
    k0, b0, k1, b1, k2, b2 = (w.astype(np.float64) for w in model.get_weights())
    return softmax(np.tanh(relu(x @ k0 + b0) @ k1 + b1) @ k2 + b2)


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)


@pytest.fixture
def fresh_names():
    _naming.clear_session()
    yield
    _naming.clear_session()


class TestOutputs:
    @pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
    def test_all_ways_agree_with_numpy(self, x, dtype, rtol):
        model = mlp(dtype=dtype)
        expected = by_hand(model, x)
        for output in (model(x), model.predict(x, verbose=0), model.predict_on_batch(x)):
            assert output.dtype == dtype
            assert output.flags.c_contiguous
            np.testing.assert_allclose(output, expected, rtol=rtol)

    @pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
    def test_number_of_rows(self, x, rows):
        model = mlp()
        np.testing.assert_allclose(model(x[:rows]), by_hand(model, x[:rows]), rtol=1e-5)
        np.testing.assert_allclose(
            model.predict(x[:rows], verbose=0), by_hand(model, x[:rows]), rtol=1e-5
        )

    @pytest.mark.parametrize("batch_size", [1, 2, 7, 100, None])
    def test_batch_size_does_not_matter(self, x, batch_size):
        model = mlp(dtype="float64")
        output = model.predict(x, batch_size, verbose=0)
        np.testing.assert_allclose(output, by_hand(model, x), rtol=1e-12)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("rows", [7, 2000])  # small matrices are taken in another way
    @pytest.mark.parametrize(
        "convert",
        [
            lambda x: x.tolist(),
            np.asfortranarray,
            lambda x: np.repeat(x, 2, axis=1)[:, ::2],
            lambda x: x[::-1][::-1],
            lambda x: x.astype(np.float64),
            lambda x: np.asfortranarray(x, dtype=np.float64),
            lambda x: np.repeat(x.astype(np.float64), 2, axis=1)[:, 1::2],
            lambda x: x.astype(np.float64)[::-1, ::-1].copy()[::-1, ::-1],
            lambda x: (
                np.frombuffer(b"?" + x.astype(np.float64).tobytes(), "V1")[1:]
                .view(np.float64)
                .reshape(x.shape)
            ),
            lambda x: x.astype(">f4"),
            lambda x: x.astype(">f8"),
            lambda x: x.astype(np.longdouble),
        ],
        ids=[
            *("list", "fortran", "strided", "reversed", "float64", "float64 fortran"),
            *("float64 strided", "float64 reversed", "float64 unaligned"),
            *("big endian", "float64 big endian", "longdouble"),
        ],
    )
    def test_forms_of_x(self, convert, rows, dtype):
        model = mlp(dtype=dtype)
        x = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
        expected = model(x.astype(dtype))
        np.testing.assert_array_equal(model(convert(x)), expected)
        np.testing.assert_array_equal(model.predict(convert(x), verbose=0), expected)

    @pytest.mark.parametrize("number", [bool, np.int8, np.int64, np.uint64, np.float16])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_numeric_dtypes(self, dtype, number):
        model = mlp(dtype=dtype)
        x = np.eye(4).astype(number)
        np.testing.assert_array_equal(model(x), model(np.eye(4, dtype=dtype)))
        np.testing.assert_array_equal(model.predict(x), model(np.eye(4, dtype=dtype)))

    @pytest.mark.parametrize("rows", [1, 2000])
    def test_doubles_that_are_too_large(self, rows):
        x = np.zeros((rows, 4))
        x[-1, 2] = 1e300
        assert np.isnan(mlp()(x)[-1]).all()
        with pytest.raises(
            ValueError, match=rf"1e\+300 at \[{rows - 1}, 2\], too large for float32"
        ):
            mlp().predict(x)
        assert np.isfinite(mlp(dtype="float64").predict(x)).all()

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize(
        "stack",
        [
            lambda: [Activation("linear")],
            lambda: [Activation("tanh"), Dense(3)],
            lambda: [Residual([Dense(8, "relu"), Dense(40)]), Dense(3, "softmax")],
            lambda: [Dense(9), Residual([Dense(8, "relu"), Dense(9)]), Dense(3, "softmax")],
            lambda: [Dense(200, "relu"), Dropout(0.5), Dense(200, "relu"), Dense(3)],
        ],
        ids=["nothing", "activation", "residual", "dense and residual", "dense"],
    )
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_many_rows(self, stack, order, threads, dtype):
        model = Sequential([Input((40,)), *stack()])
        x = np.asarray(np.random.default_rng(2).normal(size=(4000, 40)), dtype, order=order)
        expected = model(x.astype(np.float32, order="C"))
        with use_threads(threads):
            np.testing.assert_array_equal(model(x), expected)
            np.testing.assert_array_equal(model.predict(x), expected)
            for row in (0, 96, 2000, 3999):
                wrong = x.copy()
                wrong[row, 39] = np.nan
                with pytest.raises(ValueError, match=rf"x contains NaN at \[{row}, 39\]"):
                    model.predict(wrong)
                assert np.isnan(model(wrong)[row]).any()
                right = np.arange(len(x)) != row
                np.testing.assert_array_equal(model(wrong)[right], expected[right])

    @pytest.mark.parametrize("x", [[[1.0, 2.0], [3.0]], [["a", "b", "c", "d"]], [[1j] * 4], [None]])
    def test_lists_that_are_no_matrix(self, x):
        for use in (mlp(), mlp().predict):
            with pytest.raises((ValueError, TypeError), match=r"^x must"):
                use(x)

    def test_result_is_a_new_array_each_time(self, x):
        model = mlp()
        first = model(x)
        copy = first.copy()
        model(-x)
        np.testing.assert_array_equal(first, copy)

    def test_one_feature_may_be_one_dimensional(self):
        model = Sequential([Dense(1, kernel_initializer="ones", input_shape=[1])])
        np.testing.assert_array_equal(model.predict(np.arange(3.0), verbose=0), [[0], [1], [2]])
        np.testing.assert_array_equal(model(np.arange(3.0)), [[0], [1], [2]])

    @pytest.mark.parametrize(
        "first", [[Flatten(input_shape=(3, 2))], [Input((3, 2)), Dropout(0.5), Flatten()]]
    )
    def test_images(self, first):
        model = Sequential([*first, Dense(4)], dtype="float64")
        images = np.random.default_rng(0).normal(size=(5, 3, 2))
        expected = images.reshape(5, 6) @ model.layers[-1].kernel
        np.testing.assert_allclose(model(images), expected, rtol=1e-12)
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-12)
        with pytest.raises(ValueError, match=r"x of shape \(n, 3, 2\), got \(5, 6\)"):
            model.predict(images.reshape(5, 6))

    def test_dropout_acts_in_training_only(self):
        model = Sequential([Input((1000,)), Dropout(0.25)])
        x = np.ones((4, 1000), np.float32)
        np.testing.assert_array_equal(model(x), x)
        np.testing.assert_array_equal(model.predict(x, verbose=0), x)
        first, second = model(x, training=True), model(x, training=True)
        assert set(np.unique(first)) == {0, np.float32(1 / 0.75)}
        assert 0.15 < (first == 0).mean() < 0.35
        assert not np.array_equal(first, second)

    def test_training_pass_without_dropout_is_the_same(self, x):
        model = mlp()
        np.testing.assert_allclose(model(x, training=True), model(x), rtol=1e-6)

    def test_user_written_activation(self):
        class Square(ActivationFunction):
            def forward(self, x):
                return x * x

            def backward(self, grad, x, y):
                return 2 * x * grad

        model = Sequential(
            [Dense(2, Square(), kernel_initializer="ones", input_dim=2), Activation(Square)]
        )
        np.testing.assert_array_equal(model(np.array([[1.0, 1.0]])), [[16.0, 16.0]])

    def test_many_threads_at_once(self, x):
        model = Sequential()
        for units in (6, 5, 3):
            model.add(Dense(units, "tanh", input_dim=4))
        model.add(Dense(3))
        results = []

        def work():
            for _ in range(50):
                results.append(model.predict(x, verbose=0))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 400
        assert all(np.array_equal(result, results[0]) for result in results)


class TestStack:
    def test_keras_code_as_it_stands(self):
        model = Sequential()
        model.add(Dense(2, input_dim=3, activation="softmax"))
        assert model.count_params() == 8

        model = Sequential()
        model.add(Dense(8, input_dim=4, activation="relu"))
        model.add(Dense(8, activation="relu"))
        model.add(Dense(3, activation="softmax"))
        assert model.count_params() == 139
        assert (model.input_shape, model.output_shape) == ((None, 4), (None, 3))

    def test_names_count(self, fresh_names):
        names = [Sequential().name for _ in range(3)]
        assert names == ["sequential", "sequential_1", "sequential_2"]
        assert Sequential(name="mine").name == "mine"

    def test_input_is_not_among_the_layers(self):
        model = Sequential([Input(shape=(4,)), Dense(2)])
        assert [type(layer) for layer in model.layers] == [Dense]
        assert model.built

    def test_layers_is_a_copy(self):
        model = mlp()
        model.layers.clear()
        assert len(model.layers) == 3

    def test_get_layer(self):
        model = Sequential([Dense(2, name="a", input_dim=2), Dense(2, name="b")])
        assert model.get_layer("b") is model.get_layer(index=1) is model.layers[1]
        assert model.get_layer(index=-2) is model.layers[0]

    def test_pop_keeps_the_other_weights(self, x):
        model = mlp()
        before = model.get_weights()
        hidden = np.tanh(relu(x @ before[0] + before[1]) @ before[2] + before[3])
        popped = model.pop()
        assert popped.units == 3
        np.testing.assert_allclose(model(x), hidden, rtol=1e-5)
        assert len(model.weights) == 4

    def test_add_keeps_the_other_weights(self, x):
        model = mlp()
        before = model.get_weights()
        model(x)
        model.add(Dense(2))
        assert not model.built
        assert model(x).shape == (7, 2)
        for old, new in zip(before, model.get_weights(), strict=False):
            np.testing.assert_array_equal(old, new)

    def test_another_input_after_all_layers_are_popped(self):
        model = Sequential([Dense(2, input_dim=3)])
        model.pop()
        model.add(Dense(2, input_dim=5))
        assert model(np.zeros((1, 5))).shape == (1, 2)

    def test_shared_layers_share_weights(self, x):
        model = mlp()
        body = Sequential(model.layers[:-1])
        assert body.input_shape == (None, 4)
        model.compile(SGD(0.5), "categorical_crossentropy")
        before = body(x)
        model.fit(x, np.eye(3)[np.arange(7) % 3], epochs=3, verbose=0)
        after = body(x)
        assert not np.allclose(before, after)
        k, b = model.get_weights()[-2:]
        np.testing.assert_allclose(softmax(after @ k + b), model(x), rtol=1e-5)

    def test_layers_cut_from_the_middle_know_their_input(self, x):
        model = mlp()
        head = Sequential(model.layers[1:])
        assert head.input_shape == (None, 6)
        body = Sequential(model.layers[:1])
        np.testing.assert_allclose(head(body(x)), model(x), rtol=1e-5)

    def test_weights_set_in_one_model_are_used_by_the_other(self, x):
        model = mlp()
        body = Sequential(model.layers[:-1])
        body(x)
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
        np.testing.assert_array_equal(body(x), np.zeros((7, 5)))


class TestBuild:
    def test_weights_exist_after_the_constructor(self):
        layer = Dense(2, input_dim=3)
        Sequential([layer])
        assert layer.kernel.shape == (3, 2)

    def test_deferred(self):
        model = Sequential([Dense(3), Dense(2)])
        assert not model.built
        with pytest.raises(ValueError, match="does not know the shape"):
            _ = model.weights
        model.build((None, 4))
        assert model.built
        assert model.count_params() == 3 * 4 + 3 + 8

    @pytest.mark.parametrize("shape", [(10, 4), [None, 4]])
    def test_number_of_samples_is_ignored(self, shape):
        model = Sequential([Dense(3)])
        model.build(shape)
        assert model.input_shape == (None, 4)

    def test_a_call_builds(self):
        model = Sequential([Flatten(), Dense(3)])
        assert model(np.zeros((2, 4, 5))).shape == (2, 3)
        assert model.input_shape == (None, 4, 5)

    def test_builds_once(self):
        model = mlp()
        before = model.get_weights()
        model.build()
        model.build((None, 4))
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_seed_gives_the_same_weights(self):
        for one, other in zip(mlp().get_weights(), mlp().get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_all_parameters_in_one_block(self):
        assert len({parameter.block for parameter in mlp().weights}) == 1

    def test_activation_layer_merges_into_linear_dense(self):
        model = Sequential(
            [Dense(3, input_dim=2), Activation("relu"), Activation("tanh"), Dense(1), Dropout(0.0)]
        )
        _, program = model._ready()
        assert [type(op) for op in program.ops] == [DenseOp, ActivationOp, DenseOp]
        assert program.ops[0].activation.name == "relu"

    def test_activation_layer_does_not_merge_into_another_activation(self):
        model = Sequential([Dense(3, "tanh", input_dim=2), Activation("relu")])
        _, program = model._ready()
        assert [op.activation.name for op in program.ops] == ["tanh", "relu"]

    def test_merged_head_is_found(self):
        x, y = np.eye(3), np.arange(3)
        losses = []
        for top in ([Dense(3, "softmax")], [Dense(3), Activation("softmax")]):
            set_random_seed(1)
            model = Sequential([Input((3,)), *top])
            model.compile("sgd", "sparse_categorical_crossentropy")
            losses.append(model.evaluate(x, y, verbose=0))
        assert losses[0] == losses[1]

    def test_output_must_be_flat(self):
        with pytest.raises(ValueError, match="add a Flatten layer"):
            Sequential([Input((3, 2)), Dropout(0.5)])


class TestWeights:
    def test_get_weights_copies(self):
        model = mlp()
        model.get_weights()[0][...] = 9
        assert not (model.get_weights()[0] == 9).any()

    def test_set_weights_round_trip(self, x):
        model, other = mlp(), Sequential.from_config(mlp().get_config())
        assert not np.array_equal(model(x), other(x))
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(model(x), other(x))

    def test_trainable(self):
        model = mlp()
        assert model.trainable
        model.layers[0].trainable = False
        assert len(model.trainable_weights) == 4
        assert len(model.non_trainable_weights) == 2
        model.trainable = False
        assert model.trainable_weights == []
        assert model.non_trainable_weights == model.weights
        model.add(Dense(2))
        assert model.trainable_weights == []
        assert not model.trainable

    def test_trainable_in_the_constructor(self):
        model = Sequential([Dense(2, input_dim=2)], trainable=False)
        assert model.trainable_weights == []


class TestConfig:
    def test_round_trip(self):
        model = Sequential(
            [
                Input((4, 2)),
                Flatten(),
                Dense(3, "relu", kernel_regularizer="l2"),
                Dropout(0.2, seed=3),
                Activation("softmax"),
            ],
            name="given",
            dtype="float64",
        )
        config = model.get_config()
        twin = Sequential.from_config(config)
        assert twin.get_config() == config
        assert twin.name == "given"
        assert twin.dtype == "float64"
        assert [w.shape for w in twin.weights] == [w.shape for w in model.weights]

    def test_user_layers(self):
        class Wide(Dense):
            pass

        config = Sequential([Wide(3, input_dim=2)]).get_config()
        twin = Sequential.from_config(config, custom_objects={"Wide": Wide})
        assert type(twin.layers[0]) is Wide


class TestCompile:
    def test_properties_before(self):
        model = mlp()
        assert model.optimizer is model.loss is None
        assert model.metrics == []

    @pytest.mark.parametrize(
        "optimizer", ["sgd", SGD, SGD(0.01), {"class_name": "SGD", "config": {}}]
    )
    @pytest.mark.parametrize("loss", ["mse", MeanSquaredError, MeanSquaredError()])
    def test_forms(self, optimizer, loss):
        model = mlp()
        model.compile(optimizer, loss, metrics=["accuracy", "mae"])
        assert isinstance(model.optimizer, SGD)
        assert isinstance(model.loss, MeanSquaredError)
        assert model.metrics_names == ["loss", "accuracy", "mae"]

    @pytest.mark.parametrize(
        ("loss", "outputs", "expected"),
        [
            ("binary_crossentropy", 1, "BinaryAccuracy"),
            ("categorical_crossentropy", 3, "CategoricalAccuracy"),
            ("sparse_categorical_crossentropy", 3, "SparseCategoricalAccuracy"),
        ],
    )
    @pytest.mark.parametrize("shape", [{"input_dim": 2}, {}])
    def test_accuracy_goes_with_loss_and_output(self, loss, outputs, expected, shape):
        model = Sequential([Dense(4, **shape), Dense(outputs, "sigmoid")])
        model.compile(loss=loss, metrics=["accuracy"])
        assert type(model.metrics[0]).__name__ == expected

    def test_default_optimizer(self):
        model = mlp()
        model.compile(loss="mse")
        assert type(model.optimizer).__name__ == "RMSprop"


def test_repr():
    assert repr(Sequential([Dense(1, input_dim=1, name="d")], name="m")) == (
        "<Sequential name=m, built=True>"
    )
    assert repr(Dense(1, name="d")) == "<Dense name=d, built=False>"


def test_a_copy_has_the_layers_trained_that_the_model_has():
    model = Sequential([Dense(3, input_dim=4), Dense(1)])
    model.trainable = False
    model.layers[1].trainable = True
    copied = Sequential.from_config(model.get_config())
    assert [len(layer.trainable_weights) for layer in copied.layers] == [0, 2]
    assert not copied.trainable


def test_a_copy_knows_the_shape_that_the_model_has_learnt():
    model = Sequential([Dense(3), Dense(1)])
    x = np.random.default_rng(0).normal(size=(6, 4))
    assert "build_input_shape" not in model.get_config()
    model.build((None, 4))
    copied = Sequential.from_config(model.get_config())
    copied.set_weights(model.get_weights())
    np.testing.assert_array_equal(copied.predict(x), model.predict(x))
