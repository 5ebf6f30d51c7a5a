"""A layer on its own, called on an array without a model around it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from fastnn._validation import feature_shape, numeric_array, rows
from fastnn.layers._layer import build_layers, features_of
from fastnn.native.engine import NativeEngine
from fastnn.program import Program
from fastnn.reference.engine import outputs_in_training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastnn.layers import Layer, Shape

_passes = count(2**62)
"""Numbers of passes in training mode: each draws other noise, and none that of a fit."""


def call_layer(layer: Layer, x: ArrayLike, training: bool) -> np.ndarray:
    """Return the output of `layer` for `x`; build it for the shape of `x` if need be."""
    given = numeric_array(x, "x")
    if given.ndim < 2:
        raise ValueError(f"{layer._title} expects x of shape (n, ...), got {given.shape}")
    shape: Shape = (None, *feature_shape(given.shape[1:], "the shape of a sample of x"))
    output_shape = layer.compute_output_shape(shape)
    dtype = _dtype(layer)
    if not layer.built:
        build_layers([layer], shape, dtype)
    features = rows(given, given.shape[1:], dtype, finite=False)
    layer.check_inputs(features)
    program = Program(layer.lower(shape), features_of(shape), dtype)
    if training:
        out = outputs_in_training(program.ops, features, next(_passes))
    else:
        out = np.empty((len(features), program.outputs), dtype)
        NativeEngine(program).forward(features, out)
    return out.reshape(len(features), *output_shape[1:])


def _dtype(layer: Layer) -> np.dtype:
    return np.dtype(layer.dtype or np.float32)
