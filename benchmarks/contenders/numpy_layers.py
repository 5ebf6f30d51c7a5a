"""The layers of the NumPy contender, forward and backward, float32.

A layer keeps its arrays from call to call. Products with masks take the place of `np.copyto` with
`where`, which is many times slower. The input of a layer has to stay as it is until `backward`,
which may overwrite the gradient that it gets.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import single_layers as sizes
from elementwise import scipy_functions
from single_layers import ROWS, TimedLayer, Weights, alpha_dropout_line

erf, *_ = scipy_functions()


class Layer:
    """Base: passes on what it gets."""

    def __init__(self, features: int, weights: Weights, trained: int = 0) -> None:
        self.parameters = weights[:trained]
        self.fixed = weights[trained:]
        self.gradients = [np.empty_like(w) for w in self.parameters]
        self.y, self.gx, self.scratch = np.empty((3, ROWS, features), np.float32)
        self.active = np.empty((ROWS, features), bool)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the output in inference."""
        return self.forward(x)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output in training."""
        return x

    def backward(self, g: np.ndarray) -> np.ndarray:
        """Return the gradient of the input; keep those of the parameters."""
        return g

    def update(self, rate: float) -> None:
        """Take a step of SGD."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            gradient *= np.float32(rate)
            parameter -= gradient


