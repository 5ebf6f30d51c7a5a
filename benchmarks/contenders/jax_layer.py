"""JAX, one layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import single_layers as sizes
from single_layers import TimedLayer, Weights, alpha_dropout_line

from contenders.protocol import LayerContender

Function = Callable[[Any, Any, Any], Any]  # of the input, the weights and a key for noise


class JaxLayer(LayerContender):
    """JAX, compiled by XLA; an epoch is one compiled loop (`lax.scan`)."""

    def __init__(self, layer: TimedLayer, weights: Weights, below: Weights | None) -> None:
        import jax

        self.layer = layer
        self.function = _functions(layer)[layer.kind]
        parameters = [*(below or []), *weights[: layer.trained]]
        self.parameters = [jax.numpy.array(w) for w in parameters]
        self.fixed = [jax.numpy.array(w) for w in weights[layer.trained :]]
        self.below = len(below or [])
        self.key = jax.random.key(0)  # of threefry: five times as fast here as "rbg"
        self.given: np.ndarray | None = None
        self.generator = np.random.default_rng(0)
        inference = _inference(layer)
        self.compiled_forward = jax.jit(lambda x, weights: inference(x, weights, None))
        self.compiled_epoch = jax.jit(self._epoch, donate_argnums=0)

    def prepared(self, x: np.ndarray) -> Any:
        return x.astype(np.int32) if self.layer.kind == "Embedding" else x

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.compiled_forward(x, [*self.parameters, *self.fixed]))

    def _loss(self, parameters: list[Any], fixed: list[Any], x: Any, y: Any, key: Any) -> Any:
        import jax

        below, weights = parameters[: self.below], parameters[self.below :]
        if below:
            x = x @ below[0] + below[1]
        out, fixed = self.function(x, weights + fixed, key), self._renewed(fixed, x)
        loss = jax.numpy.square(out - y).mean()
        if self.layer.kind == "ActivityRegularization":
            penalty = sizes.L1 * jax.numpy.abs(x).sum() + sizes.L2 * jax.numpy.square(x).sum()
            loss = loss + penalty / len(x)
        return loss, fixed

    def _renewed(self, fixed: list[Any], x: Any) -> list[Any]:
        """Return the moving statistics after a batch."""
        if self.layer.kind != "BatchNormalization":
            return fixed
        rest = 1 - sizes.MOMENTUM
        now = (x.mean(axis=0), x.var(axis=0))
        return [m + rest * (n - m) for m, n in zip(fixed, now, strict=True)]

    def _epoch(self, state: Any, x: Any, y: Any, batches: Any, key: Any) -> Any:
        import jax

        rate = self.layer.learning_rate

        def step(state: Any, batch: Any) -> Any:
            rows, number = batch
            parameters, fixed = state
            gradients, fixed = jax.grad(self._loss, has_aux=True)(
                parameters, fixed, x[rows], y[rows], jax.random.fold_in(key, number)
            )
            return ([p - rate * g for p, g in zip(parameters, gradients, strict=True)], fixed), None

        return jax.lax.scan(step, state, (batches, jax.numpy.arange(len(batches))))[0]

    def _on_device(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Return the data as JAX's own arrays, converted once for all epochs."""
        import jax

        if self.given is None or self.given is not x:
            self.given, self.data = x, jax.device_put((x, y))
        return self.data

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        import jax

        batches = self.generator.permutation(len(x)).astype(np.int32).reshape(-1, sizes.ROWS)
        self.key, key = jax.random.split(self.key)
        state = self.parameters, self.fixed
        self.parameters, self.fixed = self.compiled_epoch(
            state, *self._on_device(x, y), batches, key
        )
        self.parameters[0].block_until_ready()

    def weights(self) -> Weights:
        return [np.asarray(p) for p in self.parameters]


