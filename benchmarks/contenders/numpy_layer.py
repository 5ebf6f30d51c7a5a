"""NumPy alone, one layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import single_layers as sizes
from single_layers import TimedLayer, Weights

from contenders import numpy_layers
from contenders.protocol import LayerContender


class NumpyLayer(LayerContender):
    """A layer as one writes it for speed: every array is allocated once."""

    def __init__(self, layer: TimedLayer, weights: Weights, below: Weights | None) -> None:
        self.layer = layer
        self.top = numpy_layers.made(layer, [w.copy() for w in weights])
        self.below = None
        if below is not None:
            self.below = numpy_layers.Dense(layer.inputs, [w.copy() for w in below], trained=2)
        self.generator = np.random.default_rng(0)
        self.batch = np.empty((sizes.ROWS, layer.outputs), np.float32)

    def prepared(self, x: np.ndarray) -> Any:
        return x.astype(np.intp) if self.layer.kind == "Embedding" else x

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.top.predict(x)

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        order = self.generator.permutation(len(x))
        rows_of_x = np.empty((sizes.ROWS, x.shape[1]), x.dtype)
        for start in range(0, len(x), sizes.ROWS):
            rows = order[start : start + sizes.ROWS]
            np.take(x, rows, axis=0, out=rows_of_x, mode="clip")  # without a buffer in between
            np.take(y, rows, axis=0, out=self.batch, mode="clip")
            self._step(rows_of_x, self.batch)

    def _step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Overwrite `y` with the gradient of the mean squared error and go down with it."""
        values = x if self.below is None else self.below.forward(x)
        np.subtract(self.top.forward(values), y, out=y)
        y *= np.float32(2 / y.size)
        gradient = self.top.backward(y)
        if self.below is not None:
            self.below.backward(gradient)
            self.below.update(self.layer.learning_rate)
        self.top.update(self.layer.learning_rate)

    def weights(self) -> Weights:
        below = [] if self.below is None else self.below.parameters
        return [*below, *self.top.parameters]