class Dense(Layer):
    """Kernel and bias, and no gradient of the input: the layer below."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.matmul(x, self.parameters[0], out=self.y)
        return np.add(self.y, self.parameters[1], out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.matmul(self.x.T, g, out=self.gradients[0])
        np.sum(g, axis=0, out=self.gradients[1])
        return g


# Activations


class ReLU(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.clip(x, 0, 6, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.equal(self.x, self.y, out=self.active)
        return np.multiply(g, self.active, out=self.gx)


class LeakyReLU(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.multiply(x, np.float32(sizes.SLOPE), out=self.y)
        return np.maximum(x, self.y, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.greater(self.x, 0, out=self.active)
        np.multiply(self.active, np.float32(1 - sizes.SLOPE), out=self.gx)
        self.gx += np.float32(sizes.SLOPE)
        return np.multiply(g, self.gx, out=self.gx)


class ELU(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        np.minimum(x, 0, out=self.scratch)
        np.expm1(self.scratch, out=self.scratch)
        np.maximum(x, 0, out=self.y)
        return np.add(self.y, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        self.scratch += 1  # the slope: exp(x), and 1 where x is positive
        return np.multiply(g, self.scratch, out=self.gx)


class SELU(Layer):
    scale, alpha = np.float32(1.0507009873554805), np.float32(1.6732632423543772)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.minimum(x, 0, out=self.scratch)
        np.expm1(self.scratch, out=self.scratch)
        self.scratch *= self.alpha * self.scale
        np.maximum(x, 0, out=self.y)
        self.y *= self.scale
        return np.add(self.y, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.greater(self.x, 0, out=self.active)
        self.scratch += self.alpha * self.scale
        np.multiply(self.active, self.scale - self.alpha * self.scale, out=self.gx)
        self.gx += self.scratch
        return np.multiply(g, self.gx, out=self.gx)


class GELU(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.multiply(x, np.float32(np.sqrt(0.5)), out=self.scratch)
        erf(self.scratch, self.scratch)
        self.scratch += 1
        self.scratch *= np.float32(0.5)
        return np.multiply(x, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.multiply(self.x, self.x, out=self.gx)
        self.gx *= np.float32(-0.5)
        np.exp(self.gx, out=self.gx)
        self.gx *= self.x
        self.gx *= np.float32(1 / np.sqrt(2 * np.pi))
        self.gx += self.scratch
        return np.multiply(g, self.gx, out=self.gx)


class Softmax(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        np.subtract(x, x.max(axis=1, keepdims=True), out=self.y)
        np.exp(self.y, out=self.y)
        return np.divide(self.y, self.y.sum(axis=1, keepdims=True), out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        g -= np.einsum("ij,ij->i", g, self.y)[:, None]
        return np.multiply(g, self.y, out=self.gx)


# Normalisations


class BatchNormalization(Layer):
    def predict(self, x: np.ndarray) -> np.ndarray:
        (gamma, beta), (mean, variance) = self.parameters, self.fixed
        factor = gamma / np.sqrt(variance + np.float32(sizes.EPSILON))
        np.multiply(x, factor, out=self.y)
        return np.add(self.y, beta - mean * factor, out=self.y)

    def forward(self, x: np.ndarray) -> np.ndarray:
        mean = x.mean(axis=0)
        np.subtract(x, mean, out=self.scratch)
        variance = np.einsum("ij,ij->j", self.scratch, self.scratch) / np.float32(ROWS)
        self.factor = 1 / np.sqrt(variance + np.float32(sizes.EPSILON))
        self.scratch *= self.factor
        for moving, now in zip(self.fixed, (mean, variance), strict=True):
            moving += np.float32(1 - sizes.MOMENTUM) * (now - moving)
        np.multiply(self.scratch, self.parameters[0], out=self.y)
        return np.add(self.y, self.parameters[1], out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        of_gamma, of_beta = self.gradients
        np.einsum("ij,ij->j", g, self.scratch, out=of_gamma)
        np.sum(g, axis=0, out=of_beta)
        np.multiply(self.scratch, of_gamma / np.float32(-ROWS), out=self.gx)
        self.gx += g
        self.gx -= of_beta / np.float32(ROWS)
        return np.multiply(self.gx, self.parameters[0] * self.factor, out=self.gx)


class RowNormalization(Layer):
    """Of rows: ``z = (x - mean) * factor``."""

    centred: ClassVar[bool] = False
    mean_square: ClassVar[bool] = True  # in place of the sum of squares

    def forward(self, x: np.ndarray) -> np.ndarray:
        z = self.scratch
        self.count = np.float32(x.shape[1] if self.mean_square else 1)
        if self.centred:
            np.subtract(x, x.mean(axis=1, keepdims=True), out=z)
            x = z
        squares = np.einsum("ij,ij->i", x, x)[:, None] / self.count
        self.factor = 1 / np.sqrt(squares + np.float32(sizes.EPSILON * self.mean_square))
        np.multiply(x, self.factor, out=z)
        if not self.parameters:
            return z
        np.multiply(z, self.parameters[0], out=self.y)
        return np.add(self.y, self.parameters[1], out=self.y) if self.centred else self.y

    def backward(self, g: np.ndarray) -> np.ndarray:
        z = self.scratch
        if self.parameters:
            np.einsum("ij,ij->j", g, z, out=self.gradients[0])
        if self.centred:
            np.sum(g, axis=0, out=self.gradients[1])
        if self.parameters:
            g *= self.parameters[0]
        slope = np.einsum("ij,ij->i", g, z)[:, None] / self.count
        np.multiply(z, slope, out=self.gx)
        np.subtract(g, self.gx, out=self.gx)
        if self.centred:
            self.gx -= g.mean(axis=1, keepdims=True)
        return np.multiply(self.gx, self.factor, out=self.gx)


class LayerNormalization(RowNormalization):
    centred = True


class RMSNormalization(RowNormalization):
    pass


class UnitNormalization(RowNormalization):
    mean_square = False


class Normalization(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        mean, variance = self.fixed
        self.factor = 1 / np.sqrt(variance)
        np.subtract(x, mean, out=self.y)
        return np.multiply(self.y, self.factor, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        return np.multiply(g, self.factor, out=self.gx)


class Rescaling(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        np.multiply(x, np.float32(sizes.SCALE), out=self.y)
        return np.add(self.y, np.float32(sizes.OFFSET), out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        return np.multiply(g, np.float32(sizes.SCALE), out=self.gx)


# Units


class PReLU(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.minimum(x, 0, out=self.scratch)
        np.multiply(self.scratch, self.parameters[0], out=self.y)
        np.maximum(x, 0, out=self.gx)
        return np.add(self.y, self.gx, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.einsum("ij,ij->j", g, self.scratch, out=self.gradients[0])
        np.greater(self.x, 0, out=self.active)
        np.multiply(self.active, 1 - self.parameters[0], out=self.gx)
        self.gx += self.parameters[0]
        return np.multiply(g, self.gx, out=self.gx)


class Maxout(Layer):
    def __init__(self, features: int, weights: Weights, trained: int = 0) -> None:
        super().__init__(features, weights, trained)
        self.pieces, self.of_pieces = np.empty((2, ROWS, sizes.PIECES * features), np.float32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.matmul(x, self.parameters[0], out=self.pieces)
        self.pieces += self.parameters[1]
        return np.maximum(*np.split(self.pieces, sizes.PIECES, axis=1), out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        first, second = np.split(self.of_pieces, sizes.PIECES, axis=1)
        np.greater_equal(self.pieces[:, : g.shape[1]], self.y, out=self.active)
        np.multiply(g, self.active, out=first)
        np.subtract(g, first, out=second)
        np.matmul(self.x.T, self.of_pieces, out=self.gradients[0])
        np.sum(self.of_pieces, axis=0, out=self.gradients[1])
        return np.matmul(self.of_pieces, self.parameters[0].T, out=self.gx)


class Residual(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.matmul(x, self.parameters[0], out=self.scratch)
        self.scratch += self.parameters[1]
        np.maximum(self.scratch, 0, out=self.scratch)
        return np.add(x, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.greater(self.scratch, 0, out=self.active)
        np.multiply(g, self.active, out=self.scratch)
        np.matmul(self.x.T, self.scratch, out=self.gradients[0])
        np.sum(self.scratch, axis=0, out=self.gradients[1])
        np.matmul(self.scratch, self.parameters[0].T, out=self.gx)
        return np.add(self.gx, g, out=self.gx)


class Embedding(Layer):
    """Its update touches no rows of the table but those that were seen."""

    def __init__(self, features: int, weights: Weights, trained: int = 0) -> None:
        super().__init__(features, weights, trained)
        self.taken = np.empty((ROWS, sizes.INDICES, sizes.TABLE_COLUMNS), np.float32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.take(self.parameters[0], x, axis=0, out=self.taken, mode="clip")
        return self.taken.reshape(ROWS, -1)

    def backward(self, g: np.ndarray) -> np.ndarray:
        self.of_rows = g.reshape(-1, sizes.TABLE_COLUMNS)
        return g

    def update(self, rate: float) -> None:
        np.subtract.at(self.parameters[0], self.x.ravel(), np.float32(rate) * self.of_rows)


class SimpleRNN(Layer):
    """Steps come first in its own arrays, so that products of all steps are one product."""

    def __init__(self, features: int, weights: Weights, trained: int = 0) -> None:
        super().__init__(sizes.STEPS * features, weights, trained)
        shape = (sizes.STEPS, ROWS, features)
        self.x, self.h, self.of_z, self.of_x = np.empty((4, *shape), np.float32)
        self.back, self.product = np.empty((2, ROWS, features), np.float32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        kernel, recurrent, bias = self.parameters
        h, n = self.h, len(bias)
        np.copyto(self.x, x.reshape(ROWS, sizes.STEPS, n).swapaxes(0, 1))
        np.matmul(self.x.reshape(-1, n), kernel, out=h.reshape(-1, n))
        h += bias
        for t in range(sizes.STEPS):
            if t:
                np.matmul(h[t - 1], recurrent, out=self.product)
                h[t] += self.product
            np.tanh(h[t], out=h[t])
        return h[-1]

    def backward(self, g: np.ndarray) -> np.ndarray:
        kernel, recurrent, bias = self.parameters
        h, of_z, n = self.h, self.of_z, len(bias)
        for t in reversed(range(sizes.STEPS)):
            np.multiply(h[t], h[t], out=of_z[t])
            np.subtract(1, of_z[t], out=of_z[t])
            of_z[t] *= g
            g = np.matmul(of_z[t], recurrent.T, out=self.back) if t else g
        flat = of_z.reshape(-1, n)
        np.matmul(self.x.reshape(-1, n).T, flat, out=self.gradients[0])
        np.matmul(h[:-1].reshape(-1, n).T, of_z[1:].reshape(-1, n), out=self.gradients[1])
        np.sum(flat, axis=0, out=self.gradients[2])
        np.matmul(flat, kernel.T, out=self.of_x.reshape(-1, n))
        np.copyto(self.gx.reshape(ROWS, sizes.STEPS, n), self.of_x.swapaxes(0, 1))
        return self.gx


# Layers of training


class NoiseLayer(Layer):
    def __init__(self, features: int, weights: Weights, trained: int = 0) -> None:
        super().__init__(features, weights, trained)
        self.generator = np.random.Generator(np.random.SFC64(0))

    def choose(self) -> np.ndarray:
        """Return which elements are kept."""
        self.generator.random(out=self.scratch, dtype=np.float32)
        return np.greater_equal(self.scratch, np.float32(sizes.RATE), out=self.active)


class Dropout(NoiseLayer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        np.multiply(self.choose(), np.float32(1 / (1 - sizes.RATE)), out=self.scratch)
        return np.multiply(x, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        return np.multiply(g, self.scratch, out=self.gx)


class AlphaDropout(NoiseLayer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        scale, offset = alpha_dropout_line()
        np.multiply(self.choose(), np.float32(scale), out=self.scratch)
        np.subtract(x, np.float32(sizes.SATURATION), out=self.y)
        self.y *= self.scratch
        self.y += np.float32(scale * sizes.SATURATION + offset)
        return self.y

    def backward(self, g: np.ndarray) -> np.ndarray:
        return np.multiply(g, self.scratch, out=self.gx)


class GaussianNoise(NoiseLayer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.generator.standard_normal(out=self.scratch, dtype=np.float32)
        self.scratch *= np.float32(sizes.DEVIATION)
        return np.add(x, self.scratch, out=self.y)


class GaussianDropout(NoiseLayer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.generator.standard_normal(out=self.scratch, dtype=np.float32)
        self.scratch *= np.float32(np.sqrt(sizes.RATE / (1 - sizes.RATE)))
        self.scratch += 1
        return np.multiply(x, self.scratch, out=self.y)

    def backward(self, g: np.ndarray) -> np.ndarray:
        return np.multiply(g, self.scratch, out=self.gx)


class ActivityRegularization(Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        np.abs(x, out=self.scratch)
        self.penalty = sizes.L1 * self.scratch.sum() + sizes.L2 * np.vdot(x, x)
        return x

    def backward(self, g: np.ndarray) -> np.ndarray:
        np.sign(self.x, out=self.scratch)
        self.scratch *= np.float32(sizes.L1 / ROWS)
        np.multiply(self.x, np.float32(2 * sizes.L2 / ROWS), out=self.gx)
        self.gx += self.scratch
        return np.add(self.gx, g, out=self.gx)


def made(layer: TimedLayer, weights: Weights) -> Layer:
    """Return the layer of this kind."""
    cls = globals()[layer.kind] if layer.kind != sizes.NOTHING else Layer
    return cls(layer.features, weights, layer.trained)
