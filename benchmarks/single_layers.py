"""The layers to be timed by themselves: their sizes, weights and data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Weights = list[np.ndarray]

ROWS = 128
"""Of a batch."""

WIDTHS = (64, 1024)
RECURRENT_WIDTHS = (64, 256)
STEPS = 20
"""Of a sequence that SimpleRNN reads; each has as many features as the layer has units."""

TABLE_ROWS, TABLE_COLUMNS, INDICES = 10_000, 16, 8
"""Embedding: the table, and how many of its rows stand for one row of the input."""

PIECES = 2
EPSILON, MOMENTUM = 1e-3, 0.99
RATE, DEVIATION = 0.2, 0.1
L1, L2 = 1e-3, 1e-3
SLOPE = 0.2
SCALE, OFFSET = 0.5, 0.25

INPUTS = 4
"""Of the dense layer below the one that is trained: few, so that it costs little."""

ACTIVATIONS = {
    "ReLU": "relu6",  # with a largest value; plain relu is part of the dense layer
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "GELU": "gelu",
    "SELU": "selu",
    "Softmax": "softmax",
}
NORMALISATIONS = (
    "BatchNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "Normalization",
    "Rescaling",
)
UNITS = ("PReLU", "Maxout", "Residual")
NOISE = ("Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout")
OF_TRAINING = (*NOISE, "ActivityRegularization")
"""Layers that pass on their input in inference."""

NOTHING = "dense layer below alone"
"""What is in a training step besides the layer under test."""


@dataclass(frozen=True)
class TimedLayer:
    """A layer and its width.

    Attributes
    ----------
    kind : str
        Its class in Keras, or `NOTHING`.
    features : int
        Of its input and output, for each step of a sequence.
    """

    kind: str
    features: int

    @property
    def inputs(self) -> int:
        """Numbers in a row of its input."""
        if self.kind == "Embedding":
            return INDICES
        return self.features * STEPS if self.kind == "SimpleRNN" else self.features

    @property
    def outputs(self) -> int:
        """Numbers in a row of its output."""
        return INDICES * TABLE_COLUMNS if self.kind == "Embedding" else self.features

    @property
    def has_below(self) -> bool:
        """Whether something can be trained below: not where the input is row numbers."""
        return self.kind != "Embedding"

    @property
    def steps(self) -> int:
        """Steps of training that are timed together: at most 8 MB of targets."""
        return min(64, 2**21 // (ROWS * self.outputs))

    @property
    def learning_rate(self) -> float:
        """Rate of SGD, small enough for any number of steps; softmax has small gradients."""
        return float(self.features) if self.kind == "Softmax" else 0.5

    def initial_weights(self) -> Weights:
        """Return the layer's weights in Keras' order, float32, the same at every call."""
        n = self.features
        generator = np.random.default_rng(5)

        def uniform(low: float, high: float, *shape: int) -> np.ndarray:
            return generator.uniform(low, high, shape).astype(np.float32)

        def kernel(inputs: int, units: int) -> np.ndarray:
            limit = np.sqrt(6 / (inputs + units))
            return uniform(-limit, limit, inputs, units)

        if self.kind == "BatchNormalization":
            return [uniform(0.5, 1.5, n), uniform(-1, 1, n), uniform(-1, 1, n), uniform(0.5, 2, n)]
        if self.kind == "LayerNormalization":
            return [uniform(0.5, 1.5, n), uniform(-1, 1, n)]
        if self.kind == "RMSNormalization":
            return [uniform(0.5, 1.5, n)]
        if self.kind == "Normalization":
            return [uniform(-1, 1, n), uniform(0.5, 2, n)]
        if self.kind == "PReLU":
            return [uniform(0.1, 0.4, n)]
        if self.kind == "Maxout":
            return [kernel(n, PIECES * n), uniform(-0.1, 0.1, PIECES * n)]
        if self.kind == "Residual":
            return [kernel(n, n), uniform(-0.1, 0.1, n)]
        if self.kind == "SimpleRNN":
            return [kernel(n, n), kernel(n, n), uniform(-0.1, 0.1, n)]
        if self.kind == "Embedding":
            return [uniform(-0.05, 0.05, TABLE_ROWS, TABLE_COLUMNS)]
        return []

    @property
    def trained(self) -> int:
        """How many of the weights, the first ones, training changes by their gradient."""
        count = {"BatchNormalization": 2, "Normalization": 0}
        return count.get(self.kind, len(self.initial_weights()))

    def weights_below(self) -> Weights:
        """Return kernel and bias of the dense layer below."""
        generator = np.random.default_rng(6)
        kernel = generator.uniform(-1, 1, (INPUTS, self.inputs)).astype(np.float32)
        return [kernel, np.zeros(self.inputs, np.float32)]

    def input_rows(self, count: int) -> np.ndarray:
        """Return rows for the layer itself, float32; row numbers for an embedding."""
        generator = np.random.default_rng(7)
        if self.kind == "Embedding":
            indices = generator.integers(0, TABLE_ROWS, (count, INDICES))
            return indices.astype(np.float32)
        shape = (count, STEPS, self.features) if self.kind == "SimpleRNN" else (count, self.inputs)
        return generator.standard_normal(shape, dtype=np.float32)

    def samples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows for the dense layer below, and targets, in [0, 1), float32."""
        generator = np.random.default_rng(8)
        y = generator.random((count, self.outputs), dtype=np.float32)
        if not self.has_below:
            return self.input_rows(count), y
        return generator.random((count, INPUTS), dtype=np.float32), y


def moments_of_noise(kind: str) -> tuple[float, float]:
    """Return mean and standard deviation of output times slope, where the input is 1.

    Half the gradient of the output's square: both passes have to use the same noise for it.
    """
    kept = 1 - RATE
    spread = RATE / kept  # the variance of Gaussian dropout's factors
    if kind == "Dropout":
        return 1 / kept, np.sqrt(RATE / kept**3)
    if kind == "GaussianNoise":
        return 1.0, DEVIATION
    if kind == "GaussianDropout":
        return 1 + spread, np.sqrt(4 * spread + 2 * spread**2)
    scale, offset = alpha_dropout_line()
    value = scale * (scale + offset)  # of what is kept; what is dropped has slope 0
    return kept * value, value * np.sqrt(RATE * kept)


SATURATION = -1.7580993408473766
"""Where selu goes far below zero: what alpha dropout puts in the place of what it drops."""


def alpha_dropout_line() -> tuple[float, float]:
    """Return scale and offset of alpha dropout."""
    scale = ((1 - RATE) * (1 + RATE * SATURATION**2)) ** -0.5
    return scale, -scale * SATURATION * RATE
