"""JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class JaxNetwork(Contender):
    """JAX, compiled by XLA; epochs are one compiled loop (`lax.scan`)."""

    module = "jax"

    def __init__(self, weights: Weights) -> None:
        import jax

        self.state = tuple(
            [jax.numpy.array(w * factor) for w in weights] for factor in (1, 0, 0)
        )  # parameters, m, v
        self.step = 0
        self.given: tuple[np.ndarray, np.ndarray] | None = None
        self.generator = np.random.default_rng(0)
        self.compiled_predict = jax.jit(lambda p, x: jax.nn.softmax(self._logits(p, x)))
        self.compiled_epoch = jax.jit(self._epoch, donate_argnums=0)

    @staticmethod
    def _logits(parameters: list[Any], x: Any) -> Any:
        import jax

        *hidden, last = zip(parameters[::2], parameters[1::2], strict=True)
        for kernel, bias in hidden:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ last[0] + last[1]

    def _loss(self, parameters: list[Any], x: Any, y: Any) -> Any:
        import jax

        logarithms = jax.nn.log_softmax(self._logits(parameters, x))
        return -jax.numpy.take_along_axis(logarithms, y[:, None], axis=1).mean()

    def _epoch(self, state: Any, x: Any, y: Any, batches: Any, rates: Any) -> Any:
        import jax

        def step(state: Any, batch: Any) -> Any:
            rows, rate = batch
            parameters, m, v = state
            gradients = jax.grad(self._loss)(parameters, x[rows], y[rows])
            m = [BETA_1 * a + (1 - BETA_1) * g for a, g in zip(m, gradients, strict=True)]
            v = [BETA_2 * b + (1 - BETA_2) * g * g for b, g in zip(v, gradients, strict=True)]
            moved = [
                p - rate * a / (jax.numpy.sqrt(b) + EPSILON)
                for p, a, b in zip(parameters, m, v, strict=True)
            ]
            return (moved, m, v), None

        return jax.lax.scan(step, state, (batches, rates))[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.compiled_predict(self.state[0], x))

    def _on_device(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Return the data as JAX's own arrays, converted once for all epochs."""
        import jax

        if self.given is None or self.given[0] is not x:
            self.given, self.data = (x, y), jax.device_put((x, y))
        return self.data

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.fit(x, y, batch_size, 1)

    def fit(self, x: np.ndarray, y: np.ndarray, batch_size: int, epochs: int) -> None:
        orders = [self.generator.permutation(len(x)) for _ in range(epochs)]
        batches = np.concatenate(orders).astype(np.int32).reshape(-1, batch_size)
        t = np.arange(self.step + 1, self.step + 1 + len(batches))
        rates = LEARNING_RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        self.state = self.compiled_epoch(
            self.state, *self._on_device(x, y), batches, rates.astype(np.float32)
        )
        self.state[0][0].block_until_ready()
        self.step += len(batches)

    def weights(self) -> Weights:
        return [np.asarray(p) for p in self.state[0]]
