"""fastnn's `Sequential` of one layer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import single_layers as sizes
from single_layers import NOTHING, TimedLayer, Weights

from contenders.protocol import LayerContender


class FastnnLayer(LayerContender):
    """A model called on an array; an epoch is one `fit`."""

    dtype: ClassVar[str] = "float32"
    engine: ClassVar[str] = "native"

    def __init__(self, layer: TimedLayer, weights: Weights, below: Weights | None) -> None:
        from fastnn import Input, Sequential, optimizers
        from fastnn.layers import Dense, Flatten, Reshape

        self.layer = layer
        sequence = (sizes.STEPS, layer.features)
        recurrent = layer.kind == "SimpleRNN"
        stack: list[Any] = [Input(sequence if recurrent else (layer.inputs,))]
        if below is not None:
            stack = [Input((sizes.INPUTS,)), Dense(layer.inputs)]
            stack += [Reshape(sequence)] if recurrent else []
        stack += _made(layer)
        if layer.kind == "Embedding":
            stack.append(Flatten())
        self.model = Sequential(stack, dtype=self.dtype, engine=self.engine)
        self.model.build()
        self.model.set_weights([*(below or []), *weights])
        self.model.compile(optimizers.SGD(layer.learning_rate), "mse")

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.model(x)

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.fit(x, y, batch_size=sizes.ROWS, epochs=1, verbose=0)

    def weights(self) -> Weights:
        return [weight.numpy() for weight in self.model.trainable_weights]


class ExactLayer(FastnnLayer):
    """The plainest way to compute it, in float64: the judge of all contenders."""

    dtype = "float64"
    engine = "reference"


def _made(layer: TimedLayer) -> list[Any]:
    """Return the layer under test, if there is one."""
    from fastnn import layers

    n = layer.features
    if layer.kind == NOTHING:
        return []
    if layer.kind == "LeakyReLU":
        return [layers.LeakyReLU(sizes.SLOPE)]
    if layer.kind in sizes.ACTIVATIONS:
        return [layers.Activation(sizes.ACTIVATIONS[layer.kind])]
    if layer.kind == "Residual":
        return [layers.Residual([layers.Dense(n, activation="relu")])]
    arguments: dict[str, tuple[Any, ...]] = {
        "Maxout": (n, sizes.PIECES),
        "SimpleRNN": (n,),
        "Embedding": (sizes.TABLE_ROWS, sizes.TABLE_COLUMNS),
        "Rescaling": (sizes.SCALE, sizes.OFFSET),
        "GaussianNoise": (sizes.DEVIATION,),
        "ActivityRegularization": (sizes.L1, sizes.L2),
        **dict.fromkeys(("Dropout", "AlphaDropout", "GaussianDropout"), (sizes.RATE,)),
    }
    options: dict[str, dict[str, float]] = {
        "BatchNormalization": {"momentum": sizes.MOMENTUM, "epsilon": sizes.EPSILON},
        "LayerNormalization": {"epsilon": sizes.EPSILON},
        "RMSNormalization": {"epsilon": sizes.EPSILON},
    }
    made = getattr(layers, layer.kind)
    return [made(*arguments.get(layer.kind, ()), **options.get(layer.kind, {}))]