def _inference(layer: TimedLayer) -> Function:
    if layer.kind != "BatchNormalization":
        return _functions(layer)[layer.kind]

    def by_moving_statistics(x: Any, w: Any, key: Any) -> Any:
        import jax

        gamma, beta, mean, variance = w
        return (x - mean) * (gamma * jax.lax.rsqrt(variance + sizes.EPSILON)) + beta

    return by_moving_statistics


def _functions(layer: TimedLayer) -> dict[str, Function]:
    """Return the layers by kind."""
    import jax

    numpy, activations, random = jax.numpy, jax.nn, jax.random

    def normalised(x: Any, axis: int) -> Any:
        centred = x - x.mean(axis=axis, keepdims=True)
        squares = numpy.square(centred).mean(axis=axis, keepdims=True)
        return centred * jax.lax.rsqrt(squares + sizes.EPSILON)

    def rms(x: Any, w: Any, key: Any) -> Any:
        squares = numpy.square(x).mean(axis=1, keepdims=True)
        return x * jax.lax.rsqrt(squares + sizes.EPSILON) * w[0]

    def recurrent(x: Any, w: Any, key: Any) -> Any:
        kernel, recurrent_kernel, bias = w
        products = x.reshape(len(x), sizes.STEPS, -1).swapaxes(0, 1) @ kernel + bias
        start = numpy.zeros_like(products[0])

        def step(h: Any, z: Any) -> Any:
            return numpy.tanh(z + h @ recurrent_kernel), None

        return jax.lax.scan(step, start, products)[0]

    def alpha_dropout(x: Any, w: Any, key: Any) -> Any:
        scale, offset = alpha_dropout_line()
        kept = random.bernoulli(key, 1 - sizes.RATE, x.shape)
        return scale * numpy.where(kept, x, sizes.SATURATION) + offset

    def dropout(x: Any, w: Any, key: Any) -> Any:
        kept = random.bernoulli(key, 1 - sizes.RATE, x.shape)
        return numpy.where(kept, x / (1 - sizes.RATE), 0)

    deviation = (sizes.RATE / (1 - sizes.RATE)) ** 0.5
    return {
        sizes.NOTHING: lambda x, w, key: x,
        "ActivityRegularization": lambda x, w, key: x,
        "BatchNormalization": lambda x, w, key: normalised(x, 0) * w[0] + w[1],
        "LayerNormalization": lambda x, w, key: normalised(x, 1) * w[0] + w[1],
        "RMSNormalization": rms,
        "UnitNormalization": lambda x, w, key: (
            x * jax.lax.rsqrt(numpy.square(x).sum(axis=1, keepdims=True))
        ),
        "Normalization": lambda x, w, key: (x - w[0]) * jax.lax.rsqrt(w[1]),
        "Rescaling": lambda x, w, key: x * sizes.SCALE + sizes.OFFSET,
        "PReLU": lambda x, w, key: numpy.where(x > 0, x, w[0] * x),
        "Maxout": lambda x, w, key: numpy.maximum(
            *numpy.split(x @ w[0] + w[1], sizes.PIECES, axis=1)
        ),
        "Residual": lambda x, w, key: x + activations.relu(x @ w[0] + w[1]),
        "SimpleRNN": recurrent,
        "Embedding": lambda x, w, key: w[0][x].reshape(len(x), -1),
        "Dropout": dropout,
        "AlphaDropout": alpha_dropout,
        "GaussianNoise": lambda x, w, key: x + sizes.DEVIATION * random.normal(key, x.shape),
        "GaussianDropout": lambda x, w, key: x * (1 + deviation * random.normal(key, x.shape)),
        "ReLU": lambda x, w, key: activations.relu6(x),
        "LeakyReLU": lambda x, w, key: activations.leaky_relu(x, sizes.SLOPE),
        "ELU": lambda x, w, key: activations.elu(x),
        "GELU": lambda x, w, key: activations.gelu(x, approximate=False),
        "SELU": lambda x, w, key: activations.selu(x),
        "Softmax": lambda x, w, key: activations.softmax(x, axis=1),
    }
