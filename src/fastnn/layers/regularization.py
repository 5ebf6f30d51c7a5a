"""Layers that act in training only, against overfitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number
from fastnn.layers._layer import Layer, Shape, features_of
from fastnn.program import DropoutOp, Op
from fastnn.utils import generator


class Dropout(Layer):
    """Sets inputs to zero at random in training, and passes them on unchanged otherwise.

    Inputs that are kept are multiplied by ``1 / (1 - rate)``, so that the expected sum stays.

    Parameters
    ----------
    rate : float
        Fraction to set to zero, in [0, 1).
    seed : int, optional
        From 0 to 2**64 - 1. Default: drawn from the generator that
        `fastnn.utils.set_random_seed` seeds.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``, ``dtype``: see `Layer`.

    References
    ----------
    N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting. Journal of Machine Learning Research 15, 1929-1958.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **options: Any) -> None:
        self.rate = real(rate, "rate", "[0, 1)")
        self.seed = None if seed is None else whole_number(seed, "seed", minimum=0)
        if self.seed is not None and self.seed >= 2**64:
            raise ValueError(f"seed must be less than 2**64, got {seed}")
        super().__init__(**options)
        drawn = generator().integers(2**64, dtype=np.uint64) if seed is None else seed
        self._key = int(drawn)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        width = features_of(input_shape)
        return [DropoutOp(width, width, self.rate, self._key)] if self.rate else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
