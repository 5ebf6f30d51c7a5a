"""What all layers have in common, and what models do with layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn._naming import automatic_name
from fastnn._validation import (
    check_memory,
    feature_shape,
    float_dtype,
    numeric_array,
    whole_number,
)
from fastnn.program import Layout, Op, Parameter, ParameterBlock, UserOp

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fastnn.initializers import Initializer

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
    dtype : {"float32", "float64"}, optional
        Type of weights and computation, which is that of the whole model. Default: the model's.

    Notes
    -----
    A subclass of your own implements `compute_output_shape`, `forward` and `backward` in NumPy, and
    `build` if it has weights. (Those of fastnn implement `lower` in the place of the two.)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Layer
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.add_weight(name="factor", shape=input_shape[1:], initializer="ones")
    ...
    ...     def compute_output_shape(self, input_shape):
    ...         return input_shape
    ...
    ...     def forward(self, x, training):
    ...         return x * self.weights[0].value
    ...
    ...     def backward(self, gradient, x, y):
    ...         return gradient * self.weights[0].value, (gradient * x).sum(axis=0)
    >>> Scale()(np.array([[1.0, 2.0]]))
    array([[1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r} ({type(name).__name__})")
        self._given_shape = _sample_shape(input_shape, input_dim)
        self._build_shape: Shape | None = None
        self._weights: dict[str, Parameter] = {}
        self._initializers: dict[str, Initializer] = {}
        self._trainable = bool(trainable)
        self._given_dtype = None if dtype is None else float_dtype(dtype)
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
        outputs = features_of(self.compute_output_shape(input_shape))
        return [UserOp(features_of(input_shape), outputs, self, tuple(self.weights))]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        """Return the output, for a layer of your own.

        Parameters
        ----------
        x : ndarray of shape (n, features)
            Read-only, in the model's dtype; samples of more axes lie flat in it.
        training : bool

        Returns
        -------
        ndarray of shape (n, outputs)
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward(x, training)")

    def backward(self, gradient: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
        """Return the gradients of the loss, for a layer of your own.

        Parameters
        ----------
        gradient : ndarray of shape (n, outputs)
            With respect to the output.
        x, y : ndarray
            What `forward` got and returned.

        Returns
        -------
        ndarray of shape (n, features), or tuple
            Gradient with respect to `x`; with weights a tuple of it and theirs, in their order.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement backward(gradient, x, y)")

    @property
    def _inner(self) -> Sequence[Layer]:
        """Layers that this one is made of."""
        return ()

    def check_inputs(self, x: np.ndarray) -> None:
        """Raise ValueError if values of `x`, flat rows of the model's input, will not do.

        Asked of the first layer before anything is computed.
        """

    def __call__(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Return the output for `x`, as of a model of this layer alone.

        Parameters
        ----------
        x : array_like of shape (n, ...)
            A layer without weights yet is built for that shape, in float32.
        training : bool, default False
            Compute as in a training step. Noise differs from call to call; moving statistics are
            left as they are.

        Returns
        -------
        ndarray of the weights' dtype, float32 without weights
        """
        from fastnn._alone import call_layer

        return call_layer(self, x, training)

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

    @property
    def dtype(self) -> str | None:
        """Type that the layer was made for, or that its weights have; None if neither."""
        if self._given_dtype is not None:
            return self._given_dtype.name
        held = [p.value.dtype.name for p in self.weights if p.block is not None]
        return next(
            (name for name in (*held, *(inner.dtype for inner in self._inner)) if name), None
        )

    # Weights

    def add_weight(
        self,
        *,
        name: str,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        trainable: bool = True,
        constraint: Any = None,
    ) -> Parameter:
        """Declare a weight; to be called in `build`.

        Parameters
        ----------
        name : str
        shape : tuple of int
        initializer : str, class, Initializer or config, default "glorot_uniform"
        regularizer : str, class, Regularizer or config, optional
        trainable : bool, default True
            Whether it is to be optimised; False for statistics.
        constraint : str, class, Constraint or config, optional
        """
        penalty, limit = regularizers.get(regularizer), constraints.get(constraint)
        parameter = Parameter(name, shape, penalty, self._trainable, limit, statistic=not trainable)
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
        for parameter in self.weights:
            parameter.set_trainable(self._trainable)

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
        if self._given_dtype is not None:
            config["dtype"] = self._given_dtype.name
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

    def _declared(self) -> list[tuple[Parameter, Initializer]]:
        """Return the weights with what gives them their first values."""
        return [(self._weights[name], self._initializers[name]) for name in self._weights]

    def _forget(self) -> None:
        """Undo `_declare`."""
        self._build_shape = None
        self._weights.clear()
        self._initializers.clear()


# What models do with layers


def build_layers(layers: Sequence[Layer], input_shape: Shape, dtype: np.dtype) -> None:
    """Build those of `layers` that are not built, with their parameters in one block.

    Raises
    ------
    ValueError
        If a layer cannot take its input, has another dtype, or is too large to address.
    MemoryError
        If the weights do not fit. After any exception the layers are as they were before.
    """
    fresh = [layer for layer in layers if not layer.built]
    try:
        shape = input_shape
        for layer in layers:
            output_shape = layer.compute_output_shape(shape)
            check_dtype(layer, dtype)
            if not layer.built:
                layer._declare(shape)
            shape = output_shape
        _allocate(fresh, dtype)
    except BaseException:
        for layer in fresh:
            layer._forget()
        raise


def _allocate(layers: Sequence[Layer], dtype: np.dtype) -> None:
    declared = [(layer, *pair) for layer in layers for pair in layer._declared()]
    parameters = [parameter for _, parameter, _ in declared]
    if not parameters:
        return
    size = Layout(parameters, dtype).size * dtype.itemsize
    # Initial values are drawn in float64, one parameter at a time.
    largest = max(parameter.size for parameter in parameters) * np.dtype(np.float64).itemsize
    check_memory(size + largest, "the model")
    block = ParameterBlock(parameters, dtype)
    for layer, parameter, initializer in declared:
        parameter.array[...] = _initial_values(layer, parameter, initializer, dtype)
    block.touch()


def _initial_values(
    layer: Layer, parameter: Parameter, initializer: Initializer, dtype: np.dtype
) -> np.ndarray:
    """Return what the initializer of a weight gives; check that it has the weight's shape."""
    name, shape = parameter.name, parameter.shape
    values = np.asarray(initializer(shape, dtype))
    if values.shape != shape:
        raise ValueError(
            f"{type(initializer).__name__} must return an array of shape {shape} for '{name}' of "
            f"{layer._title}, got {values.shape}; correct it there"
        )
    return values


def every_layer(layers: Sequence[Layer]) -> list[Layer]:
    """Return `layers` and those that they are made of."""
    return [each for layer in layers for each in (layer, *every_layer(layer._inner))]


def check_each_once(layers: Sequence[Layer]) -> None:
    """Raise ValueError if one layer is in two places of `layers`, or of the blocks among them."""
    seen: set[int] = set()
    for layer in every_layer(layers):
        if id(layer) in seen:
            raise ValueError(
                f"{layer._title} is in two places of one model: make a layer for each of them"
            )
        seen.add(id(layer))


def check_dtype(layer: Layer, dtype: np.dtype) -> None:
    """Raise ValueError if `layer` has a dtype, and it is not that of its model."""
    for inner in layer._inner:
        check_dtype(inner, dtype)
    own = layer.dtype
    if own is None or own == dtype.name:
        return
    if layer.built:
        raise ValueError(
            f"{layer._title} was built in {own} and cannot serve a model of {dtype}: make the "
            "models of one dtype, or copy the layer's weights"
        )
    raise ValueError(
        f"{layer._title} was made with dtype='{own}' and cannot serve a model of {dtype}: give "
        "the model and its layers one dtype, or leave it to the model"
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


# Shapes


def _sample_shape(
    input_shape: Sequence[int] | None, input_dim: int | None
) -> tuple[int, ...] | None:
    if input_shape is not None and input_dim is not None:
        raise ValueError(f"give input_shape or input_dim, got both: {input_shape}, {input_dim}")
    if input_dim is not None:
        return (whole_number(input_dim, "input_dim"),)
    return None if input_shape is None else feature_shape(input_shape, "input_shape")


def features_of(input_shape: Shape) -> int:
    """Return the number of numbers in one sample."""
    return math.prod(size for size in input_shape[1:] if size is not None)


def row_width(layer: Layer, input_shape: Shape) -> int:
    """Return the features of a row, for a layer that works on rows only."""
    if len(input_shape) != 2:
        expected = str(input_shape).replace("None", "n")
        raise ValueError(
            f"{layer._title} expects inputs of shape (n, features), got {expected}: "
            "add a Flatten layer before it"
        )
    return features_of(input_shape)


def known_width(layer: Layer, input_shape: Shape) -> int:
    """Return the same; check that it is the width that the layer was built for, if it was."""
    features = row_width(layer, input_shape)
    if layer._build_shape is not None and layer._build_shape[-1] != features:
        raise ValueError(
            f"{layer._title} expects inputs of shape (n, {layer._build_shape[-1]}), "
            f"got (n, {features})"
        )
    return features
