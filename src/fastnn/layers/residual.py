"""Blocks of layers whose input is added to their output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnn.layers._layer import Layer, Shape, check_each_once, features_of
from fastnn.program import AddOp, BranchOp, Op, Parameter

if TYPE_CHECKING:
    import numpy as np

    from fastnn.initializers import Initializer


class Residual(Layer):
    """A block whose input is added to its output: ``y = x + layers(x)``.

    Parameters
    ----------
    layers : sequence of Layer
        At least one, each once; the last gives the shape that goes into the first.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun (2016). Deep residual learning for image recognition.
    arXiv:1512.03385.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, Residual
    >>> block = Residual([Dense(32, "relu"), Dense(8)])
    >>> Sequential([Dense(8, input_dim=4), block, Dense(1)]).count_params()
    601
    """

    def __init__(self, layers: Sequence[Layer], **options: Any) -> None:
        self.layers = list(layers) if isinstance(layers, Sequence) else []
        if not self.layers or not all(isinstance(layer, Layer) for layer in self.layers):
            raise TypeError(f"Residual expects a sequence of layers such as a list, got {layers!r}")
        check_each_once(self.layers)
        self._fresh: list[Layer] = []
        super().__init__(**options)
        if not self.trainable:
            self.trainable = False

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        output_shape = [*self._shapes(input_shape)][-1]
        if output_shape != input_shape:
            raise ValueError(
                f"{self._title} adds its input of shape {input_shape} to its output of shape "
                f"{output_shape}: let its last layer give the shape that goes in"
            )
        return input_shape

    def _shapes(self, input_shape: Shape) -> Iterator[Shape]:
        """Yield the shape that goes into each layer, and that which comes out of the last."""
        yield input_shape
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
            yield input_shape

    def build(self, input_shape: Shape) -> None:
        # Those that are built already keep their weights, as they would in a model.
        self._fresh = [layer for layer in self.layers if not layer.built]
        for layer, shape in zip(self.layers, self._shapes(input_shape), strict=False):
            if not layer.built:
                layer._declare(shape)

    def lower(self, input_shape: Shape) -> list[Op]:
        width = features_of(input_shape)
        ops: list[Op] = [BranchOp(width, width)]
        for layer, shape in zip(self.layers, self._shapes(input_shape), strict=False):
            ops += layer.lower(shape)
        return [*ops, AddOp(width, width)]

    @property
    def _inner(self) -> Sequence[Layer]:
        return self.layers

    def check_inputs(self, x: np.ndarray) -> None:
        self.layers[0].check_inputs(x)

    @property
    def weights(self) -> list[Parameter]:
        """All weights, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.weights]

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for every layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.layers:
            layer.trainable = self._trainable

    def _declared(self) -> list[tuple[Parameter, Initializer]]:
        return [pair for layer in self._fresh for pair in layer._declared()]

    def _forget(self) -> None:
        super()._forget()
        for layer in self._fresh:
            layer._forget()
        self._fresh = []

    def get_config(self) -> dict[str, Any]:
        from fastnn.layers import serialize

        return {**super().get_config(), "layers": [serialize(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Residual:
        """Return a new, unbuilt block."""
        from fastnn.layers import deserialize

        inner = [deserialize(layer) for layer in config["layers"]]
        block = cls(**{**config, "layers": inner, "trainable": True})
        # The layers bring their own with them: some may be trained in a block that is not.
        block._trainable = bool(config.get("trainable", True))
        return block
