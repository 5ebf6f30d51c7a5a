"""Layers within layers, and what their weights are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastnn.layers import Layer

if TYPE_CHECKING:
    from fastnn.program import Parameter


def innermost(layer: Layer) -> Iterator[Layer]:
    """Yield the layers that `layer` is made of, at any depth; itself if it is made of none."""
    parts = getattr(layer, "layers", None)
    if isinstance(parts, list) and all(isinstance(part, Layer) for part in parts):
        for part in parts:
            yield from innermost(part)
    else:
        yield layer


def named_weights(layer: Layer) -> Iterator[tuple[str, Parameter]]:
    """Yield the weights of a layer with their names, such as ``"kernel"`` or ``"dense_1.kernel"``.

    Names within a layer that is made of others begin with that of the part.
    """
    for part in innermost(layer):
        prefix = "" if part is layer else f"{part.name}."
        for parameter in part.weights:
            yield prefix + parameter.name, parameter
