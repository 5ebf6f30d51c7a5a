"""Bad input: the right exception, a message that helps, and a model that has not changed."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import _validation
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

N, FEATURES, CLASSES = 12, 4, 3


def make(loss="categorical_crossentropy", outputs=CLASSES, activation="softmax", **options):
    model = Sequential(
        [Dense(5, "tanh", input_dim=FEATURES), Dense(outputs, activation)], name="m", **options
    )
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def features():
    return np.random.default_rng(0).normal(size=(N, FEATURES)).astype(np.float32)


def one_hot():
    return np.eye(CLASSES, dtype=np.float32)[np.arange(N) % CLASSES]


def spoiled(array, position, value):
    array = np.array(array, dtype=np.float64)
    array[position] = value
    return array


@pytest.fixture
def model():
    return make()


def assert_refused(model, call, error, message):
    """Check that `call` raises and that weights, optimizer and history are as before."""
    weights = model.get_weights()
    compiled, history = model.optimizer, model.history
    steps = compiled.iterations
    with pytest.raises(error, match=message):
        call()
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.optimizer is compiled
    assert compiled.iterations == steps
    assert model.history is history


BAD_X = [
    pytest.param(np.ones((N, 5)), ValueError, r"x of shape \(n, 4\), got \(12, 5\)", id="width"),
    pytest.param(np.ones(N), ValueError, r"x of shape \(n, 4\), got \(12,\)", id="rank 1"),
    pytest.param(
        np.ones(4), ValueError, r"got \(4,\): for one sample put an axis in front", id="sample"
    ),
    pytest.param(np.ones((N, 2, 2)), ValueError, r"got \(12, 2, 2\)", id="rank 3"),
    pytest.param(3.0, ValueError, r"got \(\)", id="number"),
    pytest.param(None, ValueError, "x is missing", id="none"),
    pytest.param([[1.0, 2.0], [3.0]], ValueError, "x must be a rectangular array", id="ragged"),
    pytest.param(np.ones((N, 4), object), TypeError, "x must hold real .* object", id="object"),
    pytest.param(np.full((N, 4), "1"), TypeError, "x must hold real .* <U1", id="string"),
    pytest.param(np.ones((N, 4), complex), TypeError, "dtype complex128", id="complex"),
    pytest.param(np.zeros((N, 4), "M8[s]"), TypeError, "datetime64", id="datetime"),
    pytest.param(np.zeros((N, 4), "m8[s]"), TypeError, "timedelta64", id="timedelta"),
]

BAD_VALUES = [
    pytest.param(
        spoiled(np.ones((N, 4)), (3, 1), np.nan),
        ValueError,
        r"x contains NaN at \[3, 1\]",
        id="nan",
    ),
    pytest.param(
        spoiled(np.ones((N, 4)), (0, 2), np.inf),
        ValueError,
        r"x contains infinity at \[0, 2\]",
        id="infinity",
    ),
    pytest.param(
        spoiled(np.ones((N, 4)), (11, 3), -np.inf),
        ValueError,
        r"-infinity at \[11, 3\]",
        id="minus infinity",
    ),
    pytest.param(
        spoiled(np.ones((N, 4)), (5, 0), 1e300),
        ValueError,
        r"x holds 1e\+300 at \[5, 0\], too large for float32",
        id="overflow",
    ),
]


class TestBadX:
    @pytest.mark.parametrize(("x", "error", "message"), BAD_X + BAD_VALUES)
    @pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
    def test_with_targets(self, model, x, error, message, method):
        assert_refused(model, lambda: getattr(model, method)(x, one_hot()), error, message)

    @pytest.mark.parametrize(("x", "error", "message"), BAD_X + BAD_VALUES)
    @pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
    def test_without_targets(self, model, x, error, message, method):
        assert_refused(model, lambda: getattr(model, method)(x), error, message)

    @pytest.mark.parametrize(("x", "error", "message"), BAD_X + BAD_VALUES)
    def test_validation_data(self, model, x, error, message):
        def call():
            model.fit(features(), one_hot(), validation_data=(x, one_hot()), verbose=0)

        assert_refused(model, call, error, message)

    @pytest.mark.parametrize(("x", "error", "message"), BAD_X)
    def test_call(self, model, x, error, message):
        assert_refused(model, lambda: model(x), error, message)

    def test_call_lets_values_through_that_are_not_finite(self, model):
        output = model(np.array([[np.nan, 1, 1, 1], [1, 1, 1, 1]]))
        assert np.isnan(output[0]).all()
        assert np.isfinite(output[1]).all()


class TestBadY:
    @pytest.mark.parametrize(
        ("y", "error", "message"),
        [
            (None, ValueError, "y is missing"),
            (one_hot()[:-1], ValueError, r"y must have as many rows as x \(12\), got .*\(11, 3\)"),
            (one_hot()[:, :2], ValueError, r"y must have shape \(n, 3\) .* got \(12, 2\)"),
            (np.zeros(N), ValueError, "use loss='sparse_categorical_crossentropy'"),
            (spoiled(one_hot(), (2, 1), np.nan), ValueError, r"y contains NaN at \[2, 1\]"),
            (spoiled(one_hot(), (2, 1), np.inf), ValueError, r"y contains infinity at \[2, 1\]"),
            (spoiled(one_hot(), (7, 0), 1.5), ValueError, r"from 0 to 1, got 1.5 at \[7, 0\]"),
            (spoiled(one_hot(), (7, 0), -1), ValueError, r"from 0 to 1, got -1.0 at \[7, 0\]"),
            (one_hot().astype(object), TypeError, "y must hold real numbers, got dtype object"),
            (one_hot().astype(complex), TypeError, "y must hold real numbers"),
            (one_hot().astype(str), TypeError, "y must hold real numbers"),
        ],
    )
    @pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
    def test_one_hot(self, model, y, error, message, method):
        assert_refused(model, lambda: getattr(model, method)(features(), y), error, message)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (spoiled(np.zeros(N), 4, 3), r"class numbers from 0 to 2, got 3.0 at \[4\]"),
            (spoiled(np.zeros(N), 4, -1).astype(int), r"from 0 to 2, got -1 at \[4\]"),
            (np.full(N, 2**63 + 1, np.uint64), "from 0 to 2, got 9223372036854775809"),
            (spoiled(np.zeros(N), 4, 0.5), r"y must hold whole class numbers, got 0.5 at \[4\]"),
            (spoiled(np.zeros(N), 4, np.nan), r"y contains NaN at \[4\]"),
            (one_hot(), r"got \(12, 3\): for one-hot rows use loss='categorical_crossentropy'"),
            (np.zeros(N - 1, int), "as many rows as x"),
        ],
    )
    def test_sparse(self, y, message):
        model = make("sparse_categorical_crossentropy")
        assert_refused(model, lambda: model.fit(features(), y), ValueError, message)

    @pytest.mark.parametrize(
        ("loss", "message"),
        [
            ("poisson", r"for loss 'poisson' y must hold numbers from 0 to inf, got -1.0 at"),
            ("tweedie", r"y must hold numbers from 0 to inf, got -1.0 at \[5, 1\]"),
            ("kl_divergence", r"y must hold probabilities from 0 to 1, got -1.0"),
            ("categorical_hinge", r"y must hold probabilities from 0 to 1, got -1.0"),
            ("binary_focal_crossentropy", r"y must hold probabilities from 0 to 1, got -1.0"),
            ("categorical_focal_crossentropy", r"y must hold probabilities from 0 to 1, got -1.0"),
        ],
    )
    def test_range(self, loss, message):
        model = make(loss)
        y = spoiled(one_hot(), (5, 1), -1)
        assert_refused(model, lambda: model.fit(features(), y), ValueError, message)

    @pytest.mark.parametrize(
        ("outputs", "width", "message"),
        [
            (4, 4, r"y must have shape \(n, 2\) for loss 'gaussian_nll', got \(12, 4\)"),
            (4, 1, r"y must have shape \(n, 2\) for loss 'gaussian_nll', got \(12, 1\)"),
            (3, 1, "needs 2 outputs for each target, got 3 outputs; use a multiple of 2"),
        ],
    )
    def test_narrower_than_the_output(self, outputs, width, message):
        model = make("gaussian_nll", outputs, "linear")
        y = np.zeros((N, width))
        assert_refused(model, lambda: model.fit(features(), y), ValueError, message)

    def test_binary(self):
        model = make("binary_crossentropy", 1, "sigmoid")
        y = spoiled(np.zeros(N), 5, 2)
        assert_refused(
            model, lambda: model.fit(features(), y), ValueError, r"from 0 to 1, got 2.0 at \[5, 0\]"
        )

    def test_regression_takes_any_finite_number(self):
        model = make("mean_squared_error", 1, None)
        model.fit(features(), np.linspace(-100, 100, N), verbose=0)


class TestBadWeights:
    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            (spoiled(np.ones(N), 3, -1), ValueError, r"must not be negative, got -1.0 at \[3\]"),
            (spoiled(np.ones(N), 3, np.nan), ValueError, r"sample_weight contains NaN at \[3\]"),
            (spoiled(np.ones(N), 3, np.inf), ValueError, r"contains infinity at \[3\]"),
            (np.ones(N + 1), ValueError, r"must have shape \(12,\), got \(13,\)"),
            (np.ones((N, 2)), ValueError, r"must have shape \(12,\), got \(12, 2\)"),
            (["a"] * N, TypeError, "sample_weight must hold real numbers"),
        ],
    )
    def test_sample_weight(self, model, weights, error, message):
        for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
            assert_refused(
                model,
                lambda method=method: method(features(), one_hot(), sample_weight=weights),
                error,
                message,
            )

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1.0, 2.0], TypeError, r"class_weight must be a dict .* dict\(enumerate\(w\)\)"),
            ({0: -1.0}, ValueError, r"class_weight\[0\]"),
            ({0: float("nan")}, ValueError, r"class_weight\[0\]"),
            ({0: "a"}, TypeError, r"class_weight\[0\] must be a number"),
            ({-1: 1.0}, ValueError, "a class number in class_weight must be at least 0"),
            ({0.5: 1.0}, ValueError, "a class number in class_weight must be a whole number"),
        ],
    )
    def test_class_weight(self, model, weights, error, message):
        assert_refused(
            model, lambda: model.fit(features(), one_hot(), class_weight=weights), error, message
        )


class TestBadCounts:
    COUNTS = (
        (0, ValueError),
        (-3, ValueError),
        (2.5, ValueError),
        (True, TypeError),
        ("3", TypeError),
    )

    @pytest.mark.parametrize(("value", "error"), [*COUNTS, (None, TypeError)])
    def test_units(self, value, error):
        with pytest.raises(error, match="units must be"):
            Dense(value)

    @pytest.mark.parametrize(("value", "error"), COUNTS)
    def test_input_dim(self, value, error):
        with pytest.raises(error, match="input_dim must be"):
            Dense(1, input_dim=value)

    @pytest.mark.parametrize(("value", "error"), COUNTS)
    def test_batch_size(self, model, value, error):
        for call in (
            lambda: model.fit(features(), one_hot(), batch_size=value),
            lambda: model.evaluate(features(), one_hot(), batch_size=value),
            lambda: model.predict(features(), batch_size=value),
        ):
            assert_refused(model, call, error, "batch_size must be")

    @pytest.mark.parametrize(("value", "error"), [*COUNTS, (None, TypeError)])
    def test_epochs(self, model, value, error):
        assert_refused(
            model, lambda: model.fit(features(), one_hot(), epochs=value), error, "epochs must be"
        )

    @pytest.mark.parametrize("value", [-1, 0.5])
    def test_initial_epoch(self, model, value):
        assert_refused(
            model,
            lambda: model.fit(features(), one_hot(), initial_epoch=value),
            ValueError,
            "initial_epoch must be",
        )

    def test_integers_of_numpy_are_fine(self, model):
        model.fit(features(), one_hot(), np.int64(4), np.uint8(1), verbose=0)


class TestBadOptions:
    @pytest.mark.parametrize("method", ["fit", "evaluate"])
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"verbose": 7}, ValueError, "verbose must be"),
            ({"callbacks": ["history"]}, TypeError, "callbacks must be"),
        ],
    )
    def test_refused(self, model, method, options, error, message):
        call = getattr(model, method)
        assert_refused(model, lambda: call(features(), one_hot(), **options), error, message)


class TestBadSplits:
    @pytest.mark.parametrize("value", [-0.1, 1.0, 2, float("nan")])
    def test_fraction(self, model, value):
        assert_refused(
            model,
            lambda: model.fit(features(), one_hot(), validation_split=value),
            ValueError,
            "validation_split",
        )

    def test_nothing_left_to_train_on(self, model):
        assert_refused(
            model,
            lambda: model.fit(features()[:1], one_hot()[:1], validation_split=0.5),
            ValueError,
            "leaves 0 to train on and 1 to validate on",
        )

    @pytest.mark.parametrize("data", [features(), (features(),), "xy"])
    def test_validation_data(self, model, data):
        assert_refused(
            model,
            lambda: model.fit(features(), one_hot(), validation_data=data),
            ValueError,
            r"validation_data must be a tuple \(x, y\)",
        )

    def test_names_in_messages(self, model):
        assert_refused(
            model,
            lambda: model.fit(features(), one_hot(), validation_data=(features(), one_hot() + 2)),
            ValueError,
            "validation y must hold probabilities",
        )


class TestEmpty:
    @pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
    def test_data(self, model, method):
        x, y = np.empty((0, FEATURES)), np.empty((0, CLASSES))
        assert_refused(model, lambda: getattr(model, method)(x, y), ValueError, "x is empty")

    def test_predict_gives_no_rows(self, model):
        empty = np.empty((0, FEATURES), np.float32)
        for result in (model.predict(empty), model(empty), model.predict_on_batch(empty)):
            assert result.shape == (0, CLASSES)

    @pytest.mark.parametrize("action", ["build", "summary", "count_params", "get_weights"])
    def test_model(self, action):
        with pytest.raises(ValueError, match=r"has no layers|does not know the shape"):
            getattr(Sequential([Input((3,))]), action)()

    def test_pop(self):
        with pytest.raises(IndexError, match="no layers"):
            Sequential().pop()


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("make_layer", "message"),
        [
            (lambda: Dense(1, activation="rleu"), "activation 'rleu'.*'relu'"),
            (lambda: Dense(1, kernel_initializer="glorot"), "initializer 'glorot'.*glorot_"),
            (lambda: Dense(1, kernel_regularizer="l3"), "regularizer 'l3'.*'l2'"),
        ],
    )
    def test_in_layers(self, make_layer, message):
        with pytest.raises(ValueError, match=message):
            make_layer()

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"optimizer": "adma"}, ValueError, "optimizer 'adma'.*'adam'"),
            ({"loss": "mean_sqared_error"}, ValueError, "loss 'mean_sqared_error'.*'mean_squared"),
            ({"metrics": ["acuracy"]}, ValueError, "metric 'acuracy'"),
            ({"metrics": ["sparse_categorical_accuracy"]}, ValueError, "class numbers"),
            ({"metrics": ["mse", "mse"]}, ValueError, "'mse' a second time"),
            ({"optimizer": 3}, TypeError, "optimizer"),
            ({"loss": 3}, TypeError, "loss"),
        ],
    )
    def test_in_compile(self, model, options, error, message):
        arguments = {"optimizer": "sgd", "loss": "mse", **options}
        assert_refused(model, lambda: model.compile(**arguments), error, message)
        model.fit(features(), one_hot(), verbose=0)

    def test_engine(self):
        with pytest.raises(ValueError, match="engine must be"):
            Sequential(engine="cuda")

    @pytest.mark.parametrize("dtype", ["float16", "int32", "floaty", 3])
    def test_dtype(self, dtype):
        with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
            Sequential(dtype=dtype)


class TestWrongOrder:
    @pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
    def test_before_compile(self, method):
        model = Sequential([Dense(CLASSES, input_dim=FEATURES)])
        before = model.get_weights()
        with pytest.raises(RuntimeError, match=rf"{method} needs a compiled model: call compile"):
            getattr(model, method)(features(), one_hot())
        np.testing.assert_array_equal(model.get_weights()[0], before[0])

    def test_without_loss(self, model):
        model.compile("sgd")
        assert_refused(
            model, lambda: model.fit(features(), one_hot()), ValueError, "fit needs a loss"
        )

    @pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
    def test_predict_before_build(self, method):
        model = Sequential([Dense(3)])
        with pytest.raises(ValueError, match="does not know the shape of its input yet: give"):
            getattr(model, method)(features())
        assert not model.built

    def test_evaluate_before_build(self):
        model = Sequential([Dense(3)])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="does not know the shape of its input yet"):
            model.evaluate(features(), one_hot())
        assert not model.built

    @pytest.mark.parametrize("x", [np.ones((N, 0)), 3.0])
    def test_nothing_to_build_from(self, x):
        model = Sequential([Dense(CLASSES)])
        model.compile("sgd", "mse")
        for call in (lambda: model.fit(x, one_hot()), lambda: model(x)):
            with pytest.raises(ValueError, match=r"sample of x must be at least 1|single number"):
                call()
        assert not model.built

    def test_a_refused_first_fit_does_not_build(self):
        model = Sequential([Dense(CLASSES, "softmax")])
        model.compile("sgd", "categorical_crossentropy")
        with pytest.raises(ValueError, match="y contains NaN"):
            model.fit(features(), spoiled(one_hot(), (0, 0), np.nan))
        assert not model.built
        model.fit(np.ones((N, 9)), one_hot(), verbose=0)
        assert model.input_shape == (None, 9)

    def test_step_cannot_be_trained(self):
        model = make("mse", 1, "step")
        assert_refused(
            model, lambda: model.fit(features(), np.ones(N)), ValueError, "fastnn.Perceptron"
        )
        assert set(np.unique(model.predict(features(), verbose=0))) <= {0.0, 1.0}


class TestSetWeights:
    def test_one_wrong_shape_changes_nothing(self, model):
        new = [np.zeros_like(w) for w in model.get_weights()]
        new[-1] = np.zeros(CLASSES + 1)
        assert_refused(
            model,
            lambda: model.set_weights(new),
            ValueError,
            r"model 'm' expects 'bias' of shape \(3,\), got \(4,\)",
        )

    def test_wrong_number(self, model):
        assert_refused(
            model, lambda: model.set_weights([]), ValueError, "model 'm' has 4 weights, got 0"
        )

    def test_broadcasting_is_refused(self, model):
        new = [np.zeros(()) for _ in model.get_weights()]
        assert_refused(model, lambda: model.set_weights(new), ValueError, "expects 'kernel'")

    @pytest.mark.parametrize("dtype", [object, complex, str])
    def test_wrong_dtype(self, model, dtype):
        new = [w.astype(dtype) for w in model.get_weights()]
        assert_refused(model, lambda: model.set_weights(new), TypeError, "real numbers")


class TestSize:
    def test_product_overflows(self):
        model = Sequential()
        model.add(Input((2**40,)))
        model.add(Dense(2**40))
        with pytest.raises(ValueError, match="more than can be addressed"):
            model.build()
        assert not model.built

    def test_more_than_memory(self):
        first = Dense(4, input_dim=4)
        model = Sequential([first])
        before = model.get_weights()
        model.add(Dense(2**42))
        with pytest.raises(MemoryError, match=r"the model needs .* GiB, but .* GiB"):
            model.build()
        np.testing.assert_array_equal(first.kernel, before[0])
        model.pop()
        np.testing.assert_array_equal(model.get_weights()[0], before[0])

    def test_of_training(self, monkeypatch):
        monkeypatch.setattr(_validation, "available_memory", lambda: 2**21)
        model = Sequential([Dense(10_000, input_dim=10), Dense(1)])
        model.compile("adam", "mse")
        x = np.ones((64, 10))
        assert_refused(
            model, lambda: model.fit(x, x[:, 0], 64), MemoryError, "training needs 0.0 GiB"
        )

    @pytest.mark.parametrize("engine", ["native", "reference"])
    def test_of_large_batches(self, monkeypatch, engine):
        monkeypatch.setattr(_validation, "available_memory", lambda: 2**21)
        model = Sequential([Dense(10, input_dim=10), Dense(1)], engine=engine)
        model.compile("adam", "mse")
        x = np.ones((20_000, 10))
        if engine == "native":  # which works on them in parts
            model.fit(x, x[:, 0], 20_000, verbose=0)
        else:
            assert_refused(
                model, lambda: model.fit(x, x[:, 0], 20_000), MemoryError, "training needs 0.0 GiB"
            )

    def test_available_memory_is_plausible(self):
        assert 2**20 < _validation.available_memory() < 2**50


class TestLayersOfModel:
    @pytest.mark.parametrize("thing", ["dense", Dense, None, 3])
    def test_not_a_layer(self, model, thing):
        assert_refused(model, lambda: model.add(thing), TypeError, "Sequential expects layers")

    def test_same_layer_or_name_twice(self, model):
        layer = model.layers[0]
        assert_refused(model, lambda: model.add(layer), ValueError, "a second time")
        twin = Dense(2, name=layer.name)
        assert_refused(model, lambda: model.add(twin), ValueError, "a second time")

    def test_input_comes_first(self, model):
        assert_refused(model, lambda: model.add(Input((3,))), ValueError, "Input must be the first")

    def test_shape_that_does_not_fit(self, model):
        other = Sequential([Dense(2, input_dim=7)])
        assert_refused(
            model, lambda: model.add(other.layers[0]), ValueError, r"\(n, 7\), got \(n, 3\)"
        )
        assert len(model.layers) == 2

    @pytest.mark.parametrize(
        "arguments", [{}, {"name": "no"}, {"index": 9}, {"name": "a", "index": 0}]
    )
    def test_get_layer(self, model, arguments):
        with pytest.raises(ValueError, match=r"give name or index|no layer is called|has 2 layers"):
            model.get_layer(**arguments)

    def test_build_for_another_shape(self, model):
        assert_refused(
            model, lambda: model.build((None, 9)), ValueError, r"\(None, 4\), got \(None, 9\)"
        )


def test_inputs_are_not_changed(model):
    x, y, weights = features(), one_hot(), np.ones(N, np.float32)
    copies = x.copy(), y.copy(), weights.copy()
    for array in (x, y, weights):
        array.flags.writeable = False
    model.fit(x, y, sample_weight=weights, class_weight={0: 2.0}, epochs=2, verbose=0)
    model.evaluate(x, y, sample_weight=weights, verbose=0)
    model.predict(x, verbose=0)
    for array, copy in zip((x, y, weights), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
