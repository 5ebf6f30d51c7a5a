"""What every contender can do."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from networks import Weights
from single_layers import TimedLayer


class Contender(Protocol):
    """A library at work on one network.

    Attributes
    ----------
    module : str
        Whose ``__version__`` is stated.
    late_epsilon : bool
        Where Adam adds epsilon; see `networks.ExactNetwork`.
    """

    module: ClassVar[str]
    late_epsilon: ClassVar[bool] = False

    def __init__(self, weights: Weights) -> None: ...

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (n, classes), in the fastest way."""

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        """Run one epoch over shuffled rows."""

    def fit(self, x: np.ndarray, y: np.ndarray, batch_size: int, epochs: int) -> None:
        """Run several epochs."""
        for _ in range(epochs):
            self.train(x, y, batch_size)

    def weights(self) -> Weights:
        """Return kernels and biases as they are now."""


class LayerContender(Protocol):
    """A library at work on one layer, with a dense layer below it or none.

    A step of training is of plain SGD, on the mean squared error.
    """

    def __init__(self, layer: TimedLayer, weights: Weights, below: Weights | None) -> None: ...

    def prepared(self, x: np.ndarray) -> Any:
        """Return `x` in the type that the library takes the fastest: done once, not timed."""
        return x

    def forward(self, x: Any) -> np.ndarray:
        """Return the output in inference."""

    def train(self, x: Any, y: np.ndarray) -> None:
        """Run one epoch over shuffled rows, in batches of `single_layers.ROWS`."""

    def weights(self) -> Weights:
        """Return what is trained, as it is now: below, then of the layer."""
