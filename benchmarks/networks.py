"""The networks to be timed, their data, and what they should compute, in float64.

All of them are dense layers with relu, softmax at the end, categorical cross-entropy on class
numbers, and Adam with Keras' defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Weights = list[np.ndarray]  # kernel, bias, kernel, bias, ...

Sizes = Sequence[int]  # inputs, units of each layer

TINY = (4, 8, 8, 3)
DIGITS = (64, 64, 10)
ONE_HIDDEN = (784, 128, 10)
TWO_HIDDEN = (784, 256, 128, 10)
WIDE = (784, 1024, 1024, 10)
WIDER = (2048, 2048, 2048, 10)

PREDICTED = (TINY, DIGITS, TWO_HIDDEN, WIDE, WIDER)
PREDICTED_BATCHES = (1, 32, 256, 4096)
TRAINED = (TINY, DIGITS, ONE_HIDDEN, TWO_HIDDEN, WIDE)
TRAINED_BATCHES = (1, 32, 128, 1024, 4096)
FITTED = ((TINY, 32), (TINY, 160), (DIGITS, 160), (DIGITS, 1440))  # and rows
FIT_BATCH, FIT_EPOCHS = 32, 20

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


def network_name(sizes: Sizes) -> str:
    """Return a name such as ``"64-64-10"``."""
    return "-".join(map(str, sizes))


def case_name(sizes: Sizes, batch_size: int) -> str:
    """Return a name such as ``"64-64-10, batch 32"``."""
    return f"{network_name(sizes)}, batch {batch_size}"


def products(sizes: Sizes) -> int:
    """Return how many products of an input and a weight one row takes."""
    return sum(inputs * units for inputs, units in pairwise(sizes))


def prediction_flops(sizes: Sizes, batch_size: int) -> int:
    """Return the floating-point operations of the matrix products of a prediction."""
    return 2 * batch_size * products(sizes)


def training_flops(sizes: Sizes, batch_size: int) -> int:
    """Return those of a training step, which needs no gradient of the first layer's input."""
    return 2 * batch_size * (3 * products(sizes) - sizes[0] * sizes[1])


def steps_in_epoch(sizes: Sizes, batch_size: int) -> int:
    """Return how many steps are timed together, from 128 of a small one to 2 of a large one."""
    rows, flops = 65536, 1e10
    steps = min(rows // batch_size, int(flops / training_flops(sizes, batch_size)))
    return min(128, max(2, steps))


def initial_weights(sizes: Sizes) -> Weights:
    """Return Glorot-uniform kernels and small biases, float32, the same at every call."""
    generator = np.random.default_rng(1)
    weights = []
    for inputs, units in pairwise(sizes):
        limit = np.sqrt(6 / (inputs + units))
        weights.append(generator.uniform(-limit, limit, (inputs, units)).astype(np.float32))
        weights.append(generator.uniform(-0.1, 0.1, units).astype(np.float32))
    return weights


def samples(sizes: Sizes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs in [0, 1), float32, and class numbers, int32."""
    generator = np.random.default_rng(2)
    x = generator.random((count, sizes[0]), dtype=np.float32)
    return x, generator.integers(0, sizes[-1], count, dtype=np.int32)


class ExactNetwork:
    """The plainest way to compute it, in float64: the judge of all contenders.

    `late_epsilon` says where Adam adds epsilon: to the root of the raw second moment (Keras,
    and section 2 of the paper), or to that of the bias-corrected one (PyTorch, and its
    algorithm 1).
    """

    def __init__(self, weights: Weights, late_epsilon: bool = False) -> None:
        self.weights = [w.astype(np.float64) for w in weights]
        self.m = [np.zeros_like(w) for w in self.weights]
        self.v = [np.zeros_like(w) for w in self.weights]
        self.step = 0
        self.late_epsilon = late_epsilon

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (n, classes)."""
        return self._forward(x)[-1]

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one step of Adam on all rows."""
        self.step += 1
        for w, g, m, v in zip(self.weights, self._gradients(x, y), self.m, self.v, strict=True):
            m[...] = BETA_1 * m + (1 - BETA_1) * g
            v[...] = BETA_2 * v + (1 - BETA_2) * g * g
            correction = np.sqrt(1 - BETA_2**self.step)
            epsilon = EPSILON * correction if self.late_epsilon else EPSILON
            rate = LEARNING_RATE * correction / (1 - BETA_1**self.step)
            w -= rate * m / (np.sqrt(v) + epsilon)

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the inputs of every layer, and the probabilities."""
        values = [x.astype(np.float64)]
        for kernel, bias in zip(self.weights[::2], self.weights[1::2], strict=True):
            values.append(np.maximum(values[-1] @ kernel + bias, 0))
        logits = values[-2] @ self.weights[-2] + self.weights[-1]
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        values[-1] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return values

    def _gradients(self, x: np.ndarray, y: np.ndarray) -> Weights:
        *inputs, probabilities = self._forward(x)
        delta = (probabilities - np.eye(probabilities.shape[1])[y]) / len(x)
        gradients: Weights = []
        for values, kernel in zip(inputs[::-1], self.weights[-2::-2], strict=True):
            gradients[:0] = [values.T @ delta, delta.sum(axis=0)]
            delta = (delta @ kernel.T) * (values > 0)
        return gradients
