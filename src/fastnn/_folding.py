"""Inference without detours: what training alone needs is left out, what is linear is folded.

A layer that multiplies and adds by feature (batch normalisation in inference, normalisation,
rescaling) goes into the dense layer before it, if that has no activation, or else into the one
after it. Computed in float64 and rounded once, the result is that of the layers to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Layer,
    Normalization,
    Rescaling,
    Residual,
    is_identity,
)
from fastnn.program import training_only


class Part(NamedTuple):
    """A new layer, and the values for its weights."""

    layer: Layer
    weights: list[np.ndarray]


class Affine(NamedTuple):
    """``y = scale * x + offset``, by feature."""

    scale: np.ndarray
    offset: np.ndarray


def folded(stack: Sequence[Layer]) -> list[Part]:
    """Return the parts of a stack that computes what the built `stack` does in inference."""
    parts: list[Part] = []
    waiting: list[tuple[Affine, Part]] = []
    for layer in stack:
        if only_trains(layer):
            continue
        affine = affine_of(layer)
        if affine is not None and not waiting and parts and is_linear(parts[-1].layer):
            parts[-1] = fold_up(parts[-1], affine)
        elif affine is not None:
            waiting.append((affine, copied(layer)))
        elif isinstance(layer, Dense):
            part = copied(layer)
            while waiting:
                part = fold_down(waiting.pop()[0], part)
            parts.append(part)
        else:
            parts += [part for _, part in waiting] + [copied(layer)]
            waiting.clear()
    parts += [part for _, part in waiting]
    return parts or [Part(Activation("linear"), [])]


def only_trains(layer: Layer) -> bool:
    """Whether the built `layer` passes on its input in inference, by the ops it stands for."""
    assert layer.input_shape is not None
    ops = layer.lower(layer.input_shape)
    return bool(ops) and all(training_only(op) for op in ops)


def copied(layer: Layer) -> Part:
    """Return a new layer like `layer`, with its weights."""
    if isinstance(layer, Residual):
        inner = folded(layer.layers)
        block = Residual([part.layer for part in inner], name=layer.name)
        return Part(block, [w for part in inner for w in part.weights])
    weights = [weight.value.astype(np.float64) for weight in layer.weights]
    return Part(unbuilt(layer), weights)


def unbuilt(layer: Layer) -> Layer:
    """Return a layer like `layer` without weights; what it is made with belongs to both."""
    twin = copy.copy(layer)
    twin._build_shape, twin._weights, twin._initializers = None, {}, {}
    return twin


def affine_of(layer: Layer) -> Affine | None:
    """Return what `layer` does in inference, if that is a scale and an offset by feature."""
    if isinstance(layer, BatchNormalization):
        values = {weight.name: weight.value.astype(np.float64) for weight in layer.weights}
        scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + layer.epsilon)
        return Affine(scale, values.get("beta", 0.0) - scale * values["moving_mean"])
    if isinstance(layer, Normalization):
        mean, variance = (weight.value.astype(np.float64) for weight in layer.weights)
        scale = 1 / np.maximum(np.sqrt(variance), layer.EPSILON)
        return Affine(scale, -scale * mean)
    if isinstance(layer, Rescaling):
        return Affine(np.array(layer.scale), np.array(layer.offset))
    return None


def is_linear(layer: Layer) -> bool:
    return isinstance(layer, Dense) and is_identity(layer.activation)


def fold_up(dense: Part, affine: Affine) -> Part:
    """Return a dense layer that ends in `affine`."""
    kernel, bias = kernel_and_bias(dense)
    return with_weights(dense, kernel * affine.scale, bias * affine.scale + affine.offset)


def fold_down(affine: Affine, dense: Part) -> Part:
    """Return a dense layer that begins with `affine`."""
    kernel, bias = kernel_and_bias(dense)
    offset = np.broadcast_to(affine.offset, len(kernel))
    scale = np.broadcast_to(affine.scale, len(kernel))
    return with_weights(dense, scale[:, np.newaxis] * kernel, bias + offset @ kernel)


def kernel_and_bias(dense: Part) -> tuple[np.ndarray, np.ndarray]:
    kernel, *bias = dense.weights
    return kernel, bias[0] if bias else np.zeros(kernel.shape[1])


def with_weights(dense: Part, kernel: np.ndarray, bias: np.ndarray) -> Part:
    twin = unbuilt(dense.layer)
    assert isinstance(twin, Dense)
    twin.use_bias = True
    return Part(twin, [kernel, bias])
