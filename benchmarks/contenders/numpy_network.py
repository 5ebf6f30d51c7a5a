"""NumPy alone."""

from __future__ import annotations

import numpy as np
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class NumpyNetwork(Contender):
    """NumPy as one writes it for speed: every array allocated once, parameters in one buffer."""

    module = "numpy"

    def __init__(self, weights: Weights) -> None:
        self.shapes = [w.shape for w in weights]
        self.flat = np.concatenate([w.ravel() for w in weights])
        self.parameters = self._views(self.flat)
        self.gradient, self.m, self.v, self.scratch = np.zeros((4, self.flat.size), np.float32)
        self.gradients = self._views(self.gradient)
        self.buffers: dict[int, list[np.ndarray]] = {}
        self.generator = np.random.default_rng(0)
        self.step = 0

    def _views(self, flat: np.ndarray) -> Weights:
        ends = np.cumsum([np.prod(shape) for shape in self.shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(s) for part, s in zip(parts, self.shapes, strict=True)]

    def _outputs(self, count: int) -> list[np.ndarray]:
        """Return an array for each layer's output, kept for the next batch of this size."""
        if count not in self.buffers:
            units = [shape[0] for shape in self.shapes[1::2]]
            self.buffers[count] = [np.empty((count, n), np.float32) for n in units]
        return self.buffers[count]

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self._outputs(len(x))
        values = x
        for layer, out in enumerate(outputs):
            kernel, bias = self.parameters[2 * layer : 2 * layer + 2]
            np.matmul(values, kernel, out=out)
            np.add(out, bias, out=out)
            if layer < len(outputs) - 1:
                np.maximum(out, 0, out=out)
            values = out
        np.subtract(values, values.max(axis=1, keepdims=True), out=values)
        np.exp(values, out=values)
        np.divide(values, values.sum(axis=1, keepdims=True), out=values)
        return values

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        order = self.generator.permutation(len(x))
        batch = np.empty((batch_size, x.shape[1]), x.dtype)
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            np.take(x, rows, axis=0, out=batch, mode="clip")  # without a buffer in between
            self._backward(batch, y[rows])
            self._adam()

    def _backward(self, x: np.ndarray, y: np.ndarray) -> None:
        delta = self.predict(x)
        inputs = [x, *self._outputs(len(x))[:-1]]
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        for layer in reversed(range(len(inputs))):
            values = inputs[layer]
            np.matmul(values.T, delta, out=self.gradients[2 * layer])
            np.sum(delta, axis=0, out=self.gradients[2 * layer + 1])
            if layer > 0:
                active = values > 0
                np.matmul(delta, self.parameters[2 * layer].T, out=values)
                delta = np.multiply(values, active, out=values)

    def _adam(self) -> None:
        self.step += 1
        rate = LEARNING_RATE * np.sqrt(1 - BETA_2**self.step) / (1 - BETA_1**self.step)
        g, m, v, scratch = self.gradient, self.m, self.v, self.scratch
        m *= np.float32(BETA_1)
        m += np.multiply(g, np.float32(1 - BETA_1), out=scratch)
        v *= np.float32(BETA_2)
        np.multiply(g, g, out=scratch)
        v += np.multiply(scratch, np.float32(1 - BETA_2), out=scratch)
        np.sqrt(v, out=scratch)
        scratch += np.float32(EPSILON)
        np.divide(m, scratch, out=scratch)
        self.flat -= np.multiply(scratch, np.float32(rate), out=scratch)

    def weights(self) -> Weights:
        return self.parameters
