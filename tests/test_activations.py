"""Activations as objects: values worked by hand, parameters, functions of one's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numeric import numerical_gradient

from fastnn import activations
from fastnn.activations import ActivationFunction, LeakyReLU, ReLU

ALL = list(activations._registry.entries.values())
KINKED = {"step", "relu", "leaky_relu", "hard_sigmoid", "relu6", "hard_tanh", "hard_silu"}
KINKED |= {"soft_shrink", "hard_shrink", "threshold", "sparse_sigmoid", "sparsemax"}
SMOOTH = [a for a in ALL if a.name not in KINKED]
E = math.e
VALUES = {
    "linear": ([-2, 0, 3], [-2, 0, 3]),
    "step": ([-2, -0.0, 3], [0, 1, 1]),
    "sigmoid": ([0, math.log(3), -math.log(3)], [0.5, 0.75, 0.25]),
    "tanh": ([0, math.log(2)], [0, 0.6]),
    "relu": ([-2, 0, 3], [0, 0, 3]),
    "leaky_relu": ([-2, 0, 3], [-0.02, 0, 3]),
    "elu": ([-1, 0, 3], [1 / E - 1, 0, 3]),
    "selu": ([-1, 0, 1], [1.7580993408473766 * (1 / E - 1), 0, 1.0507009873554805]),
    "silu": ([0, math.log(3)], [0, 0.75 * math.log(3)]),
    "gelu": ([0, 1, -1], [0, 0.8413447460685429, -0.15865525393145707]),
    "softplus": ([0, math.log(3)], [math.log(2), math.log(4)]),
    "softsign": ([-1, 0, 3], [-0.5, 0, 0.75]),
    "hard_sigmoid": ([-4, -3, 0, 1.5, 3, 4], [0, 0, 0.5, 0.75, 1, 1]),
    "exponential": ([0, 1], [1, E]),
    "relu6": ([-2, 0, 3, 6, 7], [0, 0, 3, 6, 6]),
    "hard_tanh": ([-2, -1, 0.5, 1, 3], [-1, -1, 0.5, 1, 1]),
    "hard_silu": ([-4, -3, -1.5, 0, 1.5, 3, 4], [0, 0, -0.375, 0, 1.125, 3, 4]),
    "celu": ([-1, 0, 3], [1 / E - 1, 0, 3]),
    "mish": ([0, math.log(2), -math.log(2)], [0, 0.8 * math.log(2), -5 / 13 * math.log(2)]),
    "log_sigmoid": ([0, math.log(3)], [-math.log(2), math.log(0.75)]),
    "squareplus": ([-1.5, 0, 1.5], [0.5, 1, 2]),
    "tanh_shrink": ([0, math.log(2)], [0, math.log(2) - 0.6]),
    "soft_shrink": ([-2, -0.5, 0.25, 0.5, 3], [-1.5, 0, 0, 0, 2.5]),
    "hard_shrink": ([-2, -0.5, 0.25, 0.5, 3], [-2, 0, 0, 0, 3]),
    "threshold": ([-2, 0, 3], [0, 0, 3]),
    "sparse_plus": ([-2, -1, 0, 0.5, 1, 3], [0, 0, 0.25, 0.5625, 1, 3]),
    "sparse_sigmoid": ([-2, -1, 0, 0.5, 1, 3], [0, 0, 0.5, 0.75, 1, 1]),
    "softmax": ([0, math.log(3)], [0.25, 0.75]),
    "log_softmax": ([0, math.log(3)], [math.log(0.25), math.log(0.75)]),
    "sparsemax": ([0, 0.5, -1, -0.25], [0.25, 0.75, 0, 0]),
    "glu": ([2, -3, math.log(3), -math.log(3)], [1.5, -0.75]),
}


def test_all_activations_have_values():
    assert VALUES.keys() == {activation.name for activation in ALL}


@pytest.mark.parametrize("activation", ALL, ids=lambda a: a.name)
class TestEveryActivation:
    def test_values_worked_by_hand(self, activation):
        x, y = VALUES[activation.name]
        np.testing.assert_allclose(activation(np.array(x, float)), y, rtol=1e-13, atol=1e-15)

    def test_name_is_that_of_the_module_attribute(self, activation):
        assert getattr(activations, activation.name) is activation
        assert activations.get(activation.name) is activation
        assert activations.serialize(activation) == activation.name
        assert activations.deserialize(activation.name) is activation

    def test_keeps_float64_and_makes_float32_of_the_rest(self, activation):
        for given, kept in [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), ("i8", "f4"), ("?", "f4")]:
            assert activation(np.ones((2, 4), given)).dtype == kept

    def test_shapes(self, activation):
        for shape in [(4,), (0, 2), (2, 6), (2, 1, 2), (3, 0)]:
            width = activation.output_width(shape[-1])
            assert activation(np.ones(shape)).shape == (*shape[:-1], width)
            assert width == (shape[-1] // 2 if activation.name == "glu" else shape[-1])

    def test_is_immutable_and_kernel_computed(self, activation):
        assert activation.builtin
        with pytest.raises(AttributeError, match="cannot be changed"):
            activation.options = {"alpha": 2.0}

    def test_refuses_what_is_no_number(self, activation):
        with pytest.raises(TypeError, match="real numbers"):
            activation(["a", "b"])

    def test_refuses_an_unknown_parameter(self, activation):
        with pytest.raises(TypeError, match="slope"):
            activation([1.0], slope=2.0)


@pytest.mark.parametrize("activation", SMOOTH, ids=lambda a: a.name)
def test_backward_is_the_derivative_of_forward(activation):
    rng = np.random.default_rng(0)
    x, grad = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    grad = grad[:, : activation.output_width(4)]
    expected = numerical_gradient(lambda z: np.sum(grad * activation.forward(z)), x)
    got = activation.backward(grad, x, activation.forward(x))
    np.testing.assert_allclose(got, expected, rtol=5e-6, atol=1e-9)


@pytest.mark.parametrize("activation", [a for a in ALL if a.name != "step"], ids=lambda a: a.name)
def test_zero_upstream_gives_zero(activation):
    x = np.linspace(-2, 2, 6)[None]
    y = activation.forward(x)
    assert not activation.backward(np.zeros_like(y), x, y).any()


def test_step_has_no_gradient():
    x = np.ones((1, 2))
    with pytest.raises(ValueError, match="Perceptron"):
        activations.step.backward(x, x, x)


def test_parameters_of_a_call_take_the_place_of_the_own():
    x = [-2.0, 2.0]
    np.testing.assert_array_equal(activations.leaky_relu(x, negative_slope=0.5), [-1.0, 2.0])
    np.testing.assert_array_equal(activations.leaky_relu(x, 0.5), [-1.0, 2.0])
    np.testing.assert_array_equal(LeakyReLU(0.5)(x), [-1.0, 2.0])
    np.testing.assert_allclose(activations.elu(x, alpha=3.0), [3 * math.expm1(-2), 2.0])
    assert activations.leaky_relu.negative_slope == 0.01


# relu(x, negative_slope, max_value, threshold): what Keras 3.15 returned for these numbers.
RELU_INPUT = [-3.0, -0.5, 0.0, 0.4, 0.6, 1.5, 2.0, 7.0]
RELUS = [
    ({"negative_slope": 0.1}, [-0.3, -0.05, 0.0, 0.4, 0.6, 1.5, 2.0, 7.0]),
    ({"max_value": 2.0}, [0.0, 0.0, 0.0, 0.4, 0.6, 1.5, 2.0, 2.0]),
    ({"threshold": 0.5}, [0.0, 0.0, 0.0, 0.0, 0.6, 1.5, 2.0, 7.0]),
    ({"max_value": 1.0, "threshold": 2.0}, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    (
        {"negative_slope": 0.2, "max_value": 2.0, "threshold": 0.5},
        [-0.7, -0.2, -0.1, -0.02, 0.6, 1.5, 2.0, 2.0],
    ),
]


@pytest.mark.parametrize(("options", "expected"), RELUS)
def test_relu_with_options_is_that_of_keras(options, expected):
    np.testing.assert_allclose(activations.relu(np.array(RELU_INPUT), **options), expected)


def test_values_of_a_call_come_in_the_order_of_keras():
    np.testing.assert_array_equal(activations.relu([-2.0, 3.0], 0.5, 2.0), [-1.0, 2.0])
    np.testing.assert_array_equal(activations.threshold([0.5, 3.0], 1.0, -1.0), [-1.0, 3.0])
    with pytest.raises(TypeError, match="takes from 1 to 4 positional arguments"):
        activations.relu([1.0], 0.5, 2.0, 1.0, 0.0)


def test_aliases():
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu is activations.hard_swish


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 9))
    y = activations.sparsemax(x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)
    assert (y >= 0).all()
    assert (y == 0).any()
    others = rng.dirichlet(np.full(9, 0.5), size=1000)
    distances = np.linalg.norm(x[:, None] - others, axis=2).min(axis=1)
    assert (np.linalg.norm(x - y, axis=1) <= distances).all()


def test_a_wide_sparsemax_with_many_rounds():
    """Each entry lies so far above the next that the set of positive ones shrinks one by one."""
    x = -np.array([[1 - 0.5**k for k in range(40)]])
    y = activations.sparsemax(x)
    assert y.sum() == pytest.approx(1, rel=1e-14)
    support = y[0] > 0
    np.testing.assert_allclose(np.ptp((x - y)[0, support]), 0, atol=1e-15)


def test_glu_refuses_an_odd_width():
    with pytest.raises(ValueError, match="must be even, got 5; make it 6"):
        activations.glu(np.ones((2, 5)))
    with pytest.raises(ValueError, match="must be even, got 5"):
        activations.glu.output_width(5)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (ReLU, "max_value", -1.0),
        (ReLU, "threshold", -0.5),
        (activations.CELU, "alpha", 0.0),
        (activations.Squareplus, "b", 0.0),
        (activations.SoftShrink, "threshold", -0.1),
        (activations.HardShrink, "threshold", -0.1),
        (activations.Threshold, "default_value", math.nan),
    ],
)
def test_parameters_out_of_range(cls, name, value):
    with pytest.raises(ValueError, match=name):
        cls(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_parameters_must_be_finite(value):
    with pytest.raises(ValueError, match="negative_slope"):
        LeakyReLU(value)
    with pytest.raises(ValueError, match="alpha"):
        activations.ELU(value)


def test_options_are_what_the_kernels_are_given():
    assert LeakyReLU(0.2).options == {"negative_slope": 0.2}
    assert activations.ELU(0.5).options == {"alpha": 0.5}
    assert activations.elu.options is None
    assert activations.relu.options is None
    assert ReLU(max_value=6.0).options == {"max_value": 6.0}


def test_none_is_linear():
    assert activations.get(None) is activations.linear


def test_activations_with_other_parameters_are_serialized_in_full():
    form = activations.serialize(LeakyReLU(0.2))
    assert form == {"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}
    assert activations.deserialize(form) == LeakyReLU(0.2)


class TestOwnActivation:
    class Cube(ActivationFunction):
        def forward(self, x):
            return x**3

        def backward(self, grad, x, y):
            return 3 * x**2 * grad

    def test_is_called_like_the_others(self):
        cube = self.Cube()
        assert not cube.builtin
        assert cube.options is None
        np.testing.assert_array_equal(cube([1.0, -2.0]), [1.0, -8.0])
        assert activations.get(cube) is cube
        assert isinstance(activations.get(self.Cube), self.Cube)

    def test_comes_back_through_custom_objects(self):
        form = activations.serialize(self.Cube())
        again = activations.deserialize(form, custom_objects={"Cube": self.Cube})
        assert isinstance(again, self.Cube)

    def test_must_define_both_methods(self):
        class Half(ActivationFunction):
            pass

        with pytest.raises(NotImplementedError, match="Half must define forward"):
            Half()([1.0])
        with pytest.raises(NotImplementedError, match="Half must define backward"):
            Half().backward(np.ones(1), np.ones(1), np.ones(1))

    def test_overriding_a_builtin_is_heard(self):
        class Doubled(ReLU):
            def forward(self, x):
                return 2 * super().forward(x)

        class Renamed(ReLU):
            pass

        class Named(LeakyReLU):
            name = "named"

            def forward(self, x):
                return self.negative_slope * x

        assert Named(0.25).get_config() == {"negative_slope": 0.25}
        np.testing.assert_array_equal(Named(0.25)([4.0]), [1.0])
        assert not Doubled().builtin
        np.testing.assert_array_equal(Doubled()([-1.0, 1.0]), [0.0, 2.0])
        assert Renamed().builtin
