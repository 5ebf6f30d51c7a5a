"""Layers: declarations, shapes, weights, configuration, names."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import _naming, activations, initializers, layers, regularizers
from fastnn.engines import ENGINES
from fastnn.layers import (
    ELU,
    Activation,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    LeakyReLU,
    ReLU,
    Softmax,
)
from fastnn.models import Sequential
from fastnn.program import ActivationOp, DenseOp, DropoutOp
from fastnn.utils import set_random_seed


@pytest.fixture
def fresh_names():
    _naming.clear_session()
    yield
    _naming.clear_session()


class TestNames:
    def test_count_as_those_of_keras(self, fresh_names):
        names = [layer.name for layer in (Dense(1), Dense(1), Dropout(0.1), Dense(1), Flatten())]
        assert names == ["dense", "dense_1", "dropout", "dense_2", "flatten"]

    def test_of_user_classes_are_in_snake_case(self, fresh_names):
        class RBFLayer2D(Dense):
            pass

        assert RBFLayer2D(1).name == "rbf_layer2_d"
        assert RBFLayer2D(1).name == "rbf_layer2_d_1"

    def test_given_names_do_not_count(self, fresh_names):
        Dense(1, name="mine")
        assert Dense(1).name == "dense"

    def test_wrong_type(self):
        with pytest.raises(TypeError, match="name must be a str, got 3"):
            Dense(1, name=3)


class TestDense:
    def test_kernel_and_bias_are_read_only_and_current(self):
        layer = Dense(2, input_dim=3)
        model = Sequential([layer])
        view = layer.kernel
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1.0
        model.set_weights([np.full((3, 2), 2.0), np.ones(2)])
        np.testing.assert_array_equal(view, np.full((3, 2), 2.0))
        np.testing.assert_array_equal(layer.bias, [1.0, 1.0])

    def test_setters_reach_the_engine(self):
        layer = Dense(2, input_dim=2)
        model = Sequential([layer])
        x = np.ones((1, 2), np.float32)
        model(x)
        layer.kernel = [[1, 2], [3, 4]]
        layer.bias = np.array([10.0, 20.0])
        np.testing.assert_array_equal(model(x), [[14.0, 26.0]])

    def test_setter_checks_the_shape(self):
        layer = Dense(2, name="d", input_dim=3)
        Sequential([layer])
        before = layer.kernel.copy()
        with pytest.raises(ValueError, match=r"Dense 'd' expects 'kernel' of shape \(3, 2\), got"):
            layer.kernel = np.zeros((2, 3))
        with pytest.raises(ValueError, match="'kernel' of shape"):
            layer.kernel = 1.0
        np.testing.assert_array_equal(layer.kernel, before)

    def test_before_the_build(self):
        layer = Dense(2, name="d")
        for access in (lambda: layer.kernel, lambda: layer.bias, layer.count_params):
            with pytest.raises(ValueError, match=r"Dense 'd' has no .* yet: build"):
                access()
        with pytest.raises(ValueError, match="yet: build"):
            layer.kernel = np.zeros((1, 2))

    def test_without_bias(self):
        layer = Dense(2, use_bias=False, input_dim=3)
        Sequential([layer])
        assert layer.bias is None
        assert len(layer.get_weights()) == 1
        with pytest.raises(ValueError, match="use_bias=True"):
            layer.bias = np.zeros(2)

    def test_initializers(self):
        layer = Dense(2, kernel_initializer="ones", bias_initializer="ones", input_dim=3)
        Sequential([layer])
        np.testing.assert_array_equal(layer.kernel, np.ones((3, 2)))
        np.testing.assert_array_equal(layer.bias, np.ones(2))

    def test_regularizers_go_to_the_parameters(self):
        layer = Dense(2, kernel_regularizer="l2", bias_regularizer=regularizers.L1(0.5))
        layers.build_layers([layer], (None, 3), np.dtype(np.float32))
        kernel, bias = layer.weights
        assert (kernel.name, bias.name) == ("kernel", "bias")
        assert kernel.regularizer.l2 == pytest.approx(0.01)
        assert bias.regularizer.l1 == pytest.approx(0.5)

    def test_lowers_to_one_op(self):
        layer = Dense(2, activation="relu")
        layers.build_layers([layer], (None, 3), np.dtype(np.float32))
        (op,) = layer.lower((None, 3))
        assert isinstance(op, DenseOp)
        assert (op.inputs, op.outputs, op.activation.name) == (3, 2, "relu")
        assert op.parameters == tuple(layer.weights)

    def test_wrong_number_of_features_once_built(self):
        layer = Dense(2, name="d")
        layers.build_layers([layer], (None, 64), np.dtype(np.float32))
        with pytest.raises(ValueError, match=r"'d' expects inputs of shape \(n, 64\), got \(n, 63"):
            layer.compute_output_shape((None, 63))

    @pytest.mark.parametrize("layer", [Dense(2), Activation("relu")])
    def test_images_are_told_to_flatten(self, layer):
        with pytest.raises(ValueError, match=r"got \(n, 28, 28\): add a Flatten layer"):
            layer.compute_output_shape((None, 28, 28))


class TestActivation:
    def test_lowers_to_one_op(self):
        (op,) = Activation("softmax").lower((None, 3))
        assert isinstance(op, ActivationOp)
        assert (op.inputs, op.outputs, op.activation.name) == (3, 3, "softmax")

    def test_linear_is_nothing(self):
        assert Activation("linear").lower((None, 3)) == []

    def test_of_another_width(self):
        model = Sequential([Input((6,)), Dense(8), Activation("glu"), Activation("glu")])
        assert [layer.output_shape for layer in model.layers] == [(None, 8), (None, 4), (None, 2)]
        assert model.predict(np.ones((3, 6)), verbose=0).shape == (3, 2)
        assert model.count_params() == 56

    def test_that_refuses_the_width(self):
        with pytest.raises(ValueError, match="must be even, got 5; make it 6"):
            Dense(5, activation="glu")
        with pytest.raises(ValueError, match="must be even, got 5; make it 6"):
            Sequential([Input((5,)), Activation("glu")])


class TestActivationsWithParameters:
    def test_names_are_those_of_keras(self, fresh_names):
        names = [layer.name for layer in (ReLU(), LeakyReLU(), ELU(), Softmax())]
        assert names == ["re_lu", "leaky_re_lu", "elu", "softmax"]

    def test_defaults_are_those_of_keras(self):
        assert ReLU(name="a").get_config() == {
            "name": "a",
            "trainable": True,
            "max_value": None,
            "negative_slope": 0.0,
            "threshold": 0.0,
        }
        assert LeakyReLU().negative_slope == 0.3
        assert ELU().alpha == 1.0
        assert Softmax().axis == -1

    def test_values(self):
        x = np.array([[-2.0, 0.5, 1.5, 9.0]])
        cases = [
            (ReLU(6.0, 0.5, 1.0), [-1.5, -0.25, 1.5, 6.0]),
            (LeakyReLU(), [-0.6, 0.5, 1.5, 9.0]),
            (ELU(2.0), [2 * np.expm1(-2.0), 0.5, 1.5, 9.0]),
            (Softmax(), activations.softmax(x)[0]),
        ]
        for layer, expected in cases:
            model = Sequential([Input((4,)), layer], dtype="float64")
            np.testing.assert_allclose(model(x), [expected], rtol=1e-14)

    def test_become_one_with_a_dense_layer(self):
        model = Sequential([Input((3,)), Dense(2), LeakyReLU(0.5, name="slope")])
        fused = Sequential([Input((3,)), Dense(2, activations.LeakyReLU(0.5))])
        fused.set_weights(model.get_weights())
        x = np.random.default_rng(0).normal(size=(5, 3))
        np.testing.assert_array_equal(model.predict(x), fused.predict(x))

    @pytest.mark.parametrize(
        ("make_layer", "message"),
        [
            (lambda: ReLU(max_value=-1.0), "max_value must be"),
            (lambda: ReLU(negative_slope=-0.1), "negative_slope must be"),
            (lambda: ReLU(threshold=-1.0), "threshold must be"),
            (lambda: LeakyReLU(-0.1), "negative_slope must be"),
            (lambda: ELU(np.nan), "alpha must be"),
            (lambda: Softmax(axis=0), "axis must be -1 or 1"),
        ],
    )
    def test_out_of_range(self, make_layer, message):
        with pytest.raises(ValueError, match=message):
            make_layer()


class TestDropout:
    def test_lowers_to_one_op(self):
        (op,) = Dropout(0.25, seed=7).lower((None, 3))
        assert isinstance(op, DropoutOp)
        assert (op.inputs, op.outputs, op.rate, op.seed) == (3, 3, 0.25, 7)

    def test_rate_zero_is_nothing(self):
        assert Dropout(0).lower((None, 3)) == []

    def test_unseeded_follow_the_global_generator(self):
        seeds = []
        for _ in range(2):
            set_random_seed(3)
            ops = [Dropout(0.5).lower((None, 3))[0] for _ in range(2)]
            seeds.append([op.seed for op in ops])
        assert seeds[0] == seeds[1]
        assert seeds[0][0] != seeds[0][1]

    @pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
    def test_rate_out_of_range(self, rate):
        with pytest.raises(ValueError, match="rate"):
            Dropout(rate)

    @pytest.mark.parametrize(
        ("seed", "error"), [(-1, ValueError), (2**64, ValueError), ("a", TypeError)]
    )
    def test_bad_seed(self, seed, error):
        with pytest.raises(error, match="seed"):
            Dropout(0.5, seed=seed)


class TestShapes:
    def test_input_dim_is_short_for_input_shape(self):
        assert Dense(2, input_dim=3).input_shape == Dense(2, input_shape=[3]).input_shape

    def test_both_at_once(self):
        with pytest.raises(ValueError, match="got both"):
            Dense(2, input_dim=3, input_shape=(3,))

    @pytest.mark.parametrize(
        ("shape", "error"),
        [
            (4, TypeError),
            ("4", TypeError),
            ((), ValueError),
            ((0,), ValueError),
            ((2.5,), ValueError),
        ],
    )
    def test_bad_input_shape(self, shape, error):
        with pytest.raises(error, match="shape"):
            Input(shape=shape)
        with pytest.raises(error, match="shape"):
            Dense(2, input_shape=shape)

    def test_input_round_trip(self):
        twin = layers.deserialize(layers.serialize(Input((28, 28), name="pixels")))
        assert twin.input_shape == (None, 28, 28)
        assert twin.name == "pixels"


class TestBuild:
    def test_one_block_on_cache_lines(self):
        stack = [Dense(5), Dense(3)]
        layers.build_layers(stack, (None, 4), np.dtype(np.float64))
        parameters = [p for layer in stack for p in layer.weights]
        assert len({p.block for p in parameters}) == 1
        for parameter in parameters:
            assert parameter.value.ctypes.data % 64 == 0

    def test_all_or_nothing(self):
        class Failing(initializers.Initializer):
            def __call__(self, shape, dtype="float32"):
                raise ArithmeticError("no values today")

        stack = [Dense(5), Dense(3, kernel_initializer=Failing())]
        with pytest.raises(ArithmeticError):
            layers.build_layers(stack, (None, 4), np.dtype(np.float32))
        assert not any(layer.built for layer in stack)
        assert stack[0].weights == []

    def test_layers_of_another_dtype_cannot_be_shared(self):
        layer = Dense(3, name="d", input_dim=2)
        Sequential([layer])
        with pytest.raises(ValueError, match=r"'d' was built in float32 .* float64"):
            Sequential([layer], dtype="float64")

    def test_a_layer_decides_the_dtype_of_its_model(self):
        model = Sequential([Dense(3, input_dim=2), Dense(4, dtype="float64"), Dense(1)])
        assert model.dtype == "float64"
        assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
        assert model(np.ones((1, 2))).dtype == np.float64
        assert [layer.dtype for layer in model.layers] == ["float64"] * 3
        model = Sequential([Activation("relu", dtype=np.float64)])
        assert model.dtype == "float64"
        model.pop()
        assert model.dtype == "float32"

    def test_a_layer_added_to_a_model_without_weights_decides_too(self):
        model = Sequential([Dense(3)])
        assert model.dtype == "float32"
        assert model.layers[0].dtype is None
        model.add(Dense(2, dtype="float64"))
        model.build((None, 2))
        assert model.dtype == model.layers[0].dtype == "float64"

    def test_a_built_layer_brings_its_dtype_along(self):
        layer = Dense(3, input_dim=2)
        Sequential([layer], dtype="float64")
        assert Sequential([layer, Dense(1)]).dtype == "float64"

    @pytest.mark.parametrize("engine", ENGINES)
    def test_layers_that_contradict_each_other_or_the_model_are_refused(self, engine):
        message = r"'d' was made with dtype='float64' and cannot serve a model of float32"
        wide = Dense(3, name="d", dtype="float64")
        with pytest.raises(ValueError, match=message):
            Sequential([Dense(3, dtype="float32"), wide], engine=engine)
        with pytest.raises(ValueError, match=message):
            Sequential([wide], dtype="float32", engine=engine)
        built = Sequential([Dense(3, input_dim=2)], engine=engine)
        with pytest.raises(ValueError, match=message):
            built.add(wide)
        assert len(built.layers) == 1
        assert built(np.ones((1, 2), np.float32)).shape == (1, 3)
        with pytest.raises(ValueError, match=message):
            layers.build_layers([wide], (None, 2), np.dtype(np.float32))
        assert not wide.built

    def test_the_dtype_is_part_of_the_config_where_it_was_given(self):
        layer = Dense(3, dtype="float64", input_dim=2)
        assert layer.get_config()["dtype"] == "float64"
        assert Dense.from_config(layer.get_config()).dtype == "float64"
        assert "dtype" not in Dense(3).get_config()
        model = Sequential([layer, Dense(2)])
        twin = Sequential.from_config(model.get_config())
        assert twin.dtype == "float64"
        assert twin.get_config() == model.get_config()

    @pytest.mark.parametrize("dtype", ["float16", int, "double precision"])
    def test_other_types_are_refused(self, dtype):
        with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
            Dense(3, dtype=dtype)

    def test_base_class_asks_for_an_implementation(self):
        with pytest.raises(NotImplementedError, match="Layer must implement compute_output_shape"):
            Layer().lower((None, 1))
        with pytest.raises(NotImplementedError, match="Layer must implement forward"):
            Layer().forward(np.ones((1, 1)), False)
        with pytest.raises(NotImplementedError, match="Layer must implement backward"):
            Layer().backward(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
        with pytest.raises(NotImplementedError, match="Layer must implement compute_output_shape"):
            Layer().compute_output_shape((None, 1))

    def test_a_user_layer_of_existing_ops(self):
        class Scale(Layer):
            """Multiplies all features by one matrix that begins as ones."""

            def compute_output_shape(self, input_shape):
                return input_shape

            def build(self, input_shape):
                width = input_shape[-1]
                self.matrix = self.add_weight(
                    name="matrix", shape=(width, width), initializer="ones"
                )

            def lower(self, input_shape):
                width = input_shape[-1]
                linear = Activation("linear").activation
                return [DenseOp(width, width, self.matrix, None, linear)]

        model = Sequential([Input((2,)), Scale(), Dense(1, kernel_initializer="ones")])
        np.testing.assert_array_equal(model(np.array([[1.0, 2.0]])), [[6.0]])
        assert model.count_params() == 7
