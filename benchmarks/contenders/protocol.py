"""What every contender can do."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from networks import Weights


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

    def weights(self) -> Weights:
        """Return kernels and biases as they are now."""
