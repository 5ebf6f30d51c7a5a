"""Layers: what a network is made of.

A layer is a declaration. It says which weights it needs (`build`), which shape comes out
(`compute_output_shape`) and which ops of the flat program it stands for (`lower`); it computes
nothing itself. Shapes are written as in Keras, with None for the number of samples:
``(None, 64)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import activations, initializers, regularizers
from fastnn._naming import automatic_name
from fastnn._registry import Registry, real
from fastnn._validation import (
    check_memory,
    feature_shape,
    numeric_array,
    whole_number,
)
from fastnn.program import (
    ActivationOp,
    DenseOp,
    DropoutOp,
    Layout,
    Op,
    Parameter,
    ParameterBlock,
)
from fastnn.utils import generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.activations import ActivationFunction
    from fastnn.initializers import Initializer
    from fastnn.regularizers import Regularizer

Shape = tuple[int | None, ...]


class Layer:
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
        Unique within a model. Default: the class' name in lower case, counted: ``dense``,
        ``dense_1``.
    trainable : bool, default True
        Whether training changes the weights.
    input_shape : sequence of int, optional
        Shape of one sample. Read from the first layer of a model only.
    input_dim : int, optional
        Short for ``input_shape=(input_dim,)``.

    Notes
    -----
    A subclass implements `compute_output_shape` and `lower`, and `build` if it has weights.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r} ({type(name).__name__})")
        self._given_shape = _sample_shape(input_shape, input_dim)
        self._build_shape: Shape | None = None
        self._weights: dict[str, Parameter] = {}
        self._initializers: dict[str, Initializer] = {}
        self._trainable = bool(trainable)
        self.name = name or automatic_name(type(self).__name__)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    # Shape and lowering

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape that comes out where `input_shape` goes in.

        Raises
        ------
        ValueError
            If the layer cannot take that shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement compute_output_shape")

    def build(self, input_shape: Shape) -> None:
        """Declare the weights for this shape, with `add_weight`.

        Called once, by the model, which then allocates and initialises what was declared.
        """

    def lower(self, input_shape: Shape) -> list[Op]:
        """Return the ops that compute this layer."""
        raise NotImplementedError(f"{type(self).__name__} must implement lower")

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._build_shape is not None

    @property
    def input_shape(self) -> Shape | None:
        """Shape that the layer was built for, or was given; None if neither."""
        if self._build_shape is None and self._given_shape is not None:
            return (None, *self._given_shape)
        return self._build_shape

    @property
    def output_shape(self) -> Shape | None:
        """Shape that comes out for `input_shape`; None if that is not known yet."""
        shape = self.input_shape
        return None if shape is None else self.compute_output_shape(shape)

    # Weights

    def add_weight(
        self,
        *,
        name: str,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
    ) -> Parameter:
        """Declare a weight; to be called in `build`.

        Parameters
        ----------
        name : str
        shape : tuple of int
        initializer : str, class, Initializer or config, default "glorot_uniform"
        regularizer : str, class, Regularizer or config, optional
        """
        penalty = regularizers.get(regularizer)
        parameter = Parameter(name, shape, penalty, self._trainable)
        self._initializers[name] = initializers.get(initializer)
        self._weights[name] = parameter
        return parameter

    @property
    def weights(self) -> list[Parameter]:
        """All weights, as `Parameter`: ``name``, ``shape``, ``value``, ``assign``."""
        return list(self._weights.values())

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Weights that training changes."""
        return [parameter for parameter in self.weights if parameter.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """Weights that training leaves alone."""
        return [parameter for parameter in self.weights if not parameter.trainable]

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it counts from the next `fit`."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self._weights.values():
            parameter.trainable = self._trainable

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights' values."""
        return [parameter.value.copy() for parameter in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights.

        Parameters
        ----------
        weights : sequence of array_like
            As from `get_weights`: same number, same shapes.

        Raises
        ------
        ValueError
            If the number or a shape differs; then no weight has changed.
        """
        assign_weights(self.weights, weights, self._title)

    def count_params(self) -> int:
        """Return the number of numbers in the weights."""
        if not self.built:
            raise ValueError(f"{self._title} has no weights yet: build its model first")
        return sum(parameter.size for parameter in self.weights)

    def _value(self, name: str) -> np.ndarray:
        if not self.built:
            raise ValueError(f"{self._title} has no {name} yet: build its model first")
        return self._weights[name].value

    def _assign(self, name: str, value: ArrayLike) -> None:
        if not self.built:
            raise ValueError(f"{self._title} has no {name} yet: build its model first")
        assign_weights([self._weights[name]], [value], self._title)

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer anew, without its weights."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if self._given_shape is not None:
            config["input_shape"] = list(self._given_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return a new, unbuilt layer."""
        return cls(**config)

    @property
    def _title(self) -> str:
        """How messages call this layer."""
        return f"{type(self).__name__} '{self.name}'"

    def _declare(self, input_shape: Shape) -> None:
        self.build(input_shape)
        self._build_shape = input_shape

    def _forget(self) -> None:
        """Undo `_declare`."""
        self._build_shape = None
        self._weights.clear()
        self._initializers.clear()


class Input(Layer):
    """The shape of one sample, where a model begins.

    Parameters
    ----------
    shape : sequence of int
        Without the number of samples: ``(4,)``, ``(28, 28)``.
    name : str, optional

    Examples
    --------
    >>> from fastnn import Input, Sequential
    >>> from fastnn.layers import Dense
    >>> Sequential([Input(shape=(4,)), Dense(3)]).output_shape
    (None, 3)
    """

    def __init__(self, shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name=name)
        self._given_shape = feature_shape(shape, "shape")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        return []

    def get_config(self) -> dict[str, Any]:
        assert self._given_shape is not None
        return {"name": self.name, "shape": list(self._given_shape)}


class Dense(Layer):
    """Fully connected layer: ``y = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str, class, ActivationFunction or config, optional
        Default: linear.
    use_bias : bool, default True
    kernel_initializer : str, class, Initializer or config, default "glorot_uniform"
    bias_initializer : str, class, Initializer or config, default "zeros"
    kernel_regularizer, bias_regularizer : str, class, Regularizer or config, optional
        Penalty added to the training loss.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    Attributes
    ----------
    kernel : ndarray of shape (features, units)
        Read-only view, always current; assign an array of that shape to set it.
    bias : ndarray of shape (units,), or None
        Likewise; None without `use_bias`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, out of range or unknown.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(3, activation="softmax", input_dim=8)])
    >>> model.layers[0].kernel.shape
    (8, 3)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.units = whole_number(units, "units")
        self.activation: ActivationFunction = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer: Initializer = initializers.get(kernel_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.kernel_regularizer: Regularizer | None = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        features = _row_width(self, input_shape)
        if self._build_shape is not None and self._build_shape[-1] != features:
            raise ValueError(
                f"{self._title} expects inputs of shape (n, {self._build_shape[-1]}), "
                f"got (n, {features})"
            )
        return (None, self.units)

    def build(self, input_shape: Shape) -> None:
        self.add_weight(
            name="kernel",
            shape=(_row_width(self, input_shape), self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        if self.use_bias:
            self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
            )

    def lower(self, input_shape: Shape) -> list[Op]:
        kernel, bias = self._weights["kernel"], self._weights.get("bias")
        return [DenseOp(_row_width(self, input_shape), self.units, kernel, bias, self.activation)]

    @property
    def kernel(self) -> np.ndarray:
        return self._value("kernel")

    @kernel.setter
    def kernel(self, value: ArrayLike) -> None:
        self._assign("kernel", value)

    @property
    def bias(self) -> np.ndarray | None:
        return self._value("bias") if self.use_bias else None

    @bias.setter
    def bias(self, value: ArrayLike) -> None:
        if not self.use_bias:
            raise ValueError(f"{self._title} has no bias: make it with use_bias=True")
        self._assign("bias", value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
        }


class Activation(Layer):
    """An activation on its own: ``y = activation(x)``.

    Parameters
    ----------
    activation : str, class, ActivationFunction or config
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        self.activation: ActivationFunction = activations.get(activation)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, _row_width(self, input_shape))

    def lower(self, input_shape: Shape) -> list[Op]:
        if is_identity(self.activation):
            return []
        width = _row_width(self, input_shape)
        return [ActivationOp(width, width, self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Dropout(Layer):
    """Sets inputs to zero at random in training, and passes them on unchanged otherwise.

    Inputs that are kept are multiplied by ``1 / (1 - rate)``, so that the expected sum stays.

    Parameters
    ----------
    rate : float
        Fraction to set to zero, in [0, 1).
    seed : int, optional
        From 0 to 2**64 - 1. Default: drawn from the generator that
        `fastnn.utils.set_random_seed` seeds.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting. Journal of Machine Learning Research 15, 1929-1958.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **options: Any) -> None:
        self.rate = real(rate, "rate", "[0, 1)")
        self.seed = None if seed is None else whole_number(seed, "seed", minimum=0)
        if self.seed is not None and self.seed >= 2**64:
            raise ValueError(f"seed must be less than 2**64, got {seed}")
        super().__init__(**options)
        drawn = generator().integers(2**64, dtype=np.uint64) if seed is None else seed
        self._key = int(drawn)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        width = _features(input_shape)
        return [DropoutOp(width, width, self.rate, self._key)] if self.rate else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class Flatten(Layer):
    """Makes one row of each sample, in C order: (n, 28, 28) becomes (n, 784).

    Parameters
    ----------
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, _features(input_shape))

    def lower(self, input_shape: Shape) -> list[Op]:
        return []  # the program works on flat rows from the start


# What models do with layers


def build_layers(layers: Sequence[Layer], input_shape: Shape, dtype: np.dtype) -> None:
    """Build those of `layers` that are not built, with their parameters in one block.

    Raises
    ------
    ValueError
        If a layer cannot take its input, is built in another dtype, or is too large to address.
    MemoryError
        If the weights do not fit. After any exception the layers are as they were before.
    """
    fresh = [layer for layer in layers if not layer.built]
    try:
        shape = input_shape
        for layer in layers:
            output_shape = layer.compute_output_shape(shape)
            if layer.built:
                _check_dtype(layer, dtype)
            else:
                layer._declare(shape)
            shape = output_shape
        _allocate(fresh, dtype)
    except BaseException:
        for layer in fresh:
            layer._forget()
        raise


def _allocate(layers: Sequence[Layer], dtype: np.dtype) -> None:
    parameters = [parameter for layer in layers for parameter in layer.weights]
    if not parameters:
        return
    size = Layout(parameters, dtype).size * dtype.itemsize
    # Initial values are drawn in float64, one parameter at a time.
    largest = max(parameter.size for parameter in parameters) * np.dtype(np.float64).itemsize
    check_memory(size + largest, "the model")
    block = ParameterBlock(parameters, dtype)
    for layer in layers:
        for name, parameter in layer._weights.items():
            parameter.array[...] = layer._initializers[name](parameter.shape, dtype)
    block.touch()


def _check_dtype(layer: Layer, dtype: np.dtype) -> None:
    for parameter in layer.weights:
        if parameter.value.dtype != dtype:
            raise ValueError(
                f"{layer._title} was built in {parameter.value.dtype} and cannot serve a model "
                f"of {dtype}: make the models of one dtype, or copy the layer's weights"
            )


def assign_weights(
    parameters: Sequence[Parameter], values: Sequence[ArrayLike], owner: str
) -> None:
    """Set `parameters` to `values`, all or, if one has the wrong shape, none.

    `owner` is what messages call the layer or model.
    """
    if len(values) != len(parameters):
        raise ValueError(f"{owner} has {len(parameters)} weights, got {len(values)} arrays")
    arrays = [numeric_array(value, "weights") for value in values]
    for parameter, array in zip(parameters, arrays, strict=True):
        if array.shape != parameter.shape:
            raise ValueError(
                f"{owner} expects '{parameter.name}' of shape {parameter.shape}, got {array.shape}"
            )
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.assign(array)


def is_identity(activation: ActivationFunction) -> bool:
    """Whether `activation` returns its input."""
    return activation.builtin and activation.name == "linear"


# Shapes


def _sample_shape(
    input_shape: Sequence[int] | None, input_dim: int | None
) -> tuple[int, ...] | None:
    if input_shape is not None and input_dim is not None:
        raise ValueError(f"give input_shape or input_dim, got both: {input_shape}, {input_dim}")
    if input_dim is not None:
        return (whole_number(input_dim, "input_dim"),)
    return None if input_shape is None else feature_shape(input_shape, "input_shape")


def _features(input_shape: Shape) -> int:
    """Return the number of numbers in one sample."""
    return math.prod(size for size in input_shape[1:] if size is not None)


def _row_width(layer: Layer, input_shape: Shape) -> int:
    """Return the features of a row, for a layer that works on rows only."""
    if len(input_shape) != 2:
        expected = str(input_shape).replace("None", "n")
        raise ValueError(
            f"{layer._title} expects inputs of shape (n, features), got {expected}: "
            "add a Flatten layer before it"
        )
    return _features(input_shape)


_registry: Registry[Layer] = Registry(
    "layer", Layer, {cls.__name__: cls for cls in (Input, Dense, Activation, Dropout, Flatten)}
)
get = _registry.get
serialize = _registry.serialize
deserialize = _registry.deserialize
