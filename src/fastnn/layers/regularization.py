"""Layers that act in training only, against overfitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._registry import real
from fastnn._validation import whole_number
from fastnn.layers._layer import Layer, Shape, features_of
from fastnn.program import DropoutOp, LayerOp, Op
from fastnn.utils import generator


class _NoiseLayer(Layer):
    """A layer with noise of its own, from a counter-based generator.

    The noise is a function of seed, step, row and column, and of nothing else.
    """

    def __init__(self, seed: int | None, options: dict[str, Any]) -> None:
        self.seed = None if seed is None else whole_number(seed, "seed", minimum=0)
        if self.seed is not None and self.seed >= 2**64:
            raise ValueError(f"seed must be less than 2**64, got {seed}")
        super().__init__(**options)
        drawn = generator().integers(2**64, dtype=np.uint64) if seed is None else seed
        self._key = int(drawn)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def _op(self, kernel: str, input_shape: Shape, **options: float) -> list[Op]:
        width = features_of(input_shape)
        return [LayerOp(kernel, width, width, (), options, self._key)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


class Dropout(_NoiseLayer):
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
        super().__init__(seed, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        width = features_of(input_shape)
        return [DropoutOp(width, width, self.rate, self._key)] if self.rate else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class AlphaDropout(_NoiseLayer):
    """Dropout for selu: keeps mean and variance of its inputs, where these are 0 and 1.

    In training, inputs are set to the value that selu goes to far below zero, at random, and all
    are rescaled; otherwise they are passed on unchanged.

    Parameters
    ----------
    rate : float
        Fraction to set to that value, in [0, 1).
    seed : int, optional
        See `Dropout`.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter (2017). Self-normalizing neural networks.
    arXiv:1706.02515.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **options: Any) -> None:
        self.rate = real(rate, "rate", "[0, 1)")
        super().__init__(seed, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("alpha_dropout", input_shape, rate=self.rate) if self.rate else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class GaussianNoise(_NoiseLayer):
    """Adds normal noise in training, and passes inputs on unchanged otherwise.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, at least 0.
    seed : int, optional
        See `Dropout`.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    C. M. Bishop (1995). Training with noise is equivalent to Tikhonov regularization. Neural
    Computation 7, 108-116.
    """

    def __init__(self, stddev: float, *, seed: int | None = None, **options: Any) -> None:
        self.stddev = real(stddev, "stddev", "[0, inf)")
        super().__init__(seed, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("gaussian_noise", input_shape, stddev=self.stddev) if self.stddev else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(_NoiseLayer):
    """Multiplies by normal noise in training, and passes inputs on unchanged otherwise.

    The noise has mean 1 and variance ``rate / (1 - rate)``, that of dropout at this rate.

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
        See `Dropout`.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.

    References
    ----------
    N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting, section 10. Journal of Machine Learning Research 15, 1929-1958.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **options: Any) -> None:
        self.rate = real(rate, "rate", "[0, 1)")
        super().__init__(seed, options)

    def lower(self, input_shape: Shape) -> list[Op]:
        return self._op("gaussian_dropout", input_shape, rate=self.rate) if self.rate else []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class ActivityRegularization(Layer):
    """Passes its input on, and adds a penalty on it to the loss.

    The penalty of a batch is the mean over its samples of ``sum(l1 * abs(x) + l2 * x**2)``.

    Parameters
    ----------
    l1, l2 : float, default 0
        At least 0.
    **options
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see `Layer`.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        self.l1, self.l2 = real(l1, "l1", "[0, inf)"), real(l2, "l2", "[0, inf)")
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, input_shape: Shape) -> list[Op]:
        if not self.l1 and not self.l2:
            return []
        width = features_of(input_shape)
        options = {"l1": self.l1, "l2": self.l2}
        return [LayerOp("activity_regularization", width, width, (), options)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l1": self.l1, "l2": self.l2}
